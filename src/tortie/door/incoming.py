"""A client's connection: requests one after the other, each with a body that is read as it comes.

A request is handled while its body is on its way, and its answer may begin before that has ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Literal

from tortie.door import headers
from tortie.door.flow import Body, Cut, Writing
from tortie.door.refusal import Refusal
from tortie.door.requests import Reader, Request

log = logging.getLogger("door")

LINGER_BYTES, LINGER_SECONDS = 1024 * 1024, 5.0
"""What is read and forgotten of a body that nobody wanted, so that its sender sees the answer."""


def date() -> tuple[bytes, bytes]:
    """What every answer of the door's own carries; others have their servers' one."""
    return b"Date", formatdate(usegmt=True).encode()


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
        self._reader = Reader(self._take, self._throttle)
        self._ready: deque[Request | Refusal] = deque()
        self._reasons: set[object] = set()
        self._waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

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
        for body in (self._reader.body, self._reader.tunnel):
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
        if self.phase == "idle":
            self.phase, self.since = "head", self.moved
        if refusal := self._reader.feed(data):
            self._refuse(refusal)

    def _refuse(self, refusal: Refusal) -> None:
        self._reader.ended = True
        self._ready.append(refusal)
        self._wake()

    def _take(self, request: Request) -> None:
        self._ready.append(request)
        if len(self._ready) > 1:
            self._throttle("queue", True)
        self._wake()

    def _throttle(self, reason: object, on: bool) -> None:
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
                self.since, self.phase = self.loop.time(), "head" if self._reader.partial else "idle"
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
        body = self.current.body if self.current is not None else None
        if (
            not self.transport.is_closing()
            and self.transport.can_write_eof()
            and (self._reader.ended or (body is not None and not body.ended))
        ):
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
        if self._reader.ended:
            # Its sender closes once it has read the answer; until then a close would reset it.
            await asyncio.sleep(LINGER_SECONDS)

    def sweep(self, now: float, *, head: float, idle: float, stall: float) -> None:
        """Ends a connection that has been too long at one thing."""
        if self.phase == "head" and now - self.since > head and not self._reader.ended:
            if self._reader.partial:
                self._refuse(Refusal(408, "the head of the request did not come", close=True))
            else:  # a browser's spare connection: an answer to no question would confuse it
                self.transport.close()
        elif self.phase == "idle" and now - self.since > idle:
            self.transport.close()
        elif self.phase == "busy" and now - self.moved > stall and self._waits_for_client():
            self.transport.abort()

    def finish(self) -> None:
        """No more requests: the answer under way is the last."""
        self.last = True
        if self.phase != "busy":
            self.transport.close()

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
        own = ((b"Content-Length", b"%d" % len(body)), date())
        reason = HTTPStatus(status).phrase.encode()
        head = headers.response_head(status, reason, [*fields, *own], close=self.last)
        await self.send(head if request is not None and request.method == "HEAD" else head + body)

    def take_over(self) -> Body:
        """Everything the client sends from now on, after an upgrade."""
        self.last = True
        return self._reader.open_tunnel()
