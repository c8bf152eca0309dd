"""The engine's plug-in protocol over HTTP: POST /Interface.Method, JSON both ways."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tortie.base.errors import Invalid, TortieError
from tortie.plugins.docker import answers, messages
from tortie.plugins.docker.driver import Driver

log = logging.getLogger("docker")
CONTENT_TYPE = "application/vnd.docker.plugins.v1.2+json"
LARGEST_BODY = 1 << 20

Handler = Callable[[bytes], Awaitable[Any]]


def app(driver: Driver) -> Starlette:
    """Both interfaces, for either socket. Every failure is status 500, or 400 for a message that cannot be read, with
    its text under both keys that engines look at."""
    handlers = table(driver)

    async def call(request: Request) -> Response:
        method = str(request.scope["path"]).removeprefix("/")  # an empty Host header makes no URL
        handler = handlers.get(method)
        if handler is None:
            return failure(404, f"{method} is not implemented")
        body = await _body(request)
        if body is None:
            return failure(413, f"{method}: a body of more than {LARGEST_BODY} bytes")
        return await _answer(method, handler, body)

    return Starlette(routes=[Route("/{path:path}", call, methods=["POST"])])


class Malformed(Exception):
    """The message itself cannot be read; nothing was done."""


async def _body(request: Request) -> bytes | None:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            return None
    return bytes(body)


async def _answer(method: str, handler: Handler, body: bytes) -> Response:
    start = time.monotonic()
    try:
        answer = await handler(body)
        log.debug("%s took %.1f ms", method, (time.monotonic() - start) * 1000)
    except Malformed as error:
        log.warning("%s refused: %s", method, error)
        return failure(400, str(error))
    except TortieError as error:
        log.warning("%s failed: %s", method, error)
        return failure(500, str(error))
    except Exception as error:  # the engine must get an answer; the log has the trace
        log.exception("%s failed", method)
        return failure(500, f"{type(error).__name__}: {error}")
    return reply(200, answer if answer is not None else {})


def failure(status: int, text: str) -> Response:
    return reply(status, {"Err": text, "Error": text})


def reply(status: int, answer: Any) -> Response:
    return Response(msgspec.json.encode(answer), status, media_type=CONTENT_TYPE)


def table(driver: Driver) -> dict[str, Handler]:
    """Every method of the protocol that a driver of local scope is asked for."""

    def takes(kind: type[messages.M], do: Callable[[messages.M], Awaitable[Any]]) -> Handler:
        async def handler(body: bytes) -> Any:
            try:
                message = messages.parse(kind, body)
            except Invalid as error:
                raise Malformed(str(error)) from error
            return await do(message)

        return handler

    def always(answer: Any) -> Handler:
        async def handler(_body: bytes) -> Any:
            return answer

        return handler

    async def nothing(_message: Any) -> None:
        return None

    async def no_value(_message: messages.OfEndpoint) -> dict[str, Any]:
        return {"Value": {}}

    return {
        "Plugin.Activate": always(answers.ACTIVATE),
        "NetworkDriver.GetCapabilities": always(answers.NETWORK_CAPABILITIES),
        "NetworkDriver.CreateNetwork": takes(messages.CreateNetwork, driver.create_network),
        "NetworkDriver.DeleteNetwork": takes(messages.DeleteNetwork, nothing),
        "NetworkDriver.CreateEndpoint": takes(messages.CreateEndpoint, driver.create_endpoint),
        "NetworkDriver.EndpointOperInfo": takes(messages.OfEndpoint, no_value),
        "NetworkDriver.DeleteEndpoint": takes(messages.OfEndpoint, driver.delete_endpoint),
        "NetworkDriver.Join": takes(messages.Join, driver.join),
        "NetworkDriver.Leave": takes(messages.OfEndpoint, driver.leave),
        "NetworkDriver.ProgramExternalConnectivity": takes(messages.OfEndpoint, nothing),
        "NetworkDriver.RevokeExternalConnectivity": takes(messages.OfEndpoint, nothing),
        "NetworkDriver.DiscoverNew": takes(messages.Discover, nothing),
        "NetworkDriver.DiscoverDelete": takes(messages.Discover, nothing),
        "IpamDriver.GetCapabilities": always(answers.IPAM_CAPABILITIES),
        "IpamDriver.GetDefaultAddressSpaces": always(answers.ADDRESS_SPACES),
        "IpamDriver.RequestPool": takes(messages.RequestPool, driver.request_pool),
        "IpamDriver.ReleasePool": takes(messages.ReleasePool, nothing),
        "IpamDriver.RequestAddress": takes(messages.RequestAddress, driver.request_address),
        "IpamDriver.ReleaseAddress": takes(messages.ReleaseAddress, driver.release_address),
    }
