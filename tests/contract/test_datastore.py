"""The datastore port's promises, on every backend."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from tests.support import stores
from tests.support.stores import BACKENDS, Url
from tests.support.waiting import PATIENCE, wait_until

from tortie.base.errors import Invalid, NotFound, Unavailable
from tortie.store.follow import follow
from tortie.store.open import open_store
from tortie.store.port import Compacted, Compare, CompareFailed, Datastore, Drop, Event, Put, Unchanged
from tortie.store.sqlite import store as sqlite_module
from tortie.store.sqlite.bell import Bell


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
    yield found
    found.close()


def put(key: str, value: bytes = b"v") -> Put:
    return Put(key, value)


def test_revisions_grow_and_keys_remember_theirs(store: Datastore) -> None:
    start = store.list("/").revision
    assert store.commit([put("/a", b"1"), put("/b")]) == start + 1
    assert store.commit([put("/a", b"2")]) == start + 2
    a, b = store.get("/a"), store.get("/b")
    assert a is not None
    assert b is not None
    assert (a.value, a.revision, a.created, a.lease) == (b"2", start + 2, start + 1, None)
    assert b.revision == start + 1
    assert store.get("/absent") is None
    store.commit([Drop("/a")])
    store.commit([put("/a")])
    again = store.get("/a")
    assert again is not None
    assert again.created == again.revision == start + 4


def test_nothing_to_do_takes_no_revision(store: Datastore) -> None:
    revision = store.commit([put("/a")])
    assert store.commit([]) == revision
    assert store.commit([Drop("/absent")]) == revision
    assert store.list("/").revision == revision


def test_a_listing_is_sorted_and_stays_within_its_prefix(store: Datastore) -> None:
    keys = ["/a/", "/a/1", "/a/10", "/a/2", "/a/\U0001f408", "/a/é", "/a0", "/b/1"]
    store.commit([put(key) for key in reversed(keys)])
    assert [kv.key for kv in store.list("/a/").items] == sorted(keys[:6])
    assert [kv.key for kv in store.list("/").items] == sorted(keys)
    assert [kv.key for kv in store.list("").items] == sorted(keys)
    assert list(store.list("/c/").items) == []


def test_a_transaction_is_all_or_nothing(store: Datastore) -> None:
    at = store.commit([put("/a")])
    for compares in ([Compare("/a", at), Compare("/b", at)], [Compare("/a", 0)], [Compare("/a", at - 1)]):
        with pytest.raises(CompareFailed) as caught:
            store.commit([put("/a", b"x"), put("/c")], compares)
        assert caught.value.key == ("/b" if len(compares) == 2 else "/a")
    assert store.get("/c") is None
    assert store.list("/").revision == at
    assert store.commit([put("/a", b"x"), Drop("/b")], [Compare("/a", at), Compare("/b", 0)]) == at + 1


def test_a_refusal_tells_what_the_key_holds_instead(store: Datastore) -> None:
    at = store.commit([put("/a", b"mine")])
    now = store.commit([put("/a", b"theirs")])
    with pytest.raises(CompareFailed) as caught:
        store.commit([put("/a")], [Compare("/b", 0), Compare("/a", at)])
    assert caught.value.now == store.get("/a")
    assert caught.value.now is not None
    assert (caught.value.now.value, caught.value.now.revision) == (b"theirs", now)
    with pytest.raises(CompareFailed) as caught:
        store.commit([put("/a")], [Compare("/b", at)])
    assert caught.value.now is None


def test_a_prefix_that_nobody_wrote_to_is_a_condition(store: Datastore) -> None:
    at = store.commit([put("/a/1"), put("/a/2"), put("/b")])
    assert store.commit([put("/x")], [Unchanged("/a/", at), Unchanged("/none/", 0)]) > at
    store.commit([Drop("/a/2"), put("/a0"), put("/b")])
    store.commit([put("/x")], [Unchanged("/a/", at)])
    later = store.commit([put("/a/3")])
    for prefix in ("/a/", "/a/3", ""):
        with pytest.raises(CompareFailed) as caught:
            store.commit([put("/y")], [Compare("/none", 0), Unchanged(prefix, later - 1)])
        assert (caught.value.key, caught.value.now) == (prefix, None)
    assert store.get("/y") is None
    store.commit([put("/y")], [Unchanged("/a/", later)])


def test_what_no_backend_takes_is_refused_before_anything_is_written(store: Datastore) -> None:
    with pytest.raises(Invalid, match="key /a is written twice in one transaction"):
        store.commit([put("/a"), Drop("/a")])
    with pytest.raises(Invalid, match="a key must not be empty"):
        store.commit([put("/a"), put("")])
    assert store.get("/a") is None


def test_a_watch_tells_every_change_once_and_in_order(store: Datastore) -> None:
    before = store.commit([put("/w/a", b"0")])
    watch = store.watch("/w/", before)
    first = store.commit([put("/w/a", b"1"), put("/w/b", b"1"), put("/x/a")])
    second = store.commit([Drop("/w/a")])
    seen: list[Event] = []
    while len(seen) < 3:
        seen += watch.next(PATIENCE)
    assert seen == [
        Event("/w/a", b"1", first, b"0"),
        Event("/w/b", b"1", first, None),
        Event("/w/a", None, second, b"1"),
    ]
    assert list(watch.next(0)) == []
    watch.close()


def test_a_watch_resumes_at_a_revision(store: Datastore) -> None:
    revisions = [store.commit([put("/w/a", bytes([number]))]) for number in range(5)]
    watch = store.watch("/w/", revisions[2])
    resumed: list[Event] = []
    while len(resumed) < 2:
        resumed += watch.next(PATIENCE)
    assert [event.revision for event in resumed] == revisions[3:]
    ahead = store.watch("/w/", revisions[-1] + 1)
    store.commit([put("/w/skipped")])
    last = store.commit([put("/w/seen")])
    seen: list[Event] = []
    while not seen:
        seen += ahead.next(PATIENCE)
    assert [event.revision for event in seen] == [last]


def test_a_waiting_watch_wakes_for_another_handle_and_for_close(url: str, store: Datastore) -> None:
    watch = store.watch("/w/", store.list("/").revision)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(watch.next, 60)
        other = open_store(url)
        other.commit([put("/w/a")])
        other.close()
        assert [event.key for event in waiting.result(PATIENCE)] == ["/w/a"]
        closing = pool.submit(watch.next, 60)
        watch.close()
        watch.close()
        assert list(closing.result(PATIENCE)) == []
    assert list(watch.next(60)) == []


def leased(store: Datastore) -> tuple[int, int]:
    """A lease of two seconds that has /l/a, and the revision at which it was written. A machine that stands still for
    so long writes it again."""

    def written() -> tuple[int, int] | None:
        lease = store.grant(2)
        try:
            at = store.commit([Put("/l/a", b"1", lease), put("/l/b")])
        except NotFound:
            return None
        kv = store.get("/l/a")
        return (lease, at) if kv is not None and kv.lease == lease else None

    found = wait_until(written)
    assert found is not None
    return found


def test_a_lease_takes_its_keys_along_and_watchers_see_it(store: Datastore) -> None:
    lease, at = leased(store)
    watch = store.watch("/l/", at)
    events = watch.next(PATIENCE)
    assert [(event.key, event.value, event.previous) for event in events] == [("/l/a", None, b"1")]
    with pytest.raises(NotFound):
        store.keep_alive(lease)
    with pytest.raises(NotFound):
        store.commit([Put("/l/c", b"1", lease)])
    assert [kv.key for kv in store.list("/l/").items] == ["/l/b"]


def test_who_only_reads_sees_a_lease_end(store: Datastore) -> None:
    leased(store)
    wait_until(lambda: store.get("/l/a") is None)
    leased(store)
    wait_until(lambda: [entry.key for entry in store.list("/l/").items] == ["/l/b"])


def test_a_lease_that_is_kept_alive_or_given_up(store: Datastore) -> None:
    lease, other = store.grant(60), store.grant(60)
    store.commit([Put("/l/a", b"1", lease), Put("/l/b", b"1", other)])
    store.keep_alive(lease)
    store.commit([Put("/l/b", b"2")])
    store.revoke(lease)
    store.revoke(lease)
    store.revoke(other)
    assert [kv.key for kv in store.list("/l/").items] == ["/l/b"]
    for ttl in (0, -1):
        with pytest.raises(Invalid):
            store.grant(ttl)


COUNTER = """
import sys
from tortie.store.open import open_store
from tortie.store.port import Compare, CompareFailed, Put

