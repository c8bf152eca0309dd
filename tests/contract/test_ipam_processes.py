"""Many processes that take and give back addresses and are killed in the middle of it, watched by one who knows none of
our code: issue 4, "no duplicate at any instant; without repair only orphans of killed processes, each with its handle;
after grace and repair all clean"."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from tests.support import assigner, stores
from tests.support.stores import BACKENDS, Url
from tests.support.waiting import PATIENCE, wait_until

from tortie.ipam.audit import Audit, Source
from tortie.ipam.check import Living
from tortie.model.codec import to_json
from tortie.model.ipam import CONFIG_KEY, IPAM, IpamConfig
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.node import NODE, NodeSpec
from tortie.model.resource import Metadata, Resource
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.store.port import Datastore, Event, Put

NODES = ("host-a", "host-b")
MARK = f"{IPAM}mark-of-the-test"
GENERATIONS, LINES = 3, 200


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Url]:
    with stores.backend(request.param, tmp_path_factory.mktemp("etcd")) as url:
        yield url


@pytest.fixture
def url(backend: Url, tmp_path: Path) -> str:
    return backend(tmp_path)


@pytest.fixture
def store(url: str) -> Iterator[Datastore]:
    found = open_store(url)
    client = Client(found)
    for name in NODES:
        client.apply(Resource(kind=NODE, metadata=Metadata(name=name), spec=NodeSpec()))
    spec = IPPoolSpec(cidr="10.65.0.0/24", block_size=28)
    client.apply(Resource(kind=IP_POOL, metadata=Metadata(name="pool"), spec=spec))
    found.commit([Put(CONFIG_KEY, to_json(IpamConfig(auto_allocate_blocks=True)))])
    yield found
    found.close()


@dataclass
class Run:
    name: str
    log: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, url: str, name: str, node: str, directory: Path) -> Run:
        log = directory / f"{name}.log"
        log.touch()
        command = [sys.executable, assigner.__file__, url, node, name, str(log), "3"]
        return cls(name, log, subprocess.Popen(command, stdin=subprocess.PIPE))

    def has_said(self, lines: int) -> bool:
        assert self.process.poll() is None, f"{self.name} ended by itself"
        return self.log.read_bytes().count(b"\n") >= lines

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def finish(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(timeout=PATIENCE)


def test_killed_assigners_leave_no_duplicate_and_only_orphans_with_a_handle(
    url: str, store: Datastore, tmp_path: Path
) -> None:
    follower = Follower(store)
    slots = [Run.start(url, f"p{slot}g0", NODES[slot % 2], tmp_path) for slot in range(4)]
    everybody, killed = list(slots), []
    try:
        for generation in range(1, GENERATIONS + 1):
            for slot in range(len(slots)):
                wait_until(lambda run=slots[slot]: run.has_said(LINES))  # type: ignore[misc]
                slots[slot].kill()
                killed.append(slots[slot])
                slots[slot] = Run.start(url, f"p{slot}g{generation}", NODES[slot % 2], tmp_path)
                everybody.append(slots[slot])
        for run in slots:
            wait_until(lambda run=run: run.has_said(LINES))  # type: ignore[misc]
        assert [run.finish() for run in slots] == [0] * len(slots)
    finally:
        for run in everybody:
            if run.process.poll() is None:
                run.kill()
    assert _holdings_that_overlap([run.log for run in everybody]) == []
    events = follower.told()
    assert len(events) > len(everybody) * LINES
    assert _changes_of_hand(events) == []
    _check_orphans(store, {run.name for run in killed}, _lost([run.log for run in everybody]))


def test_the_watcher_sees_what_must_not_be(tmp_path: Path) -> None:
    def event(revision: int, cidr: str, owner: str) -> Event:
        block = {"cidr": cidr, "allocations": [0], "attributes": [{"handle_id": owner}]}
        return Event(f"{IPAM}assignment/ipv4/block/x", json.dumps(block).encode(), revision)

    def handle(revision: int, name: str) -> Event:
        return Event(f"{IPAM}handle/{name}", b'{"block":{"10.65.0.0/32":1}}', revision)

    first = [event(1, "10.65.0.0/32", "a"), handle(1, "a")]
    assert _changes_of_hand(first) == []
    assert _changes_of_hand([*first, event(2, "10.65.0.0/32", "b")])[0] == "10.65.0.0/32 0: a to b"
    assert "overlaps" in _changes_of_hand([*first, event(2, "10.65.0.0/31", "b")])[-1]
    assert _changes_of_hand(first[:1]) == ["handle a: None is not {'10.65.0.0/32': 1}"]
    (tmp_path / "1").write_text("1 + 10.65.0.0 a\n5 - 10.65.0.0 a\n6 + 10.65.0.0 c\n")
    (tmp_path / "2").write_text("3 + 10.65.0.0 b\n4 - 10.65.0.0 b\n5 ? - d\n")
    assert _lost([tmp_path / "1", tmp_path / "2"]) == {"d"}
    assert _holdings_that_overlap([tmp_path / "1", tmp_path / "2"]) == ["10.65.0.0: a and b"]


class Follower:
    """Everything that a watch has to tell, read as it comes: no store keeps its changes for ever."""

    def __init__(self, store: Datastore) -> None:
        self._store = store
        self._watch = store.watch(IPAM, store.list(IPAM).revision)
        self._events: list[Event] = []
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        try:
            while not self._events or self._events[-1].key != MARK:
                self._events += self._watch.next(1)
        except Exception as error:  # noqa: BLE001 - told to the test
            self._failure = error

    def told(self) -> list[Event]:
        """Up to a mark that is written now."""
        self._store.commit([Put(MARK, b"end")])
        self._thread.join(PATIENCE)
        assert self._failure is None, self._failure
        assert not self._thread.is_alive()
        self._watch.close()
        return self._events[:-1]


def _check_orphans(store: Datastore, killed: set[str], lost: set[str]) -> None:
    """`lost`: handles of which the store's answer got lost; they may have an address as those of a killed one may."""
    audit = Audit(store, [Source("test", "p", lambda: Living(()))])
    orphans = {a.attribute.handle_id or "" for a in audit.books().allocations()}
    assert orphans
    assert {handle.partition("-")[0] for handle in orphans - lost} <= killed
    assert audit.look().findings == ()
    assert set(audit.look().suspects) == orphans
    repaired = audit.repair(grace=0, pause=0)
    assert {finding.subject for finding in repaired.mended} == orphans
    assert repaired.failed == []
    books = audit.books()
    assert not books.handles
    assert list(books.allocations()) == []
    assert audit.look(grace=0).findings == ()


