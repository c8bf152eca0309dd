"""Read-only HTTP and HTTPS on threads: a function from request to reply, and bodies straight from files."""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tortie.base.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Reply:
    """A body in memory or in a file, which must not change while the server runs."""

    status: int
    body: bytes | Path = b""
    content_type: str = "application/octet-stream"
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Callable[[str, str, str], Reply]  # method, host without port (lower case), path with query


class FileServer(ThreadingHTTPServer):
    """One listening address. TLS hand-shakes happen on the connection's own thread, within its time limit."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: str, port: int, answer: Answer, log: Callable[[str], None], tls: ssl.SSLContext | None):
        self.answer, self.log, self.tls = answer, log, tls
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            super().__init__((address, port), _Handler)
        except OSError as error:
            raise Unavailable(f"cannot listen on {address}:{port}: {error.strerror}") from error

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        # The base class would look the address's name up: a lab has nobody to ask.
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(30)
        if self.tls is not None:
            request = self.tls.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)
        if self.tls is not None:
            request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        import sys

        self.log(f"{client_address[0]}: {sys.exc_info()[1]}")

    def start(self) -> threading.Thread:
        """Serve on a thread until `shutdown`."""
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.5}, daemon=True)
        thread.start()
        return thread


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "tortie-lab"
    sys_version = ""
    server: FileServer

    def _reply(self) -> None:
        host = (self.headers.get("Host") or "").rpartition("]")[2].partition(":")[0].lower()
        if self.command not in ("GET", "HEAD"):
            self.close_connection = True  # its body is not read
        reply = self.server.answer(self.command, host, self.path)
        length = len(reply.body) if isinstance(reply.body, bytes) else reply.body.stat().st_size
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        if isinstance(reply.body, bytes):
            self.wfile.write(reply.body)
        else:
            with reply.body.open("rb") as file:
                shutil.copyfileobj(file, self.wfile, 256 * 1024)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _reply

    def log_message(self, format: str, *args: Any) -> None:
        self.server.log(f"{self.client_address[0]} {self.headers.get('Host', '-')} {format % args}")
