"""The framework's pages: the rollout live, its JSON, orders, what tasks fetch and bring, and the original's paths."""

from __future__ import annotations

import asyncio
from typing import Any, get_args

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tortie.base.errors import Conflict, Invalid, Unavailable
from tortie.framework import pages
from tortie.framework.life import Seat
from tortie.packages.calico.board import board, legacy, summary
from tortie.packages.calico.live import Live, Look
from tortie.packages.calico.markup import BODY
from tortie.packages.calico.roller import Roller
from tortie.packages.rollout.machine import Order
from tortie.web.page import page, static_routes

FRESH = {"Cache-Control": "no-store"}
MOST_ANSWER = 4 << 20
ORDERS = (*get_args(Order), "begin")


class Site:
    def __init__(self, seat: Seat[Roller]) -> None:
        self._seat = seat
        self._look: tuple[Roller | None, Look | None] = (None, None)
        self._live = Live(self._board)

    def application(self) -> Starlette:
        routes = [
            Route("/", self.page),
            Route("/health", self.health),
            Route("/json", self.legacy),
            Route("/v1/status", self.status),
            Route("/v1/summary", self.summary),
            Route("/v1/events", self.events),
            Route("/v1/hands/{token}", self.given, methods=["GET"]),
            Route("/v1/hands/{token}", self.answered, methods=["POST"]),
            Route("/v1/{word}", self.order, methods=["POST"]),
            pages.uninstall(self._seat, lambda roller, force: asyncio.to_thread(roller.leave, force=force)),
            *static_routes("/assets", package="tortie.packages.calico", folder="assets"),
        ]
        return pages.application(routes)

    async def page(self, _request: Request) -> Response:
        modules, styles = ["assets/rollout.js"], ["assets/rollout.css"]
        return page("Calico networking status", BODY, subtitle="rollout", modules=modules, styles=styles)

    async def health(self, _request: Request) -> Response:
        return JSONResponse({"health": "OK"})

    async def legacy(self, _request: Request) -> Response:
        return JSONResponse(legacy(await self._board()), headers=FRESH)

    async def status(self, _request: Request) -> Response:
        return JSONResponse(await self._board(), headers=FRESH)

    async def summary(self, _request: Request) -> Response:
        return JSONResponse(summary(await self._board()), headers=FRESH)

    async def events(self, _request: Request) -> Response:
        return StreamingResponse(self._live.stream(), media_type="text/event-stream", headers=FRESH)

    async def _board(self) -> dict[str, Any]:
        roller = self._seat.holder
        if roller is None:
            return board(None, None, await self._seat.standby())
        try:
            last, made = await asyncio.to_thread(self._looking(roller).seen)
        except Unavailable as error:
            return board(None, None, f"the store: {error}")
        leaving, removed = bool(roller.memory.kept.leaving), roller.removed
        note = "" if leaving or removed else roller.note
        trouble = roller.trouble or roller.hands.trouble
        return board(last, made, trouble, note=note, looking=roller.looking, leaving=leaving, removed=removed)

    def _looking(self, roller: Roller) -> Look:
        if self._look[0] is not roller or self._look[1] is None:
            self._look = roller, Look(roller.store)
        return self._look[1]  # type: ignore[return-value]

    async def order(self, request: Request) -> Response:
        word, roller = request.path_params["word"], self._seat.holder
        if word not in ORDERS:
            return PlainTextResponse(f"no order {word!r}; there are {', '.join(ORDERS)}\n", 404)
        if roller is None:
            return JSONResponse({"message": await self._seat.standby()}, 503)
        try:
            await asyncio.to_thread(roller.order, word, _who(request))
        except Conflict as error:
            return JSONResponse({"message": str(error)}, 409)
        except Unavailable as error:
            return JSONResponse({"message": str(error)}, 503)
        return JSONResponse(await self._board(), headers=FRESH)

    async def given(self, request: Request) -> Response:
        """The token is a secret between this process and one task: what it leads to may hold a password."""
        roller = self._seat.holder
        found = roller.hands.desk.given(request.path_params["token"]) if roller else None
        if found is None:
            return PlainTextResponse("404: nobody waits for this any more\n", 404)
        return Response(found, media_type="application/octet-stream", headers=FRESH)

    async def answered(self, request: Request) -> Response:
        roller, body = self._seat.holder, bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > MOST_ANSWER:
                return PlainTextResponse(f"413: more than {MOST_ANSWER} bytes\n", 413)
        try:
            taken = roller is not None and await roller.hands.desk.answered(request.path_params["token"], bytes(body))
        except Invalid as error:
            return PlainTextResponse(f"400: {error}\n", 400)
        # An answer that came too late is none that the task should bring again.
        return Response(status_code=204) if taken else PlainTextResponse("nobody waits for this any more\n", 202)


def _who(request: Request) -> str:
    """Where an order came from: the door says whom it let in."""
    before = request.headers.get("x-forwarded-for", "").partition(",")[0].strip()
    return before or (request.client.host if request.client else "")
