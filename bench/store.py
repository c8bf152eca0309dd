"""Both stores: a commit, a watcher in another process, an address, a short command; beside raw SQLite and raw etcd."""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.etcd_server import ETCD, EtcdServer, etcd

from tortie.ipam.allocator import Allocator
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.node import NODE, NodeSpec
from tortie.model.resource import Metadata, Resource
from tortie.model.v0.profile import fresh_profile
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.store.port import Put

VALUE = os.urandom(256)
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


FOLLOWERS = """
import sys, threading, time
from tortie.store.open import open_store

store, many, times = open_store(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
start = store.list("/").revision
told, done = [[0] * many for _ in range(times)], threading.Semaphore(0)

def follow(number, watch):
    seen = 0
    while seen < times:
        for event in watch.next(10):
            told[seen][number] = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - int(event.value)
            seen += 1
            done.release()

for number in range(many):
    threading.Thread(target=follow, args=(number, store.watch("/bench/", start)), daemon=True).start()
print("ready", flush=True)
for change in range(times):
    for _ in range(many):
        done.acquire()
    print(max(told[change]), flush=True)
"""


def run() -> list[tuple[str, str]]:
    with tempfile.TemporaryDirectory(dir=os.getcwd()) as directory:
        url = f"sqlite://{directory}/store"
        embedded = [*_commits(url, _raw_sqlite(Path(directory))), *_both(url)]
        if ETCD is None:
            return [*embedded, ("etcd", "not on this machine (package etcd-server)")]
        with etcd(Path(directory) / "etcd", fsync=True) as server:
            cluster = [
                *_commits(server.url, _raw_etcd(server)),
                *_many(server.url),
                *_both(server.url),
                _raw_latency(server),
            ]
    return [(f"sqlite: {name}", value) for name, value in embedded] + [(f"etcd: {n}", value) for n, value in cluster]


def _both(url: str) -> list[tuple[str, str]]:
    return [_latency(url), _latency_here(url), _fan_out(url), *_addresses(url), *_command(url)]


def _commits(url: str, raw: Mapping[str, float]) -> list[tuple[str, str]]:
    """`raw`: microseconds of the same write and read without us."""
    store = open_store(url)
    commit = _median(lambda number: store.commit([Put(f"/bench/{number % 100}", VALUE)]), 1000)
    read = _median(lambda number: store.get(f"/bench/{number % 100}"), 1000)
    bulk = [[Put(f"/bulk/{batch}/{number}", VALUE) for number in range(100)] for batch in range(100)]
    start = time.perf_counter()
    for writes in bulk:
        store.commit(writes)
    loaded = time.perf_counter() - start
    start = time.perf_counter()
    assert len(store.list("/bulk/").items) == 10_000
    listed = time.perf_counter() - start
    store.close()
    return [
        ("commit of one key of 256 bytes", f"{commit:.0f} us, {1e6 / commit:.0f}/s ({commit / raw['put']:.2f} x raw)"),
        ("read of one key", f"{read:.0f} us ({read / raw['get']:.2f} x raw)"),
        ("10,000 keys in transactions of 100", f"{loaded:.2f} s"),
        ("listing of 10,000 keys", f"{listed * 1000:.0f} ms"),
    ]


def _many(url: str, clients: int = 32, seconds: float = 2.0) -> list[tuple[str, str]]:
    """As many writers at once, threads of one process."""
    store = open_store(url)
    until = time.monotonic() + seconds

    def write(client: int) -> int:
        done = 0
        while time.monotonic() < until:
            store.commit([Put(f"/bench/{client}", VALUE)])
            done += 1
        return done

    with ThreadPoolExecutor(clients) as pool:
        done = sum(pool.map(write, range(clients)))
    store.close()
    return [(f"commits of {clients} threads", f"{done / seconds:.0f}/s")]


def _raw_sqlite(directory: Path) -> dict[str, float]:
    """The plainest table in the same mode, one upsert a transaction."""
    db = sqlite3.connect(directory / "raw.db", isolation_level=None)
    for statement in (
        "PRAGMA journal_mode=WAL",
        "PRAGMA synchronous=NORMAL",
        "CREATE TABLE kv (key TEXT PRIMARY KEY, v)",
    ):
        db.execute(statement)
    put = _median(lambda n: db.execute("INSERT OR REPLACE INTO kv VALUES (?,?)", (f"/bench/{n % 100}", VALUE)), 1000)
    get = _median(lambda n: db.execute("SELECT v FROM kv WHERE key=?", (f"/bench/{n % 100}",)).fetchone(), 1000)
    db.close()
    return {"put": put, "get": get}


