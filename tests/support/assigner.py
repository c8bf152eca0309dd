"""One process of many that take and give back addresses, until its input ends or it is killed.

`python assigner.py STORE NODE NAME LOG THREADS`. Each line of LOG says what a thread held and when: `TIME + ADDRESS
HANDLE` once it has the address, `TIME - ADDRESS HANDLE` before it gives it back. A line is one write, so a kill never
leaves half of one. When the input ends it gives everything back and exits 0.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time

from tortie.base.errors import Unavailable
from tortie.ipam.allocator import Allocator
from tortie.store.open import open_store


def work(allocator: Allocator, name: str, log: int, over: threading.Event) -> None:
    held: dict[str, str] = {}
    dice = random.Random(name)

    def say(sign: str, address: str) -> None:
        os.write(log, f"{time.monotonic_ns()} {sign} {address} {held[address]}\n".encode())

    def give_back(address: str) -> None:
        say("-", address)
        if not allocator.release_by_handle(held.pop(address), now=time.time()):
            os.write(2, f"{name}: nothing released for {address}\n".encode())
            os._exit(1)

    number = 0
    while not over.is_set():
        number += 1
        try:
            address = str(allocator.auto_assign(f"{name}.{number}", {}, now=time.time()))
        except Unavailable:
            address = ""
        if address:
            held[address] = f"{name}.{number}"
            say("+", address)
        while held and (not address or len(held) > dice.randrange(1, 6)):
            give_back(dice.choice(sorted(held)))
            address = address or "-"
    for address in sorted(held):
        give_back(address)


def main(url: str, node: str, name: str, path: str, threads: str) -> None:
    allocator = Allocator(open_store(url), node)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    over = threading.Event()
    workers = [
        threading.Thread(target=work, args=(allocator, f"{name}-{n}", log, over), daemon=True)
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
