"""Asking whether a daemon is up, without ever waiting: each look either knows or will know later."""

from __future__ import annotations

import socket

from tortie.lab.plan import Ready

REPLY_BYTES = 64


class Check:
    """One daemon's readiness; a question already put (an HTTP request) stays open from one look to the next."""

    def __init__(self, ready: Ready) -> None:
        self._ready = ready
        self._asked: socket.socket | None = None

    def look(self) -> bool:
        """Whether it is ready now. Never blocks, never raises."""
        try:
            if self._asked is None:
                self._asked = self._connect()
                if self._ready.kind == "http":
                    request = f"GET {self._ready.path} HTTP/1.0\r\nHost: localhost\r\n\r\n"
                    self._asked.sendall(request.encode())
            if self._ready.kind == "listens":
                self.close()
                return True
            reply = self._asked.recv(REPLY_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            self.close()
            return False
        self.close()
        return reply.split(b" ")[1:2] == [b"200"]

    def close(self) -> None:
        if self._asked is not None:
            self._asked.close()
            self._asked = None

    def _connect(self) -> socket.socket:
        at = self._ready.at
        family = socket.AF_UNIX if at.startswith("/") else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            # An address of the own host answers at once: refused or connected. The limit is for one that does not.
            sock.settimeout(0.2)
            if at.startswith("/"):
                sock.connect(at)
            else:
                host, _, port = at.rpartition(":")
                sock.connect((host, int(port)))
        except OSError:
            sock.close()
            raise
        sock.setblocking(False)
        return sock