store = open_store(sys.argv[1])
done = 0
while done < 50:
    kv = store.get("/n")
    count, at = (int(kv.value), kv.revision) if kv else (0, 0)
    try:
        store.commit([Put("/n", b"%d" % (count + 1))], [Compare("/n", at)])
    except CompareFailed:
        continue
    done += 1
"""


def test_processes_that_open_at_once_lose_no_update(url: str) -> None:
    start = 0 if url.startswith("sqlite") else open_store(url).list("").revision  # the embedded one is made by them
    processes = [subprocess.Popen([sys.executable, "-c", COUNTER, url]) for _ in range(4)]
    assert [process.wait(PATIENCE) for process in processes] == [0] * 4
    kv = open_store(url).get("/n")
    assert kv is not None
    assert (kv.value, kv.revision) == (b"200", start + 200)


def test_threads_on_one_handle_lose_no_update(store: Datastore) -> None:
    def add() -> None:
        for _ in range(25):
            while True:
                kv = store.get("/n")
                try:
                    store.commit(
                        [Put("/n", b"%d" % (int(kv.value) + 1 if kv else 1))], [Compare("/n", kv.revision if kv else 0)]
                    )
                except CompareFailed:
                    continue
                break

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(add) for _ in range(4)]:
            future.result(PATIENCE)
    kv = store.get("/n")
    assert kv is not None
    assert kv.value == b"100"


WRITER = """
import sys
from tortie.store.open import open_store
from tortie.store.port import Put