def _holdings_that_overlap(logs: list[Path]) -> list[str]:
    """What the processes say: two that held one address at one time. A killed one holds on until the end."""
    spans: dict[str, list[tuple[float, float, str]]] = {}
    for log in logs:
        since: dict[tuple[str, str], float] = {}
        for line in log.read_text().splitlines():
            moment, sign, address, handle = line.split()
            if sign == "+":
                since[address, handle] = float(moment)
            elif sign == "-":
                spans.setdefault(address, []).append((since.pop((address, handle)), float(moment), handle))
        for (address, handle), start in since.items():
            spans.setdefault(address, []).append((start, float("inf"), handle))
    found = []
    for address, held in spans.items():
        held.sort()
        found += [f"{address}: {a[2]} and {b[2]}" for a, b in itertools.pairwise(held) if a[1] > b[0]]
    return found


def _lost(logs: list[Path]) -> set[str]:
    lines = [line.split() for log in logs for line in log.read_text().splitlines()]
    return {handle for _, sign, _, handle in lines if sign == "?"}


def _changes_of_hand(events: list[Event]) -> list[str]:
    """What the store says, revision by revision: an address that went from one owner to another without being free, or
    that two blocks have, or whose owner has no handle that counts it."""
    owners: dict[str, dict[int, str | None]] = {}
    handles: dict[str, dict[str, int]] = {}
    found = []
    for number, event in enumerate(events):
        raw = json.loads(event.value) if event.value else None
        if "/handle/" in event.key:
            handles[event.key.rpartition("/")[2]] = raw["block"] if raw else {}
        elif "/assignment/" in event.key:
            cidr = raw["cidr"] if raw else event.key.rpartition("/")[2].replace("-", "/")
            new = _owners(raw) if raw else {}
            old = owners.get(cidr, {})
            found += [
                f"{cidr} {o}: {old[o]} to {new.get(o)}" for o in old if old[o] and new.get(o) and old[o] != new[o]
            ]
            owners[cidr] = new
        last = number + 1 == len(events) or events[number + 1].revision != event.revision
        if last:
            found += _unlike(owners, handles)
    networks = [ip_network(cidr) for cidr in owners]
    found += [f"{a} overlaps {b}" for a in networks for b in networks if a is not b and a.overlaps(b)]
    return found


def _owners(raw: Any) -> dict[int, str | None]:
    return {
        ordinal: raw["attributes"][index]["handle_id"]
        for ordinal, index in enumerate(raw["allocations"])
        if isinstance(index, int)
    }


def _unlike(owners: dict[str, dict[int, str | None]], handles: dict[str, dict[str, int]]) -> list[str]:
    counted: dict[str, dict[str, int]] = {}
    for cidr, held in owners.items():
        for handle in held.values():
            per_block = counted.setdefault(str(handle), {})
            per_block[cidr] = per_block.get(cidr, 0) + 1
    return [
        f"handle {handle}: {handles.get(handle)} is not {counted.get(handle)}"
        for handle in {*handles, *counted}
        if (handles.get(handle) or {}) != counted.get(handle, {})
    ]
