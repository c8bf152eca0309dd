"""The door's own pages are an ASGI application; this hands it one of our requests."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Message

from tortie.door import headers
from tortie.door.incoming import Incoming, date
from tortie.door.paths import Target
from tortie.door.requests import Request

MOST = 64 * 1024
"""Bytes that a request for a page of ours may have."""


async def run(app: ASGIApp, request: Request, client: Incoming, target: Target, state: dict[str, Any]) -> None:
    """Answers the request; what is sent goes out at once."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": request.version,
        "method": request.method,
        "scheme": client.scheme,
        "path": unquote(target.path),
        "raw_path": target.path.encode("latin-1"),
        "query_string": target.query.removeprefix("?").encode("latin-1"),
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.fields],
        "client": (client.address, 0),
        "server": None,
        "state": state,
    }
    await app(scope, _Receive(request), _Send(request, client))


class _Receive:
    def __init__(self, request: Request) -> None:
        self._request = request
        self._left = MOST
        self._done = False

    async def __call__(self) -> Message:
        if self._done:
            await asyncio.Event().wait()  # a client that goes cancels us
        data = await self._request.body.read()
        self._left -= len(data)
        self._done = not data or self._left < 0
        return {"type": "http.request", "body": data, "more_body": not self._done}


class _Send:
    def __init__(self, request: Request, client: Incoming) -> None:
        self._request, self._client = request, client
        self._head: bytes = b""
        self._chunked = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start(message["status"], [(bytes(k), bytes(v)) for k, v in message.get("headers", ())])
            return
        data, last = bytes(message.get("body", b"")), not message.get("more_body", False)
        parts, self._head = self._head, b""
        if self._request.method != "HEAD":
            if data:
                parts += b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data
            if last and self._chunked:
                parts += b"0\r\n\r\n"
        if parts:
            await self._client.send(parts)

    def _start(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        request, client = self._request, self._client
        framing = headers.response_framing(fields, status, "GET")
        self._chunked = framing == "close" and request.version == "1.1"
        if not request.body.ended or (framing == "close" and not self._chunked):
            client.last = True
        fields = [*fields, date()]
        reason = HTTPStatus(status).phrase.encode()
        self._head = headers.response_head(status, reason, fields, chunked=self._chunked, close=client.last)
        client.answered = True
