"""The database of the environments document: SQL over a connection at 1521, a page at 81.

    python3 -m tortie.hello.database [--port 1521] [--web-port 81] [--file :memory:]

A client sends statements, one a line, and reads a line of JSON for each: `{"columns": […], "rows": […]}`, or
`{"error": "…"}`. The page lists the tables.
"""

from __future__ import annotations

import argparse
import json
import signal
import socketserver
import sqlite3
import sys
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tortie.hello.look import POLICY, markup, static_files, wants_markup

MOST_LINE, MOST_ROWS = 65536, 1000
IDLE_SECONDS = 600.0
TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"


class Database:
    """One SQLite database for all connections: each statement is a transaction of its own."""

    def __init__(self, file: str) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        # A statement reaches this database and no other file.
        self._connection.set_authorizer(_allowed)

    def run(self, statement: str) -> dict[str, Any]:
        """What it gives, at most MOST_ROWS rows, or why it cannot be done."""
        try:
            with self._lock:
                cursor = self._connection.execute(statement)
                rows = cursor.fetchmany(MOST_ROWS)
                columns = [column[0] for column in cursor.description or ()]
                cursor.close()
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            return {"error": str(error)}
        return {"columns": columns, "rows": [[_plain(value) for value in row] for row in rows]}

    def tables(self) -> list[str]:
        return [row[0] for row in self.run(TABLES)["rows"]]


def _allowed(action: int, *_: object) -> int:
    # Statements of several connections meet in one: none may hold a transaction open.
    refused = (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_SAVEPOINT)
    return sqlite3.SQLITE_DENY if action in refused else sqlite3.SQLITE_OK


def _plain(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, port: int, database: Database) -> None:
        self.database = database
        super().__init__(("0.0.0.0", port), Client)

    def handle_error(self, request: Any, client_address: Any) -> None:
        print(f"{client_address[0]}: {sys.exc_info()[1]}", file=sys.stderr, flush=True)


class Client(socketserver.StreamRequestHandler):
    timeout = IDLE_SECONDS
    server: Server

    def handle(self) -> None:
        while line := self.rfile.readline(MOST_LINE):
            if len(line) == MOST_LINE and not line.endswith(b"\n"):
                self._answer({"error": f"a statement has at most {MOST_LINE} bytes"})
                return
            if statement := line.decode(errors="replace").strip():
                self._answer(self.server.database.run(statement))

    def _answer(self, reply: dict[str, Any]) -> None:
        self.wfile.write(json.dumps(reply).encode() + b"\n")


class Console(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, database: Database) -> None:
        self.database, self.files = database, static_files()
        super().__init__(("0.0.0.0", port), Page)


class Page(BaseHTTPRequestHandler):
    server_version, sys_version = "database", ""
    timeout = 10.0
    server: Console

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/":
            names = self.server.database.tables()
            line = f"Database: {len(names)} tables{': ' if names else ''}{', '.join(names)}"
            pretty = wants_markup(self.headers.get("Accept", ""))
            self._answer(200, (markup(line) if pretty else f"{line}\n").encode(), "text/html; charset=utf-8")
        elif path in self.server.files:
            self._answer(200, *self.server.files[path])
        else:
            self._answer(404, b"Not Found\n", "text/plain; charset=utf-8")

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        print(f"{self.client_address[0]} {format % args}", file=sys.stderr, flush=True)


def serve(database: Database, port: int, web_port: int) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError when a port is taken."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with Server(port, database) as server, Console(web_port, database) as console:
        for each in (server, console):
            threading.Thread(target=each.serve_forever, daemon=True).start()
        ports = (server.server_address[1], console.server_address[1])
        print("listening on port {} and, for the page, {}".format(*ports), file=sys.stderr, flush=True)
        ended.wait()
        server.shutdown()
        console.shutdown()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="database", description="A small SQL database.")
    parser.add_argument("--port", type=int, default=1521)
    parser.add_argument("--web-port", type=int, default=81)
    parser.add_argument("--file", default=":memory:")
    options = parser.parse_args(argv)
    try:
        serve(Database(options.file), options.port, options.web_port)
    except (OSError, OverflowError, sqlite3.Error) as error:
        print(f"database: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
