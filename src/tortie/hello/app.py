"""The app's server: `/` counts a view and prints how many there were and which host answered.

    python3 -m tortie.hello.app [--port 80] [--redis database.marathon.mesos:6379]

At SIGTERM it serves on for some seconds, so that whoever balances over it has time to turn elsewhere, then ends.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tortie.hello.look import POLICY, markup, static_files, wants_markup
from tortie.hello.views import NoAnswer, count_view

LINGER_SECONDS = 5.0
IDLE_SECONDS = 10.0
"""A client that sends nothing, or does not read, is let go."""
HTML = "text/html; charset=utf-8"
FAILED = "Failed to connect to redis"


class App(ThreadingHTTPServer):
    """`redis` is where views are counted, `name` what the page calls this host."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], redis: tuple[str, int], name: str) -> None:
        self.redis, self.name = redis, name
        self.files = static_files()
        super().__init__(address, Page, bind_and_activate=False)

    def page(self) -> str:
        """What a visitor reads; a failure is words too, with status 200, as the document's app has it."""
        try:
            return f"{count_view(*self.redis)} views! Reporting from {self.name}"
        except NoAnswer as error:
            print(f"no count: {error}", file=sys.stderr, flush=True)
            return FAILED

    def handle_error(self, request: Any, client_address: Any) -> None:
        """One line instead of a traceback: mostly a client that went away."""
        print(f"{client_address[0]}: {sys.exc_info()[1]}", file=sys.stderr, flush=True)


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "hello-dcos", ""
    timeout = IDLE_SECONDS
    server: App

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/":
            line = self.server.page()
            pretty = wants_markup(self.headers.get("Accept", ""))
            self._answer(200, (markup(line) if pretty else f"{line}\n").encode(), HTML)
        elif path in self.server.files:
            self._answer(200, *self.server.files[path])
        else:
            self._answer(404, b"Not Found\n")

    def do_HEAD(self) -> None:
        """Nobody views a page by it: nothing is counted."""
        path = self.path.partition("?")[0]
        self._answer(200 if path == "/" or path in self.server.files else 404, b"", HTML)

    def _answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        # One request a connection: at the end none is open on which the next request would be lost.
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """As the base class, without its guess of the client's name."""
        print(f"{self.client_address[0]} {format % args}", file=sys.stderr, flush=True)


def place(text: str) -> tuple[str, int]:
    """HOST:PORT as a pair. Raises ArgumentTypeError."""
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host, int(port)


def serve(app: App, linger: float = LINGER_SECONDS) -> None:
    """Listen and serve until SIGTERM or SIGINT, and `linger` seconds more. Raises OSError when the port is taken."""

    def end_later(*_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        print(f"told to end: serving on for {linger:g} s", file=sys.stderr, flush=True)
        timer = threading.Timer(linger, app.shutdown)
        timer.daemon = True
        timer.start()

    # Before anybody can know that we are there.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end_later)
    with app:
        app.server_bind()
        app.server_activate()
        print(f"listening on port {app.server_port}", file=sys.stderr, flush=True)
        app.serve_forever()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="hello-dcos", description="Counts page views in Redis.")
    parser.add_argument("--port", type=int, default=80)
    parser.add_argument("--redis", type=place, default=("database.marathon.mesos", 6379), metavar="HOST:PORT")
    options = parser.parse_args(argv)
    # glibc reads this once, before the first look-up: a name server that stays silent must not cost ten seconds.
    os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:2")
    try:
        serve(App(("0.0.0.0", options.port), options.redis, socket.gethostname()))
    except (OSError, OverflowError) as error:
        print(f"hello-dcos: cannot listen on port {options.port}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
