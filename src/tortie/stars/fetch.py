"""One HTTP GET on a connection of its own, with hard time limits and a reason when it fails."""

from __future__ import annotations

import errno
import socket
import time
from dataclasses import dataclass

MAX_HEAD = 64 * 1024
MAX_BODY = 1024 * 1024
CONNECT_SECONDS = 1.5
TOTAL_SECONDS = 3.0

# Why a target was not reached, as the endpoints of ours name it.
DNS, REFUSED, TIMEOUT, UNREACHABLE, RESET, PROTOCOL = "dns", "refused", "timeout", "unreachable", "reset", "protocol"
_ERRNO = {
    errno.ECONNREFUSED: REFUSED,
    errno.ETIMEDOUT: TIMEOUT,
    errno.EHOSTUNREACH: UNREACHABLE,
    errno.ENETUNREACH: UNREACHABLE,
    errno.EACCES: UNREACHABLE,
    errno.EPERM: UNREACHABLE,
}


@dataclass(frozen=True, slots=True)
class Url:
    host: str
    port: int
    path: str
    authority: str  # for the Host header


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one request came to; `error` is None exactly when a response head (and body, if wanted) arrived."""

    error: str | None = None
    detail: str = ""
    status: int = 0
    headers: dict[str, str] | None = None
    body: bytes = b""
    latency: float | None = None  # seconds until the response head was there


class Failed(Exception):
    def __init__(self, error: str, detail: str) -> None:
        super().__init__(detail)
        self.error, self.detail = error, detail


def split_url(url: str) -> Url:
    """Raises ValueError with what is wrong, in words for the one who typed it."""
    scheme, colon, rest = url.partition("://")
    if not colon or scheme.lower() != "http":
        raise ValueError(f"{url!r} is no http:// address")
    if not url.isascii() or any(c.isspace() or ord(c) < 32 for c in url):
        raise ValueError(f"{url!r} holds characters that no address has")
    authority, slash, tail = rest.partition("/")
    host, port = authority, "80"
    if authority.startswith("["):
        host, _, after = authority[1:].partition("]")
        port = after[1:] if after.startswith(":") else "80"
    elif ":" in authority:
        host, _, port = authority.rpartition(":")
    if not host or "@" in authority or (":" in host and not authority.startswith("[")):
        raise ValueError(f"{url!r} names no host")
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{url!r}: {port!r} is no port")
    return Url(host, int(port), (slash + tail).partition("#")[0] or "/", authority)


def fetch(url: str, connect: float = CONNECT_SECONDS, total: float = TOTAL_SECONDS, body: bool = False) -> Outcome:
    """GET `url`; never raises for what the network does. Without `body` any response head is success."""
    started = time.monotonic()
    deadline = started + total
    try:
        parts = split_url(url)
        with _connect(parts, connect, deadline) as connection:
            request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.authority}\r\nConnection: close\r\n\r\n"
            connection.settimeout(_left(deadline))
            connection.sendall(request.encode("ascii"))
            data = _until(connection, b"\r\n\r\n", deadline)
            latency = time.monotonic() - started
            head, _, rest = data.partition(b"\r\n\r\n")
            status, headers = _parse(head)
            content = _body(connection, headers, rest, deadline) if body else b""
            return Outcome(None, "", status, headers, content, latency)
    except Failed as failed:
        return Outcome(failed.error, failed.detail)
    except TimeoutError:
        return Outcome(TIMEOUT, f"no answer within {total:g} s")
    except ValueError as error:
        return Outcome(PROTOCOL, str(error))
    except OSError as error:
        return Outcome(_ERRNO.get(error.errno or 0, RESET), error.strerror or str(error))


def _connect(url: Url, connect: float, deadline: float) -> socket.socket:
    try:
        found = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Failed(DNS, f"name {url.host}: {getattr(error, 'strerror', None) or error}") from error
    problem: Failed | OSError = Failed(DNS, f"name {url.host} has no address")
    for family, kind, protocol, _, address in found:
        connection = socket.socket(family, kind, protocol)
        try:
            limit = min(connect, _left(deadline))
            connection.settimeout(limit)
            connection.connect(address)
            return connection
        except TimeoutError:
            connection.close()
            problem = Failed(TIMEOUT, f"{address[0]}:{url.port} did not answer within {limit:.1f} s")
        except OSError as error:
            connection.close()
            problem = error
        if time.monotonic() >= deadline:
            break
    raise problem


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _receive(connection: socket.socket, deadline: float) -> bytes:
    connection.settimeout(_left(deadline))
    return connection.recv(65536)


def _until(connection: socket.socket, mark: bytes, deadline: float) -> bytes:
    data = b""
    while mark not in data:
        if len(data) > MAX_HEAD:
            raise Failed(PROTOCOL, "response head too large")
        piece = _receive(connection, deadline)
        if not piece:
            raise Failed(RESET, "closed before a response") if not data else Failed(PROTOCOL, "response cut short")
        data += piece
    return data


def _parse(head: bytes) -> tuple[int, dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if not lines[0].startswith("HTTP/") or len(words) < 2 or not words[1].isdigit():
        raise Failed(PROTOCOL, "the answer is not HTTP")
    pairs = (line.partition(":") for line in lines[1:])
    return int(words[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}


def _body(connection: socket.socket, headers: dict[str, str], data: bytes, deadline: float) -> bytes:
    length = headers.get("content-length", "")
    want = int(length) if length.isdigit() else MAX_BODY + 1
    chunked = headers.get("transfer-encoding", "").lower() == "chunked"
    pieces, size = [data], len(data)
    while size < want or chunked:
        piece = _receive(connection, deadline)
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
        if size > MAX_BODY:
            raise Failed(PROTOCOL, f"body larger than {MAX_BODY} bytes")
    whole = b"".join(pieces)
    if chunked:
        return unchunk(whole)
    if length.isdigit() and len(whole) < want:
        raise Failed(PROTOCOL, "body cut short")
    return whole[:want]


def unchunk(data: bytes) -> bytes:
    """The content of a whole chunked body; Failed when it is not one."""
    out, rest = b"", data
    while True:
        line, end, rest = rest.partition(b"\r\n")
        digits = line.partition(b";")[0].strip()
        try:
            size = int(digits, 16) if end else -1
        except ValueError:
            size = -1
        if size < 0 or len(rest) < size:
            raise Failed(PROTOCOL, "chunked body cut short")
        if size == 0:
            return out
        out, rest = out + rest[:size], rest[size + 2 :]
