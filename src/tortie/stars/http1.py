"""A small HTTP/1.1 server on threads: bounded, one request per connection, streams for server-sent events."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

MAX_HEAD = 16 * 1024
MAX_BODY = 64 * 1024
MAX_CONNECTIONS = 96
HEAD_SECONDS = 10.0
WRITE_SECONDS = 10.0
_REASONS = {
    200: "OK",
    304: "Not Modified",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    411: "Length Required",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    target: str  # as sent, with its query
    headers: dict[str, str]  # names in lower case
    body: bytes
    peer: str

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]


@dataclass(frozen=True, slots=True)
class Response:
    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    stream: Iterator[bytes] | None = None


Handler = Callable[[Request], Response]


class BadRequest(Exception):
    """The bytes on the wire are no request we serve; carries the status to answer with."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Server:
    """Serves one listening socket; a handler's failure answers 500 and never ends the server."""

    def __init__(self, address: str, port: int, handler: Handler, log: Callable[[str], None]) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, port), family=family, backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._handler = handler
        self._log = log
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)

    def serve_forever(self) -> None:
        """Accept until `close`; more connections than MAX_CONNECTIONS are answered 503 at once."""
        while True:
            try:
                connection, peer = self._listener.accept()
            except OSError as error:
                if self._listener.fileno() < 0:
                    return
                self._log(f"accept: {error}")
                time.sleep(0.05)  # out of descriptors: let the connections at work end
                continue
            if not self._slots.acquire(blocking=False):
                _refuse(connection)
                continue
            threading.Thread(target=self._serve, args=(connection, peer[0]), daemon=True).start()

    def close(self) -> None:
        """Stop listening; `serve_forever` returns."""
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        finally:
            self._listener.close()

    def _serve(self, connection: socket.socket, peer: str) -> None:
        try:
            with connection:
                self._answer(connection, peer)
        except OSError:
            return  # the client went away: nobody is left to tell
        finally:
            self._slots.release()

    def _answer(self, connection: socket.socket, peer: str) -> None:
        head_only = False
        try:
            request = read_request(connection, peer)
            head_only = request.method == "HEAD"
            response = self._handler(request)
        except BadRequest as bad:
            response = Response(bad.status, f"{bad}\n".encode(), "text/plain; charset=utf-8")
        except TimeoutError:
            response = Response(408)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001  one bad request must not end a demo that runs for weeks
            self._log(f"request from [{peer}] failed: {type(error).__name__}: {error}")
            response = Response(500)
        connection.settimeout(WRITE_SECONDS)
        connection.sendall(_head(response))
        if head_only:
            return
        if response.stream is None:
            connection.sendall(response.body)
            return
        for piece in response.stream:
            connection.sendall(piece)


def read_request(connection: socket.socket, peer: str) -> Request:
    """One request, within HEAD_SECONDS and the size limits; raises BadRequest, TimeoutError or OSError."""
    deadline = time.monotonic() + HEAD_SECONDS
    data = b""
    while b"\r\n\r\n" not in data:
        if len(data) > MAX_HEAD:
            raise BadRequest(431, "request head too large")
        data += _receive(connection, deadline)
    raw_head, _, body = data.partition(b"\r\n\r\n")
    method, target, headers = parse_head(raw_head)
    if "transfer-encoding" in headers:
        raise BadRequest(411, "send a Content-Length")
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise BadRequest(400, "Content-Length is no number")
    if int(length) > MAX_BODY:
        raise BadRequest(413, f"body larger than {MAX_BODY} bytes")
    if "100-continue" in headers.get("expect", "").lower():
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    while len(body) < int(length):
        body += _receive(connection, deadline)
    return Request(method, target, headers, body[: int(length)], peer)


def parse_head(raw: bytes) -> tuple[str, str, dict[str, str]]:
    """Method, target and headers of a request head without its last empty line."""
    lines = raw.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1.") or not words[1].startswith(("/", "http://", "*")):
        raise BadRequest(400, "not an HTTP/1.1 request")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequest(400, "header line without a colon")
        headers[name.strip().lower()] = value.strip()
    return words[0], words[1], headers


def _receive(connection: socket.socket, deadline: float) -> bytes:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection.settimeout(left)
    data = connection.recv(65536)
    if not data:
        raise ConnectionResetError("request cut short")
    return data


def _head(response: Response) -> bytes:
    lines = [f"HTTP/1.1 {response.status} {_REASONS.get(response.status, 'Other')}"]
    headers = {"Content-Type": response.content_type, **response.headers, "Connection": "close"}
    if response.stream is None:
        headers["Content-Length"] = str(len(response.body))
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _refuse(connection: socket.socket) -> None:
    with connection:
        connection.settimeout(0.2)
        try:
            connection.sendall(_head(Response(503, headers={"Retry-After": "2"})))
        except OSError:
            return  # it had gone already
