"""One process of many that take and give back addresses, until its input ends or it is killed.

`python assigner.py STORE NODE NAME LOG THREADS`. Each line of LOG says what a thread held and when: `TIME + ADDRESS
HANDLE` once it has the address, `TIME - ADDRESS HANDLE` before it gives it back, and `TIME ? - HANDLE` when the answer
of the store got lost, so that the handle may have an address all the same. A line is one write, so a kill never leaves
half of one. When the input ends it gives everything back and exits 0; it exits 1 when anything else went wrong.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
import traceback

from tortie.base.errors import Unavailable
from tortie.ipam.allocator import Allocator
from tortie.ipam.errors import BlockLimit, Exhausted
from tortie.store.open import open_store


class Worker:
    """One thread's addresses."""

    def __init__(self, allocator: Allocator, name: str, log: int) -> None:
        self._allocator = allocator
        self._name = name
        self._log = log
        self._held: dict[str, str] = {}

    def run(self, over: threading.Event) -> None:
        dice = random.Random(self._name)
        number = 0
        while not over.is_set():
            number += 1
            full = not self._take(f"{self._name}.{number}")
            while self._held and (full or len(self._held) > dice.randrange(1, 6)):
                self._give_back(dice.choice(sorted(self._held)))
                full = False
        for address in sorted(self._held):
            self._give_back(address)

    def _take(self, handle: str) -> bool:
        """False when there is none."""
        try:
            address = str(self._allocator.auto_assign(handle, {}, now=time.time()))
        except (Exhausted, BlockLimit):
            return False
        except Unavailable as error:
            self._lost(handle, error)
        else:
            self._held[address] = handle
            self._say("+", address, handle)
        return True

    def _give_back(self, address: str) -> None:
        handle = self._held.pop(address)
        self._say("-", address, handle)
        try:
            if not self._allocator.release_by_handle(handle, now=time.time()):
                raise AssertionError(f"{handle}: nothing released for {address}")
        except Unavailable as error:
            self._lost(handle, error)

    def _lost(self, handle: str, error: Unavailable) -> None:
        os.write(2, f"{handle}: {error}\n".encode())
        self._say("?", "-", handle)

    def _say(self, sign: str, address: str, handle: str) -> None:
        os.write(self._log, f"{time.monotonic_ns()} {sign} {address} {handle}\n".encode())


def work(worker: Worker, over: threading.Event) -> None:
    try:
        worker.run(over)
    except BaseException:  # noqa: BLE001 - said aloud, and the process ends
        os.write(2, traceback.format_exc().encode())
        os._exit(1)


def main(url: str, node: str, name: str, path: str, threads: str) -> None:
    allocator = Allocator(open_store(url), node)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    over = threading.Event()
    workers = [
        threading.Thread(target=work, args=(Worker(allocator, f"{name}-{n}", log), over), daemon=True)
        for n in range(int(threads))
    ]
    for worker in workers:
        worker.start()
    sys.stdin.read()
    over.set()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
