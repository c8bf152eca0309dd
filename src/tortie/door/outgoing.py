"""Connections to the servers behind the door, kept for a while for the next request."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import httptools

from tortie.door.flow import Body, Cut, Writing
from tortie.door.headers import response_framing
from tortie.door.services import Server

CONNECT_SECONDS = 5.0
IDLE_SECONDS, IDLE_MOST = 30.0, 64
"""How long an unused connection is kept, and how many to one server."""
HEAD_BYTES, HEAD_FIELDS = 256 * 1024, 500
Key = tuple[str, str, int]


class NoAnswer(Exception):
    """The server did not answer a request. `status` is what a client is told; `untouched`: it has seen none of it."""

    def __init__(self, text: str, *, status: int = 502, untouched: bool = False) -> None:
        self.status = status
        self.untouched = untouched
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Head:
    status: int
    reason: bytes
    fields: list[tuple[bytes, bytes]]


class Outgoing(asyncio.Protocol):
    """One connection to a server: one request at a time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.writing = Writing()
        self.used = 0
        self.idle_since = 0.0
        self.seen = False
        """Something of the answer has come."""
        self._parser: httptools.HttpResponseParser | None = None
        self._head: asyncio.Future[Head] | None = None
        self._body: Body | None = None
        self._tunnel = False
        self._reusable = False
        self._until_close = False
        self._reasons = False
        self._interim: Callable[[Head], None] | None = None
        self._method = ""
        self._new_head()

    # -- one request ---------------------------------------------------------------------------------------------------

    def begin(self, method: str, interim: Callable[[Head], None] | None = None) -> None:
        """Before a request is written; `interim` hears of answers like 100 Continue."""
        self.used += 1
        self.seen = self._reusable = self._until_close = False
        self._method, self._interim = method, interim
        self._parser = httptools.HttpResponseParser(self)
        self._head = asyncio.get_running_loop().create_future()
        self._body = Body(self._throttle)
        self._head_bytes = 0
        self._new_head()

    async def head(self, seconds: float) -> Head:
        """Raises NoAnswer."""
        assert self._head is not None
        try:
            async with asyncio.timeout(seconds):
                return await self._head
        except TimeoutError:
            raise NoAnswer(f"{self.name} did not answer in {seconds:g} s", status=504) from None

    @property
    def body(self) -> Body:
        assert self._body is not None
        return self._body

    @property
    def reusable(self) -> bool:
        """The answer is whole and the server keeps the connection."""
        return self._reusable and self.body.ended and not self.writing.lost and not self.transport.is_closing()

    def give_up(self, error: Exception) -> None:
        """Whoever waits for the answer gets this."""
        self._fail(error)
        self.transport.abort()

    # -- the connection ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.writing.transport = self.transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.writing.lose()
        self._end(exc)

    def eof_received(self) -> bool:
        self._end(None)
        return False

    def _end(self, exc: Exception | None) -> None:
        if self._body is not None and (self._tunnel or (self._until_close and exc is None)):
            self._body.end()
            return
        why = f"{self.name} ended the connection"
        # A server that closes a kept connection has not seen the request.
        self._fail(NoAnswer(why, untouched=self.used > 1 and not self.seen))

    def _fail(self, error: Exception) -> None:
        if self._head is not None and not self._head.done():
            self._head.set_exception(error)
            self._head.exception()  # nobody may be waiting any more
        if self._body is not None:
            self._body.fail(error)

    def pause_writing(self) -> None:
        self.writing.pause()

    def resume_writing(self) -> None:
        self.writing.resume()

    def data_received(self, data: bytes) -> None:
        if self._tunnel and self._body is not None:
            self._body.feed(data)
            return
        if self._parser is None or (self._body is not None and self._body.ended):
            # Words that nobody asked for: whose they are cannot be known.
            self._reusable = False
            self.transport.abort()
            return
        self.seen = True
        if self._head is not None and not self._head.done():
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
            if self._head is not None and not self._head.done() and self._head_bytes > HEAD_BYTES:
                raise httptools.HttpParserError("its head is too long")
        except httptools.HttpParserUpgrade as upgrade:
            self._tunnel = True
            if (rest := data[upgrade.args[0] :]) and self._body is not None:
                self._body.feed(rest)
        except (httptools.HttpParserError, httptools.HttpParserCallbackError) as error:
            if self._body is not None and self._body.ended:
                self._reusable = False  # the answer was whole; what came behind it was none
            else:
                self._fail(NoAnswer(f"{self.name} does not answer in HTTP: {error}"))
            self.transport.abort()

    def _throttle(self, on: bool) -> None:
        if not self.transport.is_closing():
            (self.transport.pause_reading if on else self.transport.resume_reading)()

    # -- what the parser finds -----------------------------------------------------------------------------------------

    def _new_head(self) -> None:
        self._reason = b""
        self._field_bytes = 0
        self._fields: list[tuple[bytes, bytes]] = []

    def on_message_begin(self) -> None:
        self._new_head()

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))
        self._field_bytes += len(name) + len(value)
        if len(self._fields) > HEAD_FIELDS or self._field_bytes > HEAD_BYTES:
            raise ValueError("its head is too long")

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        assert self._head is not None
        head = Head(self._parser.get_status_code(), self._reason, self._fields)
        self._fields = []
        if 100 <= head.status < 200 and head.status != 101:
            if self._interim is not None:
                self._interim(head)
            return
        framing = response_framing(head.fields, head.status, self._method)
        self._until_close = framing == "close" and head.status != 101
        self._reusable = self._parser.should_keep_alive() and not self._until_close
        if not self._head.done():
            self._head.set_result(head)
        if self._method == "HEAD":
            # The parser waits for a body that does not come.
            self.body.end()

    def on_body(self, data: bytes) -> None:
        if not self.body.ended:
            self.body.feed(data)

    def on_message_complete(self) -> None:
        final = self._head is not None and self._head.done()
        if final and self._parser is not None and self._parser.get_status_code() != 101:
            self.body.end()


