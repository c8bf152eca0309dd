"""The door of a Marathon: its own site while it leads, the leader's while another one does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import aiohttp
import anyio.to_thread
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from tortie.base.errors import Unavailable
from tortie.framework.leader import Leadership

TRIES = 10
PAUSE = 0.25
VIA = "X-Marathon-Via"
_OF_THE_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding"}
    | {"upgrade", "host", "date", "server"}
)
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=30)


class Door:
    """An ASGI application. A request waits a little for a leader, as long as the original looks for one."""

    def __init__(self, leadership: Leadership, scheme: str = "http") -> None:
        self.leadership = leadership
        self.scheme = scheme
        self.site: Any = None
        self._session: aiohttp.ClientSession | None = None

    def open(self, site: Any) -> None:
        self.site = site

    def shut(self) -> None:
        self.site = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            leader = await self._leader()
            if self.site is not None:
                await self.site(scope, receive, self._named(send))
            elif leader is None:
                await _refuse(scope, receive, send, 503, "Could not determine the current leader")
            else:
                await self._forward(leader, scope, receive, send)

    async def _leader(self) -> str | None:
        """Another one that leads; None when we do, or when nobody is found in time."""
        for _ in range(TRIES):
            if self.site is not None:
                return None
            with contextlib.suppress(Unavailable):
                leader = await anyio.to_thread.run_sync(self.leadership.leader)
                if leader not in (None, self.leadership.name):
                    return leader
            await asyncio.sleep(PAUSE)
        return None

    def _named(self, send: Send) -> Send:
        """Every answer of the leader carries its address."""

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                header = (b"x-marathon-leader", f"{self.scheme}://{self.leadership.name}".encode())
                message = {**message, "headers": [*message.get("headers", ()), header]}
            await send(message)

        return send_named

    # -- the leader's answers ------------------------------------------------------------------------------------------

    async def _forward(self, leader: str, scope: Scope, receive: Receive, send: Send) -> None:
        headers, own = Headers(scope=scope), f"1.1 {self.leadership.name}"
        if own in headers.getlist(VIA):
            await _refuse(scope, receive, send, 502, "Detected proxying loop.")
            return
        query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        passed = _of_both_ends(headers.items())
        passed += [(VIA, own), ("X-Forwarded-For", scope["client"][0] if scope.get("client") else "")]
        body = _body(receive) if "content-length" in headers or "transfer-encoding" in headers else None
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, ssl=False)
            self._session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT, auto_decompress=False)
        begun = _Begun(send)
        try:
            async with self._session.request(
                scope["method"],
                f"{self.scheme}://{leader}{path}{query}",
                headers=passed,
                data=body,
                allow_redirects=False,
                skip_auto_headers=("User-Agent", "Content-Type", "Accept", "Accept-Encoding"),
            ) as reply:
                await _pass_on(reply, receive, begun, own)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if begun:
                raise Unavailable(f"the leader {leader} ended its answer early: {error}") from error
            await _refuse(scope, receive, send, *_blame(error))


class _Begun:
    """A `send` that knows whether it has sent anything."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._used = False

    async def __call__(self, message: Message) -> None:
        self._used = True
        await self._send(message)

    def __bool__(self) -> bool:
        return self._used


def _of_both_ends(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in _OF_THE_HOP]


def _blame(error: Exception) -> tuple[int, str]:
    if isinstance(error, TimeoutError):
        return 504, "Connection to leader timed out."
    if isinstance(error, aiohttp.ClientConnectorError):
        return 503, "Connection to leader refused."
    return 502, "Failed to successfully establish a connection to the leader."


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise aiohttp.ClientPayloadError("the client has gone")
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body"):
            return


async def _pass_on(reply: aiohttp.ClientResponse, receive: Receive, send: _Begun, own: str) -> None:
    """The whole answer, or as much of it as the client stays for."""
    headers = [*_of_both_ends(reply.headers.items()), (VIA, own)]
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": encoded})
    passing, leaving = asyncio.ensure_future(_chunks(reply, send)), asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({passing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if passing.done():
            passing.result()
    finally:
        passing.cancel()
        leaving.cancel()
        await asyncio.gather(passing, leaving, return_exceptions=True)


async def _chunks(reply: aiohttp.ClientResponse, send: _Begun) -> None:
    async for chunk in reply.content.iter_any():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, text: str) -> None:
    await PlainTextResponse(text + "\n", status)(scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
