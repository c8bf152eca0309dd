"""What the pages of all frameworks have: no orders from other sites' pages, the look, and the end of the package."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tortie.base.errors import Conflict, Unavailable
from tortie.framework.life import Seat
from tortie.web.own_site import OwnSite
from tortie.web.page import static_routes

L = TypeVar("L")


def application(routes: Sequence[BaseRoute]) -> Starlette:
    return Starlette(routes=[*routes, *static_routes()], middleware=[Middleware(OwnSite)])


def uninstall(seat: Seat[L], leave: Callable[[L, bool], Awaitable[str | None]]) -> Route:
    """What the package service asks before it takes the app away, again and again until nothing is left. `leave` says
    what is left, None when it is nothing; with true, whatever stands in its way. It raises Conflict when it refuses."""

    async def asked(request: Request) -> Response:
        if seat.holder is None:
            return _said(await seat.standby(), 409)
        try:
            said = msgspec.json.decode(await request.body() or b"{}", type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return _said(f"the body is no JSON object: {error}", 400)
        if not isinstance(force := said.get("force", False), bool):
            return _said("force is true or false", 400)
        try:
            left = await leave(seat.holder, force)
        except (Conflict, Unavailable) as error:
            return _said(str(error), 409)
        return Response(status_code=204) if left is None else _said(left, 202)

    return Route("/uninstall", asked, methods=["POST"])


def _said(message: str, status: int) -> JSONResponse:
    return JSONResponse({"message": message}, status)
