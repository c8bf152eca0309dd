"""A client's connection: requests one after the other, each with a body that is read as it comes.

llhttp reads the bytes, strictly; what it lets pass and two readers could still understand differently is refused
here. A request is handled while its body is on its way, and its answer may begin before that has ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import httptools

from tortie.door import headers
from tortie.door.flow import Body, Cut, Writing
from tortie.door.refusal import Refusal

log = logging.getLogger("door")

HEAD_BYTES, TARGET_BYTES, HEAD_FIELDS = 64 * 1024, 16 * 1024, 200
"""More than one request's head may have."""
LINGER_BYTES, LINGER_SECONDS = 1024 * 1024, 5.0
"""What is read and forgotten of a body that nobody wanted, so that its sender sees the answer."""


@dataclass(slots=True)
class Request:
    method: str
    target: bytes
    version: str
    fields: list[tuple[bytes, bytes]]
    host: bytes
    framing: headers.Framing
    body: Body
    keep_alive: bool
    websocket: bool = False


class _TooMuch(Exception):
    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(str(refusal))


class Incoming(asyncio.Protocol):
    """`handle` answers one request on this connection; what it raises ends the connection."""

    def __init__(
        self, handle: Callable[[Request, Incoming], Awaitable[None]], joined: Callable[[Incoming, bool], bool]
    ) -> None:
        self._handle = handle
        self._joined = joined
        self.writing = Writing()
        self.phase: Literal["head", "idle", "busy"] = "head"
        self.since = self.moved = 0.0
        self.address = ""
        self.scheme = "http"
        self.answered = False
        """The answer to the request in hand has begun."""
        self.last = False
        """No request is taken after the one in hand."""
        self.current: Request | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._ready: deque[Request | Refusal] = deque()
        self._reasons: set[str] = set()
        self._waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._body: Body | None = None
        self._raw: Body | None = None
        self._dead = False
        self._head_bytes = 0
        self._in_head = True
        self._new_head()

    # -- the connection ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.writing.transport = self.transport
        self.loop = asyncio.get_running_loop()
        self.since = self.moved = self.loop.time()
        peer = self.transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else "local"
        self.scheme = "https" if self.transport.get_extra_info("sslcontext") else "http"
        if not self._joined(self, True):
            self._refuse(Refusal(503, "too many connections", close=True))
        self._task = self.loop.create_task(self._serve())

    def connection_lost(self, exc: Exception | None) -> None:
        self._joined(self, False)
        self.writing.lose()
        for body in (self._body, self._raw):
            if body is not None:
                body.fail(Cut("the client has gone"))
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self.writing.pause()

    def resume_writing(self) -> None:
        self.moved = self.loop.time()
        self.writing.resume()

    def data_received(self, data: bytes) -> None:
        self.moved = self.loop.time()
        if self._raw is not None:
            self._raw.feed(data)
            return
        if self._dead:
            return
        if self.phase == "idle":
            self.phase, self.since = "head", self.moved
        if self._in_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
            if self._in_head and self._head_bytes > HEAD_BYTES:
                raise _TooMuch(Refusal(431, "a head is at most 64 KiB", close=True))
        except httptools.HttpParserUpgrade as upgrade:
            self._upgraded(data[upgrade.args[0] :])
        except (_TooMuch, httptools.HttpParserError, httptools.HttpParserCallbackError) as error:
            self._broken(error)

    def _upgraded(self, rest: bytes) -> None:
        """The parser reads no further: what follows is the other protocol's, or nobody's."""
        request = self._ready[-1] if self._ready else self.current
        if isinstance(request, Request) and request.websocket:
            self._raw = Body(lambda on: self._throttle("raw", on))
            if rest:
                self._raw.feed(rest)
        self._dead = True

    def _broken(self, error: Exception) -> None:
        cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
        if isinstance(cause, _TooMuch):
            refusal = cause.refusal
        elif isinstance(error, httptools.HttpParserInvalidMethodError):
            refusal = Refusal(400, "no method of HTTP", close=True)
        else:
            refusal = Refusal(400, f"not HTTP: {error}" if str(error) else "not HTTP", close=True)
        if self._body is not None and not self._body.ended:
            self._body.fail(refusal)
            self._dead = True
            return
        self._refuse(refusal)

    def _refuse(self, refusal: Refusal) -> None:
        self._dead = True
        self._ready.append(refusal)
        self._wake()

    # -- what the parser finds -----------------------------------------------------------------------------------------

    def _new_head(self) -> None:
        self._target = b""
        self._field_bytes = 0
        self._fields: list[tuple[bytes, bytes]] = []

    def on_message_begin(self) -> None:
        self._in_head = True
        self._new_head()

    def on_url(self, part: bytes) -> None:
        self._target += part
        if len(self._target) > TARGET_BYTES:
            raise _TooMuch(Refusal(414, "a path is at most 16 KiB", close=True))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))
        self._field_bytes += len(name) + len(value)
        if len(self._fields) > HEAD_FIELDS or self._field_bytes > HEAD_BYTES:
            raise _TooMuch(Refusal(431, f"a head has at most 64 KiB and {HEAD_FIELDS} fields", close=True))

    def on_headers_complete(self) -> None:
        method, version = self._parser.get_method().decode("latin-1"), self._parser.get_http_version()
        try:
            if version not in ("1.0", "1.1"):
                raise Refusal(505, close=True)
            if method in ("CONNECT", "TRACE"):
                raise Refusal(405, "the door is no proxy for other hosts", close=True)
            framing = headers.request_framing(self._fields, version)
            host = headers.host_of(self._fields, version)
            upgrade = self._parser.should_upgrade()
            if upgrade and framing != "none":
                raise Refusal(400, "an upgrade has no body", close=True)
        except Refusal as refusal:
            raise _TooMuch(refusal) from None
        self._in_head, self._head_bytes = False, 0
        websocket = upgrade and headers.is_websocket(self._fields)
        self._body = Body(lambda on: self._throttle("body", on))
        # A client of 1.0 may read to the end of the connection.
        keep = self._parser.should_keep_alive() and not upgrade and version == "1.1"
        request = Request(method, self._target, version, self._fields, host, framing, self._body, keep, websocket)
        self._fields = []  # trailers come here, and go nowhere
        self._ready.append(request)
        if len(self._ready) > 1:
            self._throttle("queue", True)
        self._wake()

    def on_body(self, data: bytes) -> None:
        if self._body is not None:
            self._body.feed(data)

    def on_message_complete(self) -> None:
        if self._body is not None:
            self._body.end()
        self._head_bytes, self._in_head = 0, True
        self._new_head()

    def _throttle(self, reason: str, on: bool) -> None:
        before = bool(self._reasons)
        (self._reasons.add if on else self._reasons.discard)(reason)
        if before != bool(self._reasons) and not self.transport.is_closing():
            (self.transport.pause_reading if on else self.transport.resume_reading)()

    # -- requests in their order ---------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _next(self) -> Request | Refusal:
        while not self._ready:
            self._waiter = self.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        found = self._ready.popleft()
        if len(self._ready) <= 1:
            self._throttle("queue", False)
        return found

    async def _serve(self) -> None:
        try:
            while not self.last:
                request = await self._next()
                self.phase, self.answered = "busy", False
                if isinstance(request, Refusal):
                    await self.refuse(request)
                    break
                self.current, self.last = request, not request.keep_alive
                await self._handled(request)
                if not request.body.ended:
                    break
                request.body.forget()
                self.current = None
                self.since, self.phase = self.loop.time(), "head" if self._head_bytes else "idle"
            await self._leave()
        except Cut:
            self.transport.abort()

    async def _handled(self, request: Request) -> None:
        try:
            await self._handle(request, self)
        except Refusal as refusal:
            await self.refuse(refusal)
        except Cut:
            raise
        except Exception:
            log.exception("%s %s", request.method, request.target.decode("latin-1"))
            await self.refuse(Refusal(500, "a fault of the door; its log has more", close=True))

    async def _leave(self) -> None:
        """Ends the connection so that the answer arrives: what is still being sent is read for a while."""
        self.last = True
        body = self._body if self.current is not None else None
        if self.transport.can_write_eof() and (self._dead or (body is not None and not body.ended)):
            self.transport.write_eof()
            try:
                async with asyncio.timeout(LINGER_SECONDS):
                    await self._forget(body)
            except (TimeoutError, Cut, Refusal):
                pass
        self.transport.close()

    async def _forget(self, body: Body | None) -> None:
        left = LINGER_BYTES
        while left > 0 and body is not None and (data := await body.read()):
            left -= len(data)
        if self._dead:
            # Its sender closes once it has read the answer; until then a close would reset it.
            await asyncio.sleep(LINGER_SECONDS)

    def sweep(self, now: float, *, head: float, idle: float, stall: float) -> None:
        """Ends a connection that has been too long at one thing."""
        if self.phase == "head" and now - self.since > head and not self._dead:
            self._refuse(Refusal(408, "the head of the request did not come", close=True))
        elif self.phase == "idle" and now - self.since > idle:
            self.transport.close()
        elif self.phase == "busy" and now - self.moved > stall and self._waits_for_client():
            self.transport.abort()

    def _waits_for_client(self) -> bool:
        sending = self.current is not None and not self.current.body.ended and not self.answered
        return self.writing.paused or sending

    # -- answers -------------------------------------------------------------------------------------------------------

    async def send(self, data: bytes) -> None:
        """Part of the answer. Raises Cut."""
        self.moved = self.loop.time()
        await self.writing.write(data)

    async def refuse(self, refusal: Refusal) -> None:
        """The refusal as an answer in plain text; after an answer has begun, the end of the connection."""
        if self.answered:
            raise Cut(str(refusal))
        await self.answer(
            refusal.status, (refusal.text + "\n").encode(), [*refusal.headers, (b"Content-Type", b"text/plain")],
            close=refusal.close,
        )  # fmt: skip

    async def answer(self, status: int, body: bytes, fields: headers.Fields = (), *, close: bool = False) -> None:
        """A whole answer of the door's own."""
        from http import HTTPStatus

        request = self.current
        if close or (request is not None and not request.body.ended):
            self.last = True
        self.answered = True
        length = (b"Content-Length", b"%d" % len(body))
        reason = HTTPStatus(status).phrase.encode()
        head = headers.response_head(status, reason, [*fields, length], close=self.last)
        await self.send(head if request is not None and request.method == "HEAD" else head + body)

    def take_over(self) -> Body:
        """Everything the client sends from now on, after an upgrade."""
        if self._raw is None:
            self._raw = Body(lambda on: self._throttle("raw", on))
        self.last = True
        return self._raw