def _raw_etcd(server: EtcdServer) -> dict[str, float]:
    """The gateway by a bare connection that is kept: prepared bodies, nothing decoded."""
    connection = http.client.HTTPConnection("127.0.0.1", server.client)
    value = base64.b64encode(VALUE).decode()
    keys = [base64.b64encode(b"/bench/%d" % number).decode() for number in range(100)]
    bodies = {
        "put": [json.dumps({"key": key, "value": value}) for key in keys],
        "get": [json.dumps({"key": key}) for key in keys],
    }

    def ask(path: str, body: str) -> None:
        connection.request("POST", path, body)
        connection.getresponse().read()

    put = _median(lambda number: ask("/v3/kv/put", bodies["put"][number % 100]), 1000)
    get = _median(lambda number: ask("/v3/kv/range", bodies["get"][number % 100]), 1000)
    connection.close()
    return {"put": put, "get": get}


def _raw_latency(server: EtcdServer, times: int = 200) -> tuple[str, str]:
    """From before a put to its line in `etcdctl watch`, etcd's own client."""
    if not shutil.which("etcdctl"):
        return "put to event in etcdctl watch", "no etcdctl on this machine"
    environ = {**os.environ, "ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": f"127.0.0.1:{server.client}"}
    store = open_store(server.url)
    with subprocess.Popen(["etcdctl", "watch", "/raw"], stdout=subprocess.PIPE, env=environ) as watcher:
        assert watcher.stdout is not None
        ready = threading.Event()

        def knock() -> None:  # until the first answer: etcdctl does not say when its watch is in place
            while not ready.wait(0.05):
                store.commit([Put("/raw", b"knock")])

        knocking = threading.Thread(target=knock)
        knocking.start()
        watcher.stdout.readline()
        ready.set()
        knocking.join()
        store.commit([Put("/raw", b"begin")])
        while watcher.stdout.readline() != b"begin\n":
            continue
        taken = []
        for number in range(times):
            start = time.perf_counter()
            store.commit([Put("/raw", b"%d" % number)])
            while watcher.stdout.readline() != b"%d\n" % number:
                continue
            taken.append((time.perf_counter() - start) * 1000)
        watcher.terminate()
    store.close()
    return "put to event in etcdctl watch", f"{statistics.median(taken):.2f} ms, 99 % {sorted(taken)[-2]:.2f} ms"


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
    return "commit to event in another process", f"{statistics.median(taken):.2f} ms, 99 % {worst:.2f} ms"


def _latency_here(url: str, times: int = 200) -> tuple[str, str]:
    """From before the commit to the event in another thread of the same process."""
    store = open_store(url)
    watch = store.watch("/bench/", store.list("/").revision)
    taken: list[float] = []
    heard = threading.Semaphore(0)

    def follow() -> None:
        while len(taken) < times:
            for event in watch.next(10):
                taken.append((time.perf_counter_ns() - int(event.value or 0)) / 1e6)
                heard.release()

    follower = threading.Thread(target=follow)
    follower.start()
    for _ in range(times):
        store.commit([Put("/bench/now", b"%d" % time.perf_counter_ns())])
        heard.acquire()
    follower.join()
    watch.close()
    store.close()
    worst = sorted(taken)[int(times * 0.99)]
    return "commit to event in the same process", f"{statistics.median(taken):.2f} ms, 99 % {worst:.2f} ms"


def _fan_out(url: str, watchers: int = 100, times: int = 50) -> tuple[str, str]:
    """From before one commit to the last of many watchers, all in another process."""
    store = open_store(url)
    command = [sys.executable, "-c", FOLLOWERS, url, str(watchers), str(times)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as followers:
        assert followers.stdout is not None
        followers.stdout.readline()
        taken = []
        for _ in range(times):
            store.commit([Put("/bench/now", b"%d" % time.clock_gettime_ns(time.CLOCK_MONOTONIC))])
            taken.append(int(followers.stdout.readline()) / 1e6)
    store.close()
    value = f"{statistics.median(taken):.2f} ms, slowest {max(taken):.2f} ms"
    return f"commit to the last of {watchers} watchers", value


def _addresses(url: str) -> list[tuple[str, str]]:
    store = open_store(url)
    client = Client(store)
    client.apply(Resource(kind=NODE, metadata=Metadata(name="bench"), spec=NodeSpec()))
    client.apply(Resource(kind=IP_POOL, metadata=Metadata(name="bench"), spec=IPPoolSpec(cidr="10.64.0.0/16")))
    allocator = Allocator(store, "bench")
    raw = _median(lambda number: store.commit([Put("/bench/a", VALUE), Put("/bench/b", VALUE)]), 500)
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
