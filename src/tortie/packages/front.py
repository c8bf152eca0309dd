"""Cosmos' HTTP API: media types checked, bodies decoded, failures as its documents."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tortie.base.errors import TortieError, Unavailable
from tortie.packages import failures, media, requests
from tortie.packages.cosmos import Cosmos
from tortie.packages.failures import CosmosError
from tortie.packages.forms import Body

log = logging.getLogger("packages")
MOST_BODY = 4 * 1024 * 1024
CAPABILITIES = ("PACKAGE_MANAGEMENT",)
"""What behind the same door is there is the door's to say; this is what we are."""
_TIMEOUT = aiohttp.ClientTimeout(total=600, sock_connect=5, sock_read=30)
Call = Callable[[Any, int], Awaitable[Body]]


def application(cosmos: Cosmos, http: aiohttp.ClientSession) -> Starlette:
    """Whoever reaches it may install: it belongs behind the door, on loopback."""
    calls: Mapping[str, tuple[type[Any], Call]] = {
        "/package/search": (requests.Search, cosmos.search),
        "/package/describe": (requests.Describe, cosmos.describe),
        "/package/list-versions": (requests.ListVersions, cosmos.list_versions),
        "/package/render": (requests.Render, cosmos.render),
        "/package/install": (requests.Install, cosmos.install),
        "/package/uninstall": (requests.Uninstall, cosmos.uninstall),
        "/package/list": (requests.ListInstalled, cosmos.list_installed),
        "/package/repository/add": (requests.RepositoryAdd, cosmos.repository_add),
        "/package/repository/delete": (requests.RepositoryDelete, cosmos.repository_delete),
        "/package/repository/list": (requests.Nothing, cosmos.repository_list),
        "/service/describe": (requests.ServiceDescribe, cosmos.service_describe),
        "/service/update": (requests.ServiceUpdate, cosmos.service_update),
    }
    routes = [Route(path, _operation(media.BY_PATH[path], *call), methods=["POST"]) for path, call in calls.items()]
    routes += [
        Route(f"/cosmos{route.path}", route.endpoint, methods=["POST"])
        for route in routes
        if route.path.startswith("/service/")
    ]
    routes += [
        Route("/capabilities", _capabilities),
        Route("/package/resource", Resource(cosmos, http), methods=["GET"]),
        Route("/health", lambda _request: Response()),
    ]
    return Starlette(routes=routes, exception_handlers={500: _broken})


def _operation(operation: media.Operation, kind: type[Any], call: Call) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            headers = request.headers
            version = media.negotiate(operation, headers.get("content-type"), headers.get("accept"))
            answer = await call(requests.decode(await _body(request), kind), version)
        except TortieError as error:
            return failed(error, operation.path)
        return Response(msgspec.json.encode(answer), headers={"Content-Type": operation.response(version)})

    return endpoint


def failed(error: TortieError, where: str) -> Response:
    """Any failure as Cosmos' document."""
    if isinstance(error, Unavailable):
        error = failures.unavailable("store", str(error))
    elif not isinstance(error, CosmosError):
        error = CosmosError("unhandled_exception", str(error), status=500)
    if error.status >= 500:
        log.warning("%s: %s", where, error)
    return Response(msgspec.json.encode(error.body()), error.status, headers={"Content-Type": media.ERROR})


async def _broken(request: Request, error: Exception) -> Response:
    """A fault of the program; the log has where it is."""
    return failed(CosmosError("unhandled_exception", type(error).__name__, status=500), request.url.path)


async def _body(request: Request) -> bytes:
    data = bytearray()
    try:
        async for chunk in request.stream():
            data += chunk
            if len(data) > MOST_BODY:
                raise CosmosError("RequestTooLarge", f"the body is larger than {MOST_BODY} bytes", status=413)
    except ClientDisconnect as error:
        raise failures.bad_json("parse", "the body ended early") from error
    return bytes(data)


async def _capabilities(request: Request) -> Response:
    answer = {"capabilities": [{"name": name} for name in CAPABILITIES]}
    return Response(msgspec.json.encode(answer), headers={"Content-Type": media.CAPABILITIES})


class Resource:
    """`GET /package/resource?url=`: a picture, file or program that some package names, and nothing else."""

    def __init__(self, cosmos: Cosmos, http: aiohttp.ClientSession) -> None:
        self._cosmos = cosmos
        self._http = http

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        try:
            url = request.query_params.get("url", "")
            if url not in (await self._cosmos.repositories.universe()).links():
                raise failures.forbidden_resource(url)
            async with self._opened(url) as reply:
                await self._answer(url, reply)(scope, receive, send)
        except TortieError as error:
            await failed(error, "/package/resource")(scope, receive, send)

    @asynccontextmanager
    async def _opened(self, url: str) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            reply = await self._http.get(url, timeout=_TIMEOUT)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise failures.unavailable(url, str(error) or type(error).__name__) from error
        try:
            if reply.status != 200:
                raise failures.unavailable(url, f"GET {reply.status}")
            yield reply
        finally:
            reply.close()

    def _answer(self, url: str, reply: aiohttp.ClientResponse) -> Response:
        name = "".join(c for c in urlsplit(url).path.rpartition("/")[2] if c.isalnum() or c in "-_.") or "resource"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
        kind = reply.headers.get("Content-Type", "application/octet-stream")
        return StreamingResponse(reply.content.iter_chunked(1 << 16), headers=headers, media_type=kind)
