"""A connection to a server behind the door."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import httptools

from tortie.door.flow import Body, Writing
from tortie.door.headers import response_framing

HEAD_BYTES, HEAD_FIELDS = 256 * 1024, 500


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
