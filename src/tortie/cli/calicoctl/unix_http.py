"""One request over a unix socket: to the node agent of this host, to its container engine."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator

from tortie.base.errors import Unavailable

SECONDS = 5.0


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def get(path: str, target: str, seconds: float = SECONDS) -> tuple[int, bytes]:
    """(status, body) of a GET. Raises Unavailable when nobody answers at `path`."""
    connection = _Connection(path, seconds)
    try:
        connection.request("GET", target)
        reply = connection.getresponse()
        return reply.status, reply.read()
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"{path}: {error}") from error
    finally:
        connection.close()


def events(path: str, target: str, silence: float = 60.0) -> Iterator[bytes]:
    """The data of server-sent events of one line each, until the other end closes. Raises Unavailable as `get`, and
    when nothing at all comes for so many seconds."""
    connection = _Connection(path, silence)
    try:
        connection.request("GET", target)
        reply = connection.getresponse()
        if reply.status != http.client.OK:
            raise Unavailable(f"{path}: status {reply.status}")
        for line in reply:
            if line.startswith(b"data: "):
                yield line.removeprefix(b"data: ")
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"{path}: {error}") from error
    finally:
        connection.close()


def peer_pid(path: str) -> int | None:
    """The process that listens at `path`; None when nobody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(SECONDS)
        try:
            sock.connect(path)
        except OSError:
            return None
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[:4], "little") or None
