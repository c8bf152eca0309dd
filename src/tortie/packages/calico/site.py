"""The framework's pages: the rollout live, its JSON, orders, what tasks fetch and bring, and the original's paths."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, get_args

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tortie.base.errors import Conflict, Invalid, TortieError, Unavailable
from tortie.packages.calico.board import board, legacy
from tortie.packages.calico.roller import Roller
from tortie.packages.rollout import book
from tortie.packages.rollout.machine import Order
from tortie.web.page import page, static_routes

FRESH = {"Cache-Control": "no-store"}
LOOK_SECONDS = 0.5
BEAT_SECONDS = 10.0
MOST_ANSWER = 4 << 20
ORDERS = (*get_args(Order), "begin")
STANDBY = "another process of this framework leads: this one takes over when that ends"

BODY = """\
<div class="stack">
<section class="card" aria-labelledby="what">
<header><h2 id="what" aria-live="polite">The rollout</h2><span id="state"></span>
<span class="push orders" role="group" aria-label="Orders"></span></header>
<p id="reason" class="reason" role="alert" hidden></p>
<p id="counts" class="soft"></p>
<p id="note" class="soft" hidden></p>
<div class="meter" role="progressbar" aria-label="Hosts done" aria-valuemin="0" hidden><span></span></div>
</section>
<section id="hosts" class="stack" aria-label="Hosts"></section>
<p class="soft small"><a href="v1/status">JSON</a> · <a href="json">as the original told it</a></p>
</div>
<noscript><p>This page needs scripts; <a href="v1/status">the same as JSON</a> does not.</p></noscript>
"""


class Site:
    """`roller` gives None while another process of the same framework leads, `leader` says which one."""

    def __init__(self, roller: Callable[[], Roller | None], leader: Callable[[], str | None]) -> None:
        self._roller, self._leader = roller, leader

    def application(self) -> Starlette:
        routes = [
            Route("/", self.page),
            Route("/health", self.health),
            Route("/json", self.legacy),
            Route("/v1/status", self.status),
            Route("/v1/events", self.events),
            Route("/v1/hands/{token}", self.given, methods=["GET"]),
            Route("/v1/hands/{token}", self.answered, methods=["POST"]),
            Route("/v1/{word}", self.order, methods=["POST"]),
            Route("/uninstall", self.uninstall, methods=["POST"]),
            *static_routes(),
            *static_routes("/assets", package="tortie.packages.calico", folder="assets"),
        ]
        return Starlette(routes=routes)

    async def page(self, _request: Request) -> Response:
        script, style = "assets/rollout.js", "assets/rollout.css"
        return page("Calico networking status", BODY, subtitle="rollout", modules=[script], styles=[style])

    async def health(self, _request: Request) -> Response:
        return JSONResponse({"health": "OK"})

    async def legacy(self, _request: Request) -> Response:
        return JSONResponse(legacy((await self._board())["hosts"]), headers=FRESH)

    async def status(self, _request: Request) -> Response:
        return JSONResponse(await self._board(), headers=FRESH)

    async def events(self, _request: Request) -> Response:
        return StreamingResponse(self._stream(), media_type="text/event-stream", headers=FRESH)

    async def _stream(self) -> AsyncIterator[bytes]:
        """Everything at once, whenever something is different: whoever comes back has missed nothing."""
        seen, quiet = b"", 0.0
        while True:
            now = msgspec.json.encode(await self._board())
            if now != seen:
                seen, quiet = now, 0.0
                yield b"event: rollout\ndata: " + now + b"\n\n"
            elif quiet >= BEAT_SECONDS:
                quiet = 0.0
                yield b"event: beat\ndata: {}\n\n"
            await asyncio.sleep(LOOK_SECONDS)
            quiet += LOOK_SECONDS

    async def _board(self) -> dict[str, Any]:
        roller = self._roller()
        if roller is None:
            return board(None, None, await self._standby())
        try:
            last = await asyncio.to_thread(roller.last)
            made = await asyncio.to_thread(book.current_plan, roller.store) if last is not None else None
        except Unavailable as error:
            return board(None, None, f"the store: {error}")
        leaving, removed = bool(roller.memory.kept.leaving), roller.removed
        note = "" if leaving or removed else roller.note
        return board(last, made, roller.trouble, note=note, leaving=leaving, removed=removed)

    async def _standby(self) -> str:
        try:
            leader = await asyncio.to_thread(self._leader)
        except TortieError as error:
            return f"the store: {error}"
        return STANDBY.replace("leads", f"leads, at {leader}", 1) if leader else STANDBY

    async def order(self, request: Request) -> Response:
        word, roller = request.path_params["word"], self._roller()
        if word not in ORDERS:
            return PlainTextResponse(f"no order {word!r}; there are {', '.join(ORDERS)}\n", 404)
        if (refused := _refused(request, roller)) is not None or roller is None:
            return refused or _standby()
        try:
            await asyncio.to_thread(roller.order, word)
        except Conflict as error:
            return JSONResponse({"message": str(error)}, 409)
        except Unavailable as error:
            return JSONResponse({"message": str(error)}, 503)
        return JSONResponse(await self._board(), headers=FRESH)

    async def given(self, request: Request) -> Response:
        """The token is a secret between this process and one task: what it leads to may hold a password."""
        roller = self._roller()
        found = roller.hands.desk.given(request.path_params["token"]) if roller else None
        if found is None:
            return PlainTextResponse("404: nobody waits for this any more\n", 404)
        return Response(found, media_type="application/octet-stream", headers=FRESH)

    async def answered(self, request: Request) -> Response:
        roller, body = self._roller(), bytearray()
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

    async def uninstall(self, request: Request) -> Response:
        """What Cosmos asks before it takes the app away."""
        roller = self._roller()
        if roller is None:
            return JSONResponse({"message": STANDBY}, 409)
        try:
            asked = msgspec.json.decode(await request.body() or b"{}", type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return JSONResponse({"message": f"the body is no JSON object: {error}"}, 400)
        if not isinstance(force := asked.get("force", False), bool):
            return JSONResponse({"message": "force is true or false"}, 400)
        try:
            left = await asyncio.to_thread(roller.leave, force=force)
        except (Conflict, Unavailable) as error:
            return JSONResponse({"message": str(error)}, 409)
        return Response(status_code=204) if left is None else JSONResponse({"message": left}, 202)


def _refused(request: Request, roller: Roller | None) -> Response | None:
    """A browser says where an order comes from; another site's page has none to give."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return JSONResponse({"message": "an order comes from this page, not from another site's"}, 403)
    return _standby() if roller is None else None


def _standby() -> Response:
    return JSONResponse({"message": STANDBY}, 503)
