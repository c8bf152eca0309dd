"""The embedded store: a commit, a watcher in another process, an address, a short command."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tortie.ipam.allocator import Allocator
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.node import NODE, NodeSpec
from tortie.model.resource import Metadata, Resource
from tortie.model.v0.profile import fresh_profile
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.store.port import Put

WATCHER = """
import sys, time
from tortie.store.open import open_store

store = open_store(sys.argv[1])
watch = store.watch("/bench/", store.list("/").revision)
print("ready", flush=True)
seen = 0
while seen < int(sys.argv[2]):
    for event in watch.next(10):
        print(time.clock_gettime_ns(time.CLOCK_MONOTONIC) - int(event.value), flush=True)
        seen += 1
"""
SHOW = "import sys; sys.argv[:] = ['calicoctl', 'profile', 'web', 'rule', 'show']; "
SHOW += "from tortie.cli.calicoctl.main import main; main()"


def run() -> list[tuple[str, str]]:
    with tempfile.TemporaryDirectory(dir=os.getcwd()) as directory:
        url = f"sqlite://{directory}/store"
        return [*_commits(url), _latency(url), *_addresses(url), *_command(url)]


def _commits(url: str) -> list[tuple[str, str]]:
    store = open_store(url)
    value = os.urandom(1000)
    commit = _median(lambda number: store.commit([Put(f"/bench/{number % 100}", value)]), 2000)
    read = _median(lambda number: store.get(f"/bench/{number % 100}"), 2000)
    raw = Path(url.removeprefix("sqlite://")) / "raw"
    with open(raw, "wb", buffering=0) as file:
        bare = _median(lambda number: file.write(value), 2000)
    store.close()
    return [
        ("store: commit of one key of 1 kB", f"{commit:.0f} us ({commit / bare:.1f} x a bare write of a file)"),
        ("store: read of one key", f"{read:.0f} us"),
    ]


def _latency(url: str, times: int = 200) -> tuple[str, str]:
    """From before the commit in one process to the event in another."""
    store = open_store(url)
    command = [sys.executable, "-c", WATCHER, url, str(times)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watcher:
        assert watcher.stdout is not None
        watcher.stdout.readline()
        taken = []
        for _ in range(times):
            store.commit([Put("/bench/now", b"%d" % time.clock_gettime_ns(time.CLOCK_MONOTONIC))])
            taken.append(int(watcher.stdout.readline()) / 1e6)
    store.close()
    worst = sorted(taken)[int(times * 0.99)]
    return "store: commit to event in another process", f"{statistics.median(taken):.2f} ms, 99 % {worst:.2f} ms"


def _addresses(url: str) -> list[tuple[str, str]]:
    store = open_store(url)
    client = Client(store)
    client.apply(Resource(kind=NODE, metadata=Metadata(name="bench"), spec=NodeSpec()))
    client.apply(Resource(kind=IP_POOL, metadata=Metadata(name="bench"), spec=IPPoolSpec(cidr="10.64.0.0/16")))
    allocator = Allocator(store, "bench")
    value = os.urandom(1000)
    raw = _median(lambda number: store.commit([Put("/bench/a", value), Put("/bench/b", value)]), 500)
    given = _median(lambda number: allocator.auto_assign(f"h{number}", {}, now=time.time()), 500)
    back = _median(lambda number: allocator.release_by_handle(f"h{number}", now=time.time()), 500)
    store.close()
    return [
        ("ipam: an address given", f"{given:.0f} us, {1e6 / given:.0f}/s ({given / raw:.1f} x a commit of two keys)"),
        ("ipam: an address taken back", f"{back:.0f} us"),
    ]


def _command(url: str) -> list[tuple[str, str]]:
    store = open_store(url)
    Client(store).create(fresh_profile("web"))
    store.close()
    environ = {**os.environ, "TORTIE_STORE": url}

    def call(program: str) -> float:
        return _median(
            lambda _: subprocess.run(
                [sys.executable, "-c", program], env=environ, stdout=subprocess.DEVNULL, check=True
            ),
            15,
        )

    bare, show = call("pass") / 1000, call(SHOW) / 1000
    return [("calicoctl profile web rule show", f"{show:.0f} ms ({bare:.0f} ms of it the interpreter)")]


def _median(step: Callable[[int], object], times: int) -> float:
    """Microseconds of one step."""
    taken = []
    for number in range(times):
        start = time.perf_counter()
        step(number)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1e6
