"""Ports on 127.0.0.1 that lead into the lab: chosen and opened by `up`, kept open by the switch's supervisor."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from tortie.base.errors import Unavailable
from tortie.lab.plan import Page

LOCAL = "127.0.0.1"
TRIES = 200


@dataclass(frozen=True, slots=True)
class Open:
    """A page with the listening socket that leads to it."""

    page: Page
    socket: socket.socket

    @property
    def port(self) -> int:
        port: int = self.socket.getsockname()[1]
        return port

    @property
    def said(self) -> str:
        """What a person should know: the address, and that it is not the usual one."""
        moved = "" if self.port == self.page.port else f"  ({self.page.port} is taken on this machine)"
        return f"{self.page.name:10} {self.url}{moved}"

    @property
    def url(self) -> str:
        return f"http://{LOCAL}:{self.port}{self.page.path}"


def listen(pages: Sequence[Page]) -> list[Open]:
    """One listening socket a page: on its own port where that is free, else on the next free one."""
    opened: list[Open] = []
    for page in pages:
        wanted = {other.port for other in pages if other is not page}
        opened.append(Open(page, _first_free(page, wanted)))
    return opened


def _first_free(page: Page, reserved: set[int]) -> socket.socket:
    for port in range(page.port, page.port + TRIES):
        if port in reserved:
            continue
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        # Connections of an earlier lab that are only waiting out their time do not take the port.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((LOCAL, port))
            sock.listen(128)
        except OSError as error:
            sock.close()
            if error.errno != errno.EADDRINUSE:
                raise Unavailable(f"cannot listen on {LOCAL}:{port}: {error.strerror}") from error
        else:
            return sock
    raise Unavailable(f"page {page.name}: no free port on {LOCAL} from {page.port} to {page.port + TRIES - 1}")
