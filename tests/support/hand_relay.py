"""Stands between a hand's runner and the framework: gives the runner a request as a test has changed it.

Standard library only: a station's runner is begun by it as a program, which lives as long as its hand.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

VARIABLE = "TORTIE_HAND"
PATIENCE = 90.0


def program(given: Path, address: str, argv: Sequence[str]) -> list[str]:
    """Runs `argv` with an address where it finds what is in `given`; its answer goes to `address`."""
    return [sys.executable, "-I", "-B", __file__, str(given), address, *argv]


@contextmanager
def relayed(given: Path, address: str) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(200, given.read_bytes())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                with urllib.request.urlopen(urllib.request.Request(address, body), timeout=PATIENCE) as reply:
                    self._say(reply.status, b"")
            except urllib.error.HTTPError as error:
                self._say(error.code, b"")
            except OSError:
                self._say(502, b"")

        def _say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def main() -> None:
    given, address, *argv = sys.argv[1:]
    # A station's lock goes on to the hand.
    lock = [int(name) for name in os.listdir("/proc/self/fd") if int(name) > 2]
    lock = [descriptor for descriptor in lock if os.path.exists(f"/proc/self/fd/{descriptor}")]
    with relayed(Path(given), address) as own:
        done = subprocess.run(argv, env={**os.environ, VARIABLE: own}, pass_fds=lock, check=False)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
