"""What both programs do around their work: the log, the schedule of one thread per target, start and end."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TextIO

from tortie.stars.flags import CRASHED, crash
from tortie.stars.http1 import Handler, Server

MAX_LATE = 0.2  # the first round of many targets is spread over this part of a period


class Log:
    """Lines of the original's form `INFO - <unix seconds> - <text>`, to standard output or appended to a file."""

    def __init__(self, path: str | None) -> None:
        self._out: TextIO = sys.stdout
        self._lock = threading.Lock()
        if path:
            try:
                os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
                self._out = open(path, "a", encoding="utf-8")  # noqa: SIM115  lives as long as the program
            except OSError as error:
                crash(f"cannot write the log file {path}: {error.strerror}")

    def __call__(self, text: str) -> None:
        with self._lock:
            print(f"INFO - {int(time.time())} - {text}", file=self._out, flush=True)


class Schedule:
    """Calls `job(key)` for each key every period, one thread each: a slow key delays nobody and never piles up."""

    def __init__(self, period: float, job: Callable[[str], None]) -> None:
        self._period = period
        self._job = job
        self._keys: set[str] = set()
        self._lock = threading.Lock()

    def add(self, key: str) -> None:
        """Begin with `key` now; a key that is there already keeps its rhythm."""
        with self._lock:
            if key in self._keys:
                return
            late = (len(self._keys) % 10) / 10 * MAX_LATE * self._period
            self._keys.add(key)
        threading.Thread(target=self._repeat, args=(key, late), daemon=True).start()

    def _repeat(self, key: str, late: float) -> None:
        due = time.monotonic() + late
        while True:
            time.sleep(max(0.0, due - time.monotonic()))
            self._job(key)
            due = max(due + self._period, time.monotonic())


def quick_names() -> None:
    """Name look-ups give up within the probe's own limit. glibc reads this once, before the first look-up."""
    os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:2")


def small_stacks() -> None:
    """Threads are many and shallow here, and the demo's memory limit is hard."""
    threading.stack_size(512 * 1024)


def serve(address: str, port: int, handler: Handler, log: Log) -> None:
    """Serve until SIGTERM or SIGINT, then exit 0; a process 1 would otherwise ignore the signal."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        sys.stdout.flush()
        os._exit(0)  # the threads hold nothing that wants to be closed

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        server = Server(address, port, handler, log)
    except OSError as error:
        print(f"cannot listen on {address}:{port}: {error.strerror or error}", file=sys.stderr, flush=True)
        os._exit(CRASHED)  # Python's own end aborts when a thread is just writing to the log
    log(f"Starting HTTP server on [{address}:{server.port}]")
    server.serve_forever()