class Pool:
    """Connections by server. `now` of kept ones is the loop's time."""

    def __init__(self) -> None:
        self._idle: dict[Key, deque[Outgoing]] = {}
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # As Admin Router: services in a cluster have certificates of their own making.
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE

    async def connection(self, server: Server, *, fresh: bool = False) -> Outgoing:
        """To this server, a kept one unless it must be `fresh`. Raises NoAnswer."""
        now = asyncio.get_running_loop().time()
        kept = self._idle.get(_key(server))
        while kept and not fresh:
            found = kept.pop()
            if not found.writing.lost and not found.transport.is_closing() and now - found.idle_since < IDLE_SECONDS:
                return found
            found.transport.abort()
        return await self._connect(server)

    async def _connect(self, server: Server) -> Outgoing:
        loop = asyncio.get_running_loop()
        name = f"{server.host}:{server.port}"
        tls = self._tls if server.scheme == "https" else None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, made = await loop.create_connection(
                    lambda: Outgoing(name), server.host, server.port, ssl=tls,
                    server_hostname=server.host if tls else None,
                )  # fmt: skip
        except TimeoutError:
            raise NoAnswer(f"{name} does not answer", status=504, untouched=True) from None
        except (OSError, UnicodeError) as error:
            raise NoAnswer(f"{name}: {_why(error)}", untouched=True) from error
        _find_the_dead(made.transport.get_extra_info("socket"))
        return made

    def keep(self, server: Server, connection: Outgoing) -> None:
        """For the next request; ended when it cannot serve one."""
        kept = self._idle.setdefault(_key(server), deque())
        if not connection.reusable or len(kept) >= IDLE_MOST:
            connection.transport.abort()
            return
        connection.idle_since = asyncio.get_running_loop().time()
        kept.append(connection)

    def sweep(self) -> None:
        """Ends those that nobody has used for long."""
        now = asyncio.get_running_loop().time()
        for key, kept in list(self._idle.items()):
            while kept and (kept[0].writing.lost or now - kept[0].idle_since >= IDLE_SECONDS):
                kept.popleft().transport.abort()
            if not kept:
                del self._idle[key]

    def close(self) -> None:
        for kept in self._idle.values():
            for connection in kept:
                connection.transport.abort()
        self._idle.clear()


def _why(error: Exception) -> str:
    """In the kernel's words, not in those of an event loop."""
    if isinstance(error, ConnectionError) and error.errno:
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _key(server: Server) -> Key:
    return server.scheme, server.host, server.port


def _find_the_dead(sock: socket.socket) -> None:
    """A host that has gone is noticed by its silence towards the kernel: answers themselves may take for ever."""
    with contextlib.suppress(OSError):  # not a TCP socket
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 20)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 60_000)


async def fetch(
    pool: Pool, server: Server, path: str, *, seconds: float = 5.0, most: int = 64 << 20
) -> tuple[Head, bytes]:
    """A GET of the door's own. Raises NoAnswer."""
    try:
        async with asyncio.timeout(seconds):
            return await _fetched(pool, server, path, seconds, most)
    except TimeoutError:
        raise NoAnswer(f"{server.authority} did not answer in {seconds:g} s", status=504) from None


async def _fetched(pool: Pool, server: Server, path: str, seconds: float, most: int) -> tuple[Head, bytes]:
    request = (
        f"GET {server.base}{path} HTTP/1.1\r\nHost: {server.authority}\r\nUser-Agent: tortie-door\r\n"
        "Accept: application/json\r\n\r\n"
    )
    for fresh in (False, True):
        connection = await pool.connection(server, fresh=fresh)
        try:
            connection.begin("GET")
            await connection.writing.write(request.encode("latin-1"))
            head = await connection.head(seconds)
            parts = bytearray()
            while chunk := await connection.body.read():
                parts += chunk
                if len(parts) > most:
                    raise NoAnswer(f"{server.authority}{path}: more than {most} bytes")
            return head, bytes(parts)
        except (NoAnswer, Cut) as error:
            again = isinstance(error, Cut) or error.untouched
            if fresh or not again:
                raise error if isinstance(error, NoAnswer) else NoAnswer(str(error)) from error
        finally:
            pool.keep(server, connection)
    raise AssertionError("the second try returns or raises")
