"""The paths of port 9090 that HAProxy does not answer itself; it passes them on to our socket."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tortie.lb.haproxy import Haproxy


def make_app(haproxy: Haproxy, look_again: Callable[[], None], reload: Callable[[], None]) -> Starlette:
    async def config(_: Request) -> Response:
        if not haproxy.config.exists():
            return PlainTextResponse("no configuration has been written yet\n", 404)
        return PlainTextResponse(haproxy.config.read_text())

    async def maps(_: Request) -> Response:
        return PlainTextResponse("")

    async def pids(_: Request) -> Response:
        return PlainTextResponse(" ".join(map(str, await haproxy.processes())))

    async def hup(_: Request) -> Response:
        look_again()
        return PlainTextResponse("Sent SIGHUP signal to marathon-lb")

    async def usr1(_: Request) -> Response:
        reload()
        return PlainTextResponse("Sent SIGUSR1 signal to marathon-lb")

    return Starlette(
        routes=[
            Route("/_haproxy_getconfig", config),
            Route("/_haproxy_getvhostmap", maps),
            Route("/_haproxy_getappmap", maps),
            Route("/_haproxy_getpids", pids),
            Route("/_mlb_signal/hup", hup),
            Route("/_mlb_signal/usr1", usr1),
        ]
    )
