"""Requests out of a client's bytes.

llhttp reads them, strictly; what it lets pass and two readers could still understand differently is refused here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import httptools

from tortie.door import headers
from tortie.door.flow import Body
from tortie.door.refusal import Refusal

HEAD_BYTES, TARGET_BYTES, HEAD_FIELDS = 64 * 1024, 16 * 1024, 200
"""More than one request's head may have."""

Throttle = Callable[[object, bool], None]
"""Called with a reason to read no more, or with its end."""


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


class Reader:
    """`take` gets each request as soon as its head is whole."""

    def __init__(self, take: Callable[[Request], None], throttle: Throttle) -> None:
        self._take = take
        self._throttle = throttle
        self._parser = httptools.HttpRequestParser(self)
        self._request: Request | None = None
        self._in_head = True
        self.ended = False
        """Nothing that comes is a request any more."""
        self.partial = 0
        """Bytes of a head that is not whole yet."""
        self.tunnel: Body | None = None
        """What comes behind a request for a websocket."""
        self._new_head()

    @property
    def body(self) -> Body | None:
        """Of the request that came last."""
        return self._request.body if self._request is not None else None

    def feed(self, data: bytes) -> Refusal | None:
        """A refusal is for whoever comes after the requests taken before. Of a body that breaks, the body tells."""
        if self.tunnel is not None:
            self.tunnel.feed(data)
        if self.ended:
            return None
        if self._in_head:
            self.partial += len(data)
        try:
            self._parser.feed_data(data)
            if self._in_head and self.partial > HEAD_BYTES:
                raise _TooMuch(Refusal(431, "a head is at most 64 KiB", close=True))
        except httptools.HttpParserUpgrade as upgrade:
            self._upgraded(data[upgrade.args[0] :])
        except (_TooMuch, httptools.HttpParserError, httptools.HttpParserCallbackError) as error:
            return self._broken(error)
        return None

    def open_tunnel(self) -> Body:
        """Everything that comes from now on."""
        if self.tunnel is None:
            reason = object()
            self.tunnel = Body(lambda on: self._throttle(reason, on))
        self.ended = True
        return self.tunnel

    def _upgraded(self, rest: bytes) -> None:
        """The parser reads no further: what follows is the other protocol's, or nobody's."""
        self.ended = True
        if self._request is not None and self._request.websocket:
            tunnel = self.open_tunnel()
            if rest:
                tunnel.feed(rest)

    def _broken(self, error: Exception) -> Refusal | None:
        self.ended = True
        cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
        if isinstance(cause, _TooMuch):
            refusal = cause.refusal
        elif isinstance(error, httptools.HttpParserInvalidMethodError):
            refusal = Refusal(400, "no method of HTTP", close=True)
        else:
            refusal = Refusal(400, f"not HTTP: {error}" if str(error) else "not HTTP", close=True)
        if self.body is not None and not self.body.ended:
            self.body.fail(refusal)
            return None
        return refusal

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
        self._in_head, self.partial = False, 0
        websocket = upgrade and headers.is_websocket(self._fields)
        reason = object()
        body = Body(lambda on: self._throttle(reason, on))
        # A client of 1.0 may read to the end of the connection.
        keep = self._parser.should_keep_alive() and not upgrade and version == "1.1"
        request = Request(method, self._target, version, self._fields, host, framing, body, keep, websocket)
        self._fields = []  # trailers come here, and go nowhere
        self._request = request
        self._take(request)

    def on_body(self, data: bytes) -> None:
        if self._request is not None:
            self._request.body.feed(data)

    def on_message_complete(self) -> None:
        if self._request is not None:
            self._request.body.end()
        self.partial, self._in_head = 0, True
        self._new_head()
