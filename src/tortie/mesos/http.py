"""What the HTTP fronts of master and agent share: routes by longest prefix, JSONP, RecordIO streams."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias, TypeVar

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tortie.base.errors import Conflict, Invalid, NotFound, TortieError, Unavailable
from tortie.mesos.media import Media, MediaProblem
from tortie.wire import mesos as wire
from tortie.wire.agent_records import JSON, PROTOBUF, RECORDIO
from tortie.wire.mesos.binary import decode_protobuf, encode_protobuf
from tortie.wire.recordio import frame

T = TypeVar("T")
Handler: TypeAlias = Callable[[Request], Awaitable[ASGIApp]]
STATUS: dict[type[TortieError], int] = {Invalid: 400, NotFound: 404, Conflict: 409, Unavailable: 503}
MAX_BODY = 64 * 1024 * 1024
JSONP = re.compile(r"^[\w.$]+$")


def status_of(error: TortieError) -> int:
    return next((code for family, code in STATUS.items() if isinstance(error, family)), 500)


class Refusal(Exception):
    """A request that is answered with this status and text."""

    def __init__(self, status: int, text: str = "", **headers: str) -> None:
        self.response = Response(text, status, headers, media_type="text/plain")
        super().__init__(text)


class Router:
    """Every route exists with and without the process's name before it and `.json` after it; the longest path wins."""

    def __init__(self, process: str, routes: Mapping[str, Handler]) -> None:
        self.process = process
        self.routes = routes

    def find(self, path: str) -> Handler | None:
        path = path.rstrip("/") or "/"
        if path == f"/{self.process}" or path.startswith(f"/{self.process}/"):
            found = self._longest(path.removeprefix(f"/{self.process}") or "/")
            if found:
                return found
        return self._longest(path)

    def _longest(self, path: str) -> Handler | None:
        while path:
            handler = self.routes.get(path) or self.routes.get(path.removesuffix(".json"))
            if handler:
                return handler
            path = path.rpartition("/")[0]
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        handler = self.find(scope["path"])
        response: ASGIApp
        try:
            response = await handler(request) if handler else Response(status_code=404)
        except Refusal as refusal:
            response = refusal.response
        except MediaProblem as problem:
            response = Response(problem.text, problem.status, media_type="text/plain")
        except TortieError as error:
            response = Response(str(error), status_of(error), media_type="text/plain")
        except ClientDisconnect:
            return
        await response(scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def document(request: Request, value: Any) -> Response:
    """JSON, or a call of the function that `jsonp` names."""
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    name = request.query_params.get("jsonp")
    if name is None:
        return Response(body, media_type="application/json")
    if not JSONP.match(name):
        raise Refusal(400, "Invalid 'jsonp' parameter\n")
    return Response(f"{name}({body});", media_type="text/javascript")


async def posted_json(request: Request) -> bytes:
    """The body of a POST of JSON; refusals in the words of Mesos."""
    only_post(request)
    content_type = request.headers.get("content-type")
    if content_type is None:
        raise Refusal(400, "Expecting 'Content-Type' to be present")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise Refusal(415, "Expecting 'Content-Type' of application/json")
    return await posted_body(request)


def only_post(request: Request) -> None:
    if request.method != "POST":
        raise Refusal(405, f"Expecting one of {{ 'POST' }}, but received '{request.method}'", Allow="POST")


async def posted_body(request: Request, longest: int = MAX_BODY) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > longest:
            raise Refusal(413, f"A body of more than {longest} bytes is not taken", Connection="close")
    return bytes(body)


async def posted_call(request: Request, media: Media, kind: type[T], message: str, longest: int = MAX_BODY) -> T:
    """The call that the body holds, in either encoding; refusals in the words of Mesos."""
    body = await posted_body(request, longest)
    return wire.decode(body, kind) if media.body == JSON else decode_protobuf(body, kind, message)


def answer(media: Media, message: str, value: Any) -> Response:
    """One message in the encoding that the reader asked for."""
    if media.reply == RECORDIO:
        raise Refusal(406, "Streaming responses are not supported for this call")
    if media.reply == JSON:
        return Response(wire.encode(value), media_type=JSON)
    return Response(encode_protobuf(message, value), media_type=PROTOBUF)


def accepts_json(request: Request) -> bool:
    accepted = [part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "*/*").split(",")]
    return any(part in ("", "*/*", "application/*", "application/json") for part in accepted)


class RecordStream:
    """An endless reply: one record a chunk, `written` anew if so asked. `ended` is called once when either side ends
    it."""

    def __init__(
        self,
        records: MemoryObjectReceiveStream[bytes],
        ended: Callable[[], None],
        headers: Mapping[str, str],
        written: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self.records = records
        self.written = written
        self.ended = ended
        self.headers = [(k.lower().encode(), v.encode()) for k, v in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with self.records, anyio.create_task_group() as group:
                group.start_soon(until_left, receive, group.cancel_scope)
                await send({"type": "http.response.start", "status": 200, "headers": self.headers})
                async for record in self.records:
                    body = frame(self.written(record) if self.written else record)
                    await send({"type": "http.response.body", "body": body, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                group.cancel_scope.cancel()
        finally:
            self.ended()


async def until_left(receive: Receive, scope: anyio.CancelScope) -> None:
    """Cancels `scope` when the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


class WhileThere:
    """An answer that may take long: nobody goes on waiting for it when the client has left."""

    def __init__(self, answered: Callable[[], Awaitable[Response]]) -> None:
        self.answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response: Response | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(until_left, receive, group.cancel_scope)
            try:
                response = await self.answered()
            except TortieError as error:
                response = Response(str(error), status_of(error), media_type="text/plain")
            group.cancel_scope.cancel()
        if response is not None:
            await response(scope, receive, send)
