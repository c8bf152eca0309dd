"""star-collect: asks every probe for its /status and shows the picture, as JSON, as events and as a page."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tortie.stars import board as boards
from tortie.stars.board import Answer, Board
from tortie.stars.example import EXAMPLE, example_board
from tortie.stars.fetch import CONNECT_SECONDS, TOTAL_SECONDS, fetch
from tortie.stars.flags import crash, number, parse
from tortie.stars.http1 import Request, Response
from tortie.stars.matrix import matrix
from tortie.stars.pages import Pages
from tortie.stars.run import Log, Schedule, quick_names, serve, small_stacks
from tortie.stars.view import state

MAX_STREAMS = 48
HEARTBEAT_SECONDS = 5.0  # shorter than any balancer's idle limit on the way

USAGE = """star-collect: collect the status of probes and show who reaches whom.

Usage:
    star-collect [--http-address=<address>] [--http-port=<port>] [--http-request-seconds=<seconds>]
                 [--resources-file=<path>] [--logfile=<path>]
    star-collect --help

Options:
    --http-address=<address>          Address to listen on [default: 0.0.0.0].
    --http-port=<port>                Port to listen on [default: 9001].
    --http-request-seconds=<seconds>  Seconds between two requests to one probe [default: 5].
    --resources-file=<path>           JSON array of {"id", "url"}: the probes to ask from the start.
    --logfile=<path>                  Append the log to this file [default: standard output].
    --help                            Show this text."""

_DEFAULTS: dict[str, str | None] = {
    "--http-address": "0.0.0.0",
    "--http-port": "9001",
    "--http-request-seconds": "5",
    "--resources-file": None,
    "--logfile": None,
}


class Collector:
    """The board, kept by the schedule's threads, read and waited for by the server's."""

    def __init__(self, period: float, log: Log) -> None:
        self.period = period
        self._log = log
        self._board = Board()
        self._version = 0
        self._boot = f"{int(time.time() * 1000):x}"
        self._changed = threading.Condition()
        self._schedule = Schedule(period, self.poll_once)

    @property
    def board(self) -> Board:
        return self._board  # replaced whole, never changed in place: readers need no lock

    def add(self, id: str, url: str) -> None:
        """A new or renewed resource; ValueError when there are too many."""
        self._update(lambda board: boards.put(board, id, url))
        self._schedule.add(id)

    def poll_once(self, id: str) -> None:
        url = self._board.nodes[id].url
        answer = self._ask(url)
        before, after = self._update(lambda board: boards.record(board, id, url, answer, time.time()))
        for change in after.changes:
            if change not in before.changes:
                self._log(change.text)

    def _ask(self, url: str) -> Answer:
        """One round to one probe; the second request goes only to a probe that says it knows more."""
        connect, total = min(CONNECT_SECONDS, self.period), min(TOTAL_SECONDS, 2 * self.period)
        got = fetch(url, connect, total, body=True)
        if got.error is not None:
            return Answer(error=got.error, detail=got.detail)
        more = (got.headers or {}).get("star-details", "")
        details = None
        if more.startswith("/"):
            base = url[: url.index("/", url.index("://") + 3)] if "/" in url.partition("://")[2] else url
            extra = fetch(base + more, connect, total, body=True)
            details = extra.body if extra.error is None and extra.status == 200 else None
        return Answer(got.status, got.body, details)

    def _update(self, step: Callable[[Board], Board]) -> tuple[Board, Board]:
        """The board before and after one step; everybody who waits for a change is woken."""
        with self._changed:
            before = self._board
            after = self._board = step(before)
            self._version += 1
            self._changed.notify_all()
        return before, after

    def state(self) -> dict[str, Any]:
        return state(self._board, time.time(), self.period)

    def events(self, last_id: str) -> Iterator[bytes]:
        """Server-sent events: the whole state after each change; nothing is sent again that `last_id` has seen."""
        seen = -1
        boot, _, version = last_id.partition("-")
        if boot == self._boot and version.isdigit():
            seen = int(version)
        yield b"retry: 1000\n\n"
        while True:
            with self._changed:
                if self._version == seen:
                    self._changed.wait(HEARTBEAT_SECONDS)
                version_now = self._version
            if version_now == seen:
                yield b"event: beat\ndata: {}\n\n"
                continue
            seen = version_now
            yield f"id: {self._boot}-{seen}\nevent: state\ndata: ".encode() + _compact(self.state()) + b"\n\n"


class Front:
    """The collector's HTTP face: the original's endpoints as they were, and ours under /v1 and /static."""

    def __init__(self, collector: Collector, log: Log) -> None:
        self._collector = collector
        self._log = log
        self._pages = Pages()
        self._streams = threading.BoundedSemaphore(MAX_STREAMS)

    def answer(self, request: Request) -> Response:
        if request.method == "POST" and request.target == "/resources":
            return self._post(request)
        if request.method not in ("GET", "HEAD"):
            return Response(404)
        if request.path == "/v1/events":
            return self._events(request)
        if request.target == "/v1/state?example=true":
            return _json(state(example_board(time.time()), time.time(), self._collector.period))
        return self._json(request.path) or self._pages.answer(request) or Response(404)

    def _json(self, path: str) -> Response | None:
        board = self._collector.board
        if path == "/resources":
            return _json(boards.resources(board))
        if path == "/responses":
            return _json(boards.responses(board))
        if path == "/responses/example":
            return _json(EXAMPLE)
        if path == "/v1/state":
            return _json(self._collector.state())
        if path == "/v1/matrix":
            return Response(200, matrix(board).encode(), "text/plain; charset=utf-8", {"Cache-Control": "no-store"})
        room, _, id = path[1:].partition("/")
        node = board.nodes.get(_unquote(id)) if room in ("resources", "responses") else None
        if node is None:
            return None
        if room == "resources":
            return _json({"resource": {"id": node.id, "url": node.url}})
        return _json({"response": {node.id: node.response}})

    def _post(self, request: Request) -> Response:
        try:
            id, url = boards.parse_resource(request.body)
            self._collector.add(id, url)
        except ValueError as error:
            return Response(400, str(error).encode(), "text/plain")
        self._log(f"Resource [{id}] at [{url}]")
        return _json({"id": id, "url": url})

    def _events(self, request: Request) -> Response:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        if request.method == "HEAD":
            return Response(200, b"", "text/event-stream", headers)
        if not self._streams.acquire(blocking=False):
            return Response(503, b"too many open pages\n", "text/plain", {"Retry-After": "5"})
        resumed = [part[14:] for part in request.query.split("&") if part.startswith("last-event-id=")]
        last_id = request.headers.get("last-event-id") or (resumed[0] if resumed else "")
        return Response(200, b"", "text/event-stream", headers, self._released(last_id))

    def _released(self, last_id: str) -> Iterator[bytes]:
        try:
            yield from self._collector.events(last_id)
        finally:
            self._streams.release()


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _json(value: object) -> Response:
    return Response(200, _compact(value), "application/json", {"Cache-Control": "no-store"})


def _unquote(text: str) -> str:
    head, *parts = text.encode().split(b"%")
    out = bytearray(head)
    for part in parts:
        try:
            out += bytes([int(part[:2], 16)]) + part[2:]
        except ValueError:
            out += b"%" + part
    return out.decode("utf-8", "replace")


def _initial(path: str | None) -> list[tuple[str, str]]:
    if path is None:
        return []
    try:
        with open(path, "rb") as file:
            return boards.parse_resources(file.read())
    except OSError as error:
        crash(f"Failed to read file [{path}]: {error.strerror}")
    except ValueError as error:
        crash(f"Failed to parse file [{path}] as resources! {error}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run until a signal; exit 1 for a usage error, 101 for a file, value or port that cannot be used."""
    flags = parse(sys.argv[1:] if argv is None else argv, _DEFAULTS, USAGE)
    port = number("--http-port", flags["--http-port"], 0, 65535)
    period = number("--http-request-seconds", flags["--http-request-seconds"], 1, 86400)
    initial = _initial(flags["--resources-file"])
    quick_names()
    small_stacks()
    log = Log(flags["--logfile"])
    print("\n   *  S T A R  *\n", flush=True)
    collector = Collector(period, log)
    for id, url in initial:
        collector.add(id, url)
    print(f"Initial resources: {os.linesep}{_compact(boards.resources(collector.board)).decode()}", flush=True)
    log("Starting client driver")
    serve(flags["--http-address"] or "0.0.0.0", port, Front(collector, log).answer, log)


if __name__ == "__main__":
    main()