store = open_store(sys.argv[1])
number = 0
while True:
    number += 1
    text = b"%d" % number
    store.commit([Put("/k/a", text), Put("/k/b", text)])
    print(number, flush=True)
"""


def test_a_killed_writer_leaves_whole_transactions_and_keeps_what_it_confirmed(url: str) -> None:
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(20):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        confirmed = [int(line) for line in process.stdout if line.endswith("\n")]
        process.wait()
        store = open_store(url)
        a, b = store.get("/k/a"), store.get("/k/b")
        assert a is not None
        assert b is not None
        assert a.value == b.value
        assert a.revision == b.revision
        assert int(a.value) >= (confirmed[-1] if confirmed else 20)
        store.commit([put("/k/more")])
        store.close()


def test_followers_get_all_then_changes_and_end_when_cancelled(store: Datastore) -> None:
    store.commit([put("/f/a")])
    seen: list[tuple[bool, list[str]]] = []

    async def main() -> None:
        first = anyio.Event()

        async def run() -> None:
            async for whole, events in follow(store, "/f/"):
                seen.append((whole, [event.key for event in events]))
                first.set()
                if len(seen) == 2:
                    tasks.cancel_scope.cancel()

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run)
                await first.wait()
                store.commit([put("/f/b")])

    anyio.run(main)
    assert seen == [(True, ["/f/a"]), (False, ["/f/b"])]


def test_many_followers_do_not_use_up_the_threads_for_short_calls(store: Datastore) -> None:
    async def main() -> None:
        started = [anyio.Event() for _ in range(50)]

        async def run(event: anyio.Event) -> None:
            async for _ in follow(store, "/f/"):
                event.set()

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for event in started:
                    tasks.start_soon(run, event)
                for event in started:
                    await event.wait()
                await anyio.to_thread.run_sync(store.get, "/f/a")
                tasks.cancel_scope.cancel()

    anyio.run(main)


def test_a_watch_that_is_too_far_behind_is_told_and_a_follower_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "KEEP_REVISIONS", 10)
    monkeypatch.setattr(sqlite_module, "COMPACT_EVERY", 5)
    store = open_store(f"sqlite://{tmp_path}/store")
    first = store.commit([put("/w/a")])
    watch = store.watch("/w/", first)
    for number in range(20):
        store.commit([put("/w/a", bytes([number]))])
    with pytest.raises(Compacted):
        watch.next(PATIENCE)
    assert store.watch("/w/", store.list("/").revision - 3).next(PATIENCE)
    store.close()


def test_a_store_that_is_closed_or_removed_ends_its_watches(tmp_path: Path) -> None:
    for end in ("close", "remove"):
        directory = tmp_path / end
        store = open_store(f"sqlite://{directory}")
        watch = store.watch("/w/", 0)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(watch.next, 60)
            if end == "close":
                store.close()
            else:
                for file in directory.iterdir():
                    file.unlink()
            with pytest.raises(Unavailable):
                waiting.result(PATIENCE)
        store.close()


def test_without_inotify_the_bell_looks_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tortie.store.sqlite.bell._inotify", lambda path: None)
    path = tmp_path / "bell"
    path.write_bytes(b"")
    bell = Bell(os.fspath(path), lambda: None)
    seen = bell.count
    os.utime(path, ns=(1, 1))
    bell.wait(seen, PATIENCE)
    assert bell.count == seen + 1
    bell.close()


def test_threads_end_with_the_store(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    store = open_store(f"sqlite://{tmp_path}/store")
    watches = [store.watch("/", 0) for _ in range(5)]
    assert len(set(threading.enumerate()) - before) == 1
    for watch in watches:
        watch.close()
    store.close()
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sqlite://host/path", "expected sqlite:///DIRECTORY"),
        ("sqlite:", "expected sqlite:///DIRECTORY"),
        ("redis://x", "unknown kind 'redis'"),
        ("etcd://[::1", "is no HOST:PORT"),
        ("etcd:host", "unknown kind 'etcd'"),
        ("etcd://", "'' is no HOST:PORT"),
        ("/var/lib", "unknown kind '/var/lib'"),
    ],
)
def test_an_address_that_names_no_store_is_invalid(text: str, reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        open_store(text)


def test_a_directory_that_cannot_hold_a_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(Unavailable, match=r"File exists|Not a directory"):
        open_store(f"sqlite://{tmp_path}/file")
    with pytest.raises(Unavailable, match="Not a directory"):
        open_store(f"sqlite://{tmp_path}/file/below")
    with pytest.raises(Unavailable, match=r"Permission denied|Read-only|No such file"):
        open_store("sqlite:///proc/1/none")
    with pytest.raises(Unavailable, match="there is none"):
        open_store(f"sqlite://{tmp_path}/absent", create=False)
    assert not (tmp_path / "absent").exists()


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(Unavailable, match=f"store {tmp_path}: file is not a database"):
        open_store(f"sqlite://{tmp_path}")


def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    store = sqlite_module.SqliteStore(tmp_path)
    store._db.execute("PRAGMA user_version=99")
    store.close()
    with pytest.raises(Unavailable, match=r"made by a newer version \(99\)"):
        open_store(f"sqlite://{tmp_path}")


KEYS = st.sampled_from(["/a", "/a/1", "/a/2", "/b/1"])


class Twin(RuleBasedStateMachine):
    """Random steps on a store and on a plain dictionary; a watch must tell the way from one state to the next."""

    backend: Url
    directory: Path

    def __init__(self) -> None:
        super().__init__()
        place = self.directory / f"{time.monotonic_ns()}"
        place.mkdir()
        self.url = self.backend(place)
        self.store = open_store(self.url)
        self.twin: dict[str, tuple[bytes, int]] = {}
        self.revision = self.store.list("").revision
        self.watch = self.store.watch("/a/", self.revision)
        self.seen: dict[str, bytes] = {}

    @rule(writes=st.dictionaries(KEYS, st.none() | st.binary(max_size=3), max_size=3), stale=st.none() | KEYS)
    def commit(self, writes: dict[str, bytes | None], stale: str | None) -> None:
        operations = [Drop(key) if value is None else Put(key, value) for key, value in writes.items()]
        compares = [Compare(key, self.twin.get(key, (b"", 0))[1]) for key in writes]
        if stale is not None:
            compares.append(Compare(stale, self.twin.get(stale, (b"", 0))[1] + 1))
            with pytest.raises(CompareFailed):
                self.store.commit(operations, compares)
            return
        if any(value is not None or key in self.twin for key, value in writes.items()):
            self.revision += 1
        assert self.store.commit(operations, compares) == self.revision
        for key, value in writes.items():
            self.twin.pop(key, None)
            if value is not None:
                self.twin[key] = (value, self.revision)

    @rule()
    def look(self) -> None:
        """A last event of its own tells when everything before it has arrived."""
        self.commit({"/a/seen": b"%d" % self.revision}, None)
        told = 0
        while told < self.revision:
            for event in self.watch.next(PATIENCE):
                assert event.revision >= told
                told = event.revision
                assert event.previous == self.seen.get(event.key)
                self.seen.pop(event.key, None)
                if event.value is not None:
                    self.seen[event.key] = event.value
        assert self.seen == {key: value for key, (value, _) in self.twin.items() if key.startswith("/a/")}

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = open_store(self.url)
        self.watch = self.store.watch("/a/", self.revision)
        self.seen = {key: value for key, (value, _) in self.twin.items() if key.startswith("/a/")}

    @invariant()
    def same(self) -> None:
        listing = self.store.list("")
        assert {kv.key: (kv.value, kv.revision) for kv in listing.items} == self.twin
        assert listing.revision == self.revision

    def teardown(self) -> None:
        self.store.close()


def test_random_steps_agree_with_a_plain_dictionary(backend: Url, tmp_path: Path) -> None:
    class Machine(Twin):
        directory = tmp_path

    Machine.backend = staticmethod(backend)

    run_state_machine_as_test(Machine, settings=settings(max_examples=25, stateful_step_count=20, deadline=None))
