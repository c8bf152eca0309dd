"""Addresses a second on both stores from 1, 4 and 16 processes (each a node of its own, and all of them one node) and
from 16 threads of one process.

The yardsticks of the same run: what as many commit of two keys as long as a block and a handle; and a file lock with a
plain file per address, which is how the CNI plug-in host-local works.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tests.support.etcd_server import ETCD, etcd, wipe

from tortie.ipam.allocator import Allocator
from tortie.model.ipam import BLOCKS, parse_block
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.node import NODE, NodeSpec
from tortie.model.resource import Metadata, Resource
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.store.port import CompareFailed, Condition, Datastore, Put, Write

TOTAL = 1920
SHAPES = ((1, 1), (4, 1), (16, 1), (1, 16))
"""Processes, and threads of each."""
BLOCK_BYTES, HANDLE_BYTES = 6000, 60


@dataclass(frozen=True, slots=True)
class Rate:
    """`conflicts`: commits that came too late, for each one that counted."""

    per_second: float
    conflicts: float


def run() -> list[tuple[str, str]]:
    with tempfile.TemporaryDirectory(dir=os.getcwd()) as directory:
        rows = _on(lambda name: f"sqlite://{directory}/{name}", "sqlite")
        lock = _rate("lock", f"sqlite://{directory}/lock", 1, 1, own_nodes=True)
        rows.append(("ipam: a lock and a file per address, 1 process", f"{lock.per_second:.0f}/s"))
        if ETCD is None:
            return [*rows, ("ipam: etcd", "not on this machine (package etcd-server)")]
        with _etcd(Path(directory) / "etcd") as fresh:
            return rows + _on(fresh, "etcd")


@contextmanager
def _etcd(directory: Path) -> Iterator[Callable[[str], str]]:
    """The address of one server that is empty each time."""
    with etcd(directory, fsync=True) as server:

        def emptied(_: str) -> str:
            wipe(server)
            return server.url

        yield emptied


def _on(fresh: Callable[[str], str], name: str) -> list[tuple[str, str]]:
    rows = []
    for number, (processes, threads) in enumerate(SHAPES):
        who = f"{processes} processes" if threads == 1 else f"{threads} threads"
        raw = _rate("raw", fresh(f"raw{number}"), processes, threads, own_nodes=True)
        rows.append((f"ipam: {name}: {who}, two keys committed", f"{raw.per_second:.0f}/s"))
        for own in (True, False) if processes > 1 else (True,):
            rate = _rate("assign", fresh(f"{number}{own}"), processes, threads, own_nodes=own)
            value = f"{rate.per_second:.0f} addresses/s ({rate.per_second / raw.per_second:.2f} of that)"
            where = "a node each" if own else "one node"
            rows.append((f"ipam: {name}: {who}, {where}", f"{value}, {100 * rate.conflicts:.1f} % came too late"))
    return rows


def _rate(what: str, url: str, processes: int, threads: int, *, own_nodes: bool) -> Rate:
    """From the first step of all to the last, once every process is ready."""
    _prepare(url, processes)
    command = [sys.executable, "-m", "bench.ipam", what, url, str(threads), str(TOTAL // processes // threads)]
    workers = [
        subprocess.Popen(
            [*command, f"node-{number if own_nodes else 0}", f"w{number}"],
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
    said = [worker.stdout.readline() for worker in workers if worker.stdout is not None]
    taken = time.perf_counter() - start
    codes = [worker.wait() for worker in workers]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.close()
    if any(codes):
        raise SystemExit(f"bench ipam: a process failed: {codes}")
    if what == "assign":
        _check(url)
    return Rate(TOTAL / taken, sum(map(int, said)) / TOTAL)


def _prepare(url: str, processes: int) -> None:
    store = open_store(url)
    client = Client(store)
    for number in range(processes):
        client.apply(Resource(kind=NODE, metadata=Metadata(name=f"node-{number}"), spec=NodeSpec()))
    client.apply(Resource(kind=IP_POOL, metadata=Metadata(name="p"), spec=IPPoolSpec(cidr="10.64.0.0/16")))
    config = b'{"strict_affinity":true,"auto_allocate_blocks":true,"maxBlocksPerHost":64}'
    store.commit([Put("/calico/ipam/v2/config", config)])
    store.close()


def _check(url: str) -> None:
    """Every address has one owner, and there are as many as were asked for."""
    store = open_store(url)
    owners: Counter[str | None] = Counter()
    for kv in store.list(BLOCKS).items:
        block = parse_block(kv.value, kv.key)
        owners.update(block.attributes[i].handle_id for i in block.allocations if i is not None)
    store.close()
    if len(owners) != TOTAL or set(owners.values()) != {1}:
        raise SystemExit(f"bench ipam: {len(owners)} addresses instead of {TOTAL}")


class _Counting:
    """A store that counts the commits that came too late."""

    def __init__(self, store: Datastore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self.late = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def commit(self, writes: Sequence[Write], compares: Sequence[Condition] = ()) -> int:
        try:
            return self._store.commit(writes, compares)
        except CompareFailed:
            with self._lock:
                self.late += 1
            raise


def _work(what: str, url: str, threads: str, times: str, node: str, name: str) -> None:
    store = _Counting(open_store(url))
    allocator = Allocator(cast(Datastore, store), node)
    value, small = os.urandom(BLOCK_BYTES), os.urandom(HANDLE_BYTES)
    directory = Path(url.removeprefix("sqlite://")).parent

    def lock(thread: int, number: int) -> None:
        with open(directory / "host-local", "w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            (directory / f"10.{thread}.{number // 256}.{number % 256}").write_text(name, encoding="utf-8")

    def raw(thread: int, number: int) -> None:
        store.commit([Put(f"/b/{node}.{thread}", value), Put(f"/h/{name}.{thread}.{number}", small)])

    def assign(thread: int, number: int) -> None:
        allocator.auto_assign(f"{name}.{thread}.{number}", {"type": "bench"}, now=time.time())

    step = {"assign": assign, "raw": raw, "lock": lock}[what]

    def work(thread: int) -> None:
        for number in range(int(times)):
            step(thread, number)

    print("ready", flush=True)
    sys.stdin.read()
    with ThreadPoolExecutor(int(threads)) as pool:
        list(pool.map(work, range(int(threads))))
    print(store.late, flush=True)


if __name__ == "__main__":
    _work(*sys.argv[1:])
