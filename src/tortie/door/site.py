"""The door's own pages and documents: front page, log-in, what the cluster is called, and how it fares."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tortie.base.decoding import ready
from tortie.door import board
from tortie.door.asgi import MOST
from tortie.door.guard import Guard
from tortie.door.headers import COOKIES
from tortie.door.links import Link
from tortie.door.markup import HOME, LOGIN, NO_LOGIN
from tortie.door.outgoing import NoAnswer
from tortie.door.refusal import Refusal
from tortie.door.watch import Watch, as_event
from tortie.web.page import page, static_routes

FRESH = {"Cache-Control": "no-store"}
PUBLIC = ("/login", "/acs/api/v1/auth/", "/dcos-metadata/dcos-version.json", "/door/static/", "/door/assets/", "/ca/")
"""What is told before a log-in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    address: str
    hostname: str
    cluster_id: str
    version: str
    links: Sequence[Link] = ()
    authority: str = ""
    """PEM of the authority that signs the cluster's certificates; empty where there is none."""


class LogIn(msgspec.Struct):
    uid: str = ""
    password: str = ""
    token: str = ""


class Site:
    def __init__(self, about: About, watch: Watch, guard: Guard | None) -> None:
        self.about = about
        self.watch = watch
        self.guard = guard

    # -- pages ---------------------------------------------------------------------------------------------------------

    async def home(self, request: Request) -> Response:
        user = request.scope["state"].get("user", "")
        out = f'<button type="button" id="logout">Log out {escape(user)}</button>' if user else ""
        body = HOME.replace("<!--user-->", out)
        return page(
            "Cluster",
            body,
            subtitle=self.about.hostname,
            modules=["door/assets/door.js"],
            styles=["door/assets/door.css"],
            static="door/static",
        )

    async def login(self, request: Request) -> Response:
        if self.guard is None:
            return page("Log in", NO_LOGIN, static="/door/static", live=False)
        return self.login_page(200)

    def login_page(self, status: int) -> Response:
        """The way in, also in place of a page that needs a log-in."""
        answer = page(
            "Log in",
            LOGIN,
            modules=["/door/assets/login.js"],
            styles=["/door/assets/door.css"],
            static="/door/static",
            status=status,
            live=False,
        )
        answer.headers["Cache-Control"] = "no-store"
        return answer

    def error_page(self, refusal: Refusal) -> Response:
        """A refusal for somebody who sits at a browser."""
        title, _, text = refusal.text.partition(": ")
        body = f'<div class="note" data-kind="failed"><strong>{escape(title)}</strong><p>{escape(text)}</p>'
        body += '<p><a href="/">To the front page</a></p></div>'
        return page(title, body, static="/door/static", status=refusal.status, live=False)

    async def events(self, _: Request) -> Response:
        async def stream() -> AsyncIterator[bytes]:
            async for contents in self.watch.boards():
                yield as_event(contents)

        return StreamingResponse(stream(), media_type="text/event-stream", headers=FRESH)

    async def contents(self, _: Request) -> Response:
        return JSONResponse(board.board(await self.watch.seen()), headers=FRESH)

    # -- log-in --------------------------------------------------------------------------------------------------------

    async def log_in(self, request: Request) -> Response:
        if self.guard is None:
            raise Refusal(404, "there is no log-in here: no token is asked for")
        given = await _posted(request)
        if given.token:
            token = self.guard.renewed(given.token)
        else:
            token = await self.guard.log_in(given.uid, given.password, request.client.host if request.client else "")
        answer = JSONResponse({"token": token}, headers=FRESH)
        answer.set_cookie(
            COOKIES[0].decode(),
            token,
            max_age=int(self.guard.seconds),
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="lax",
        )
        return answer

    async def log_out(self, _: Request) -> Response:
        answer = JSONResponse({}, headers=FRESH)
        answer.delete_cookie(COOKIES[0].decode(), httponly=True, samesite="lax")
        return answer

    async def providers(self, _: Request) -> Response:
        return JSONResponse(PROVIDERS if self.guard else {})

    # -- what the cluster is -------------------------------------------------------------------------------------------

    async def metadata(self, _: Request) -> Response:
        return JSONResponse({"PUBLIC_IPV4": self.about.address, "CLUSTER_ID": self.about.cluster_id})

    async def version(self, _: Request) -> Response:
        return JSONResponse(
            {"version": self.about.version, "dcos-image-commit": "tortie", "bootstrap-id": "tortie"}, headers=FRESH
        )

    async def ui_config(self, _: Request) -> Response:
        plugins = {"mesos": {"enabled": True, "logging-strategy": "logrotate"}, "oauth": {"enabled": bool(self.guard)}}
        return JSONResponse(
            {"clusterConfiguration": {"id": self.about.cluster_id}, "uiConfiguration": {"plugins": plugins}}
        )

    async def buildinfo(self, _: Request) -> Response:
        return JSONResponse({"tortie": {"package": "tortie", "version": self.about.version}}, headers=FRESH)

    async def authority(self, _: Request) -> Response:
        if not self.about.authority:
            raise Refusal(404, "this cluster has no authority for certificates")
        return Response(self.about.authority, media_type="application/x-x509-ca-cert")

    # -- how it fares --------------------------------------------------------------------------------------------------

    async def health(self, _: Request) -> Response:
        seen = await self.watch.seen()
        return JSONResponse(
            board.node(
                seen.probes, hostname=self.about.hostname, address=self.about.address, version=self.about.version
            )
        )

    async def health_units(self, _: Request) -> Response:
        return JSONResponse({"units": board.units((await self.watch.seen()).probes)})

    async def health_unit(self, request: Request) -> Response:
        name = request.path_params["unit"]
        for unit in board.units((await self.watch.seen()).probes):
            if unit["id"] == name:
                return JSONResponse(unit)
        raise Refusal(404, f"unit {name} unknown.")

    async def health_nodes(self, _: Request) -> Response:
        seen = await self.watch.seen()
        if seen.summary is None:
            raise Refusal(503, "invalid Mesos state cache")
        return JSONResponse({"nodes": board.nodes(seen.probes, seen.summary, self.about.address)})

    async def health_node(self, request: Request) -> Response:
        address, seen = request.path_params["address"], await self.watch.seen()
        if seen.summary is None:
            raise Refusal(503, "invalid Mesos state cache")
        found = board.units(seen.probes) if address == self.about.address else board.agent_units(seen.summary, address)
        if found is None:
            raise Refusal(404, f"node {address} unknown.")
        if request.url.path.endswith("/units"):
            return JSONResponse({"units": found})
        role = "master" if address == self.about.address else "agent"
        return JSONResponse({"host_ip": address, "health": max(unit["health"] for unit in found), "role": role})

    # -- what goes wrong -----------------------------------------------------------------------------------------------

    async def _refused(self, request: Request, refusal: Refusal) -> Response:
        if for_a_person(request.method, request.headers.get("accept", "")):
            return self.error_page(refusal)
        answer = PlainTextResponse(refusal.text + "\n", refusal.status)
        answer.raw_headers.extend((name.lower(), value) for name, value in refusal.headers)
        return answer

    async def _not_found(self, request: Request, _: Exception) -> Response:
        return await self._refused(request, Refusal(404, "the door knows no such path"))

    async def _not_allowed(self, request: Request, error: Any) -> Response:
        allow = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", "))).encode()
        refusal = Refusal(405, f"{request.method} is not for this path", headers=[(b"Allow", allow)])
        return await self._refused(request, refusal)

    async def _unseen(self, request: Request, error: NoAnswer) -> Response:
        return await self._refused(request, Refusal(error.status, str(error)))

    def app(self) -> Starlette:
        auth, health = "/acs/api/v1/auth", "/system/health/v1"
        routes = [
            Route("/", self.home),
            Route("/login", self.login),
            Route("/door/events", self.events),
            Route("/door/board", self.contents),
            *static_routes("/door/static"),
            *static_routes("/door/assets", package="tortie.door", folder="assets"),
            Route(f"{auth}/login", self.log_in, methods=["POST"]),
            Route(f"{auth}/logout", self.log_out, methods=["GET", "POST"]),
            Route(f"{auth}/providers", self.providers),
            Route("/metadata", self.metadata),
            Route("/dcos-metadata/dcos-version.json", self.version),
            Route("/dcos-metadata/ui-config.json", self.ui_config),
            Route("/pkgpanda/active.buildinfo.full.json", self.buildinfo),
            Route("/ca/dcos-ca.crt", self.authority),
            Route(health, self.health),
            Route(f"{health}/units", self.health_units),
            Route(f"{health}/units/{{unit}}", self.health_unit),
            Route(f"{health}/nodes", self.health_nodes),
            Route(f"{health}/nodes/{{address}}", self.health_node),
            Route(f"{health}/nodes/{{address}}/units", self.health_node),
        ]
        handlers: dict[Any, Any] = {404: self._not_found, 405: self._not_allowed}
        handlers |= {Refusal: self._refused, NoAnswer: self._unseen}
        app = Starlette(routes=routes, exception_handlers=handlers)
        app.router.redirect_slashes = False
        return app


async def _posted(request: Request) -> LogIn:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST:
            raise Refusal(413, "more than a log-in needs", close=True)
    try:
        found = msgspec.json.decode(body, type=ready(LogIn))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal(400, f'not a log-in: {error}; {{"uid": ..., "password": ...}} is expected') from error
    if not found.token and not (found.uid and found.password):
        raise Refusal(400, "not a log-in: uid and password are expected")
    return found


def needs_login(path: str) -> bool:
    return not any(path == public or (public.endswith("/") and path.startswith(public)) for public in PUBLIC)


def for_a_person(method: str, accept: str) -> bool:
    """A browser that opens a page, not a program."""
    return method in ("GET", "HEAD") and "text/html" in accept


PROVIDERS: dict[str, Any] = {
    "dcos-users": {
        "authentication-type": "dcos-uid-password",
        "description": "Log in with a user of this cluster",
        "client-method": "dcos-usercredential-post-receive-authtoken",
        "config": {"start_flow_url": "/acs/api/v1/auth/login"},
    }
}
