"""Addresses a second from 1, 4 and 16 processes: each a node of its own, and all of them one node.

The yardsticks of the same run: what one process, and as many processes, commit of two keys as long as a block and a
handle; and a file lock with a plain file per address, which is how the CNI plug-in host-local works.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tortie.ipam.allocator import Allocator
from tortie.model.ipam import BLOCKS, parse_block
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.node import NODE, NodeSpec
from tortie.model.resource import Metadata, Resource
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.store.port import Put

TOTAL = 2000
PROCESSES = (1, 4, 16)
BLOCK_BYTES, HANDLE_BYTES = 6000, 60


def run() -> list[tuple[str, str]]:
    rows = []
    for processes in PROCESSES:
        raw = _rate("raw", processes, own_nodes=True)
        rows.append((f"ipam: {processes} processes, two keys committed", f"{raw:.0f}/s"))
        for own in (True, False) if processes > 1 else (True,):
            rate = _rate("assign", processes, own_nodes=own)
            where = "a node each" if own else "one node"
            rows.append((f"ipam: {processes} processes, {where}", f"{rate:.0f} addresses/s ({rate / raw:.2f} of that)"))
    rows.append(("ipam: a lock and a file per address, 1 process", f"{_rate('lock', 1, own_nodes=True):.0f}/s"))
    return rows


def _rate(what: str, processes: int, *, own_nodes: bool) -> float:
    """How many a second from the first step of all to the last, once every process is ready."""
    with tempfile.TemporaryDirectory(dir=os.getcwd()) as directory:
        url = f"sqlite://{directory}/store"
        _prepare(url, processes)
        command = [sys.executable, "-m", "bench.ipam", what, url]
        workers = [
            subprocess.Popen(
                [*command, f"node-{number if own_nodes else 0}", f"w{number}", str(TOTAL // processes)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for number in range(processes)
        ]
        for worker in workers:
            assert worker.stdout is not None
            worker.stdout.readline()
        start = time.perf_counter()
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.close()
        codes = [worker.wait() for worker in workers]
        taken = time.perf_counter() - start
        for worker in workers:
            assert worker.stdout is not None
            worker.stdout.close()
        if any(codes):
            raise SystemExit(f"bench ipam: a process failed: {codes}")
        if what == "assign":
            _check(url, TOTAL // processes * processes)
        return TOTAL // processes * processes / taken


def _prepare(url: str, processes: int) -> None:
    store = open_store(url)
    client = Client(store)
    for number in range(processes):
        client.apply(Resource(kind=NODE, metadata=Metadata(name=f"node-{number}"), spec=NodeSpec()))
    client.apply(Resource(kind=IP_POOL, metadata=Metadata(name="p"), spec=IPPoolSpec(cidr="10.64.0.0/16")))
    config = b'{"strict_affinity":true,"auto_allocate_blocks":true,"maxBlocksPerHost":64}'
    store.commit([Put("/calico/ipam/v2/config", config)])
    store.close()


def _check(url: str, wanted: int) -> None:
    """Every address has one owner, and there are as many as were asked for."""
    store = open_store(url)
    owners: Counter[str | None] = Counter()
    for kv in store.list(BLOCKS).items:
        block = parse_block(kv.value, kv.key)
        owners.update(block.attributes[i].handle_id for i in block.allocations if i is not None)
    store.close()
    if len(owners) != wanted or set(owners.values()) != {1}:
        raise SystemExit(f"bench ipam: {len(owners)} addresses instead of {wanted}")


def _work(what: str, url: str, node: str, name: str, times: str) -> None:
    store = open_store(url)
    allocator = Allocator(store, node)
    value, small = os.urandom(BLOCK_BYTES), os.urandom(HANDLE_BYTES)
    directory = Path(url.removeprefix("sqlite://")).parent

    def lock(number: int) -> None:
        with open(directory / "lock", "w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            (directory / f"10.64.{number // 256}.{number % 256}").write_text(name, encoding="utf-8")

    steps: dict[str, Callable[[int], object]] = {
        "assign": lambda number: allocator.auto_assign(f"{name}.{number}", {"type": "bench"}, now=time.time()),
        "raw": lambda number: store.commit([Put(f"/b/{node}", value), Put(f"/h/{name}.{number}", small)]),
        "lock": lock,
    }
    step = steps[what]
    print("ready", flush=True)
    sys.stdin.read()
    for number in range(int(times)):
        step(number)


if __name__ == "__main__":
    _work(*sys.argv[1:])
