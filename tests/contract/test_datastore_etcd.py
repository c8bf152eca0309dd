"""What only a store over a network can meet: outages, compaction, members that are away, logins, certificates."""

from __future__ import annotations

import base64
import gc
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from tests.support.etcd_server import ETCD, EtcdServer, etcd, user, wipe
from tests.support.ports import free_port
from tests.support.tls import authority
from tests.support.waiting import PATIENCE, wait_until

from tortie.base.errors import Invalid, Unavailable
from tortie.store.etcd import store as etcd_module
from tortie.store.open import open_store
from tortie.store.port import Compacted, Datastore, Drop, Event, Put, Watch

pytestmark = pytest.mark.skipif(ETCD is None, reason="no etcd on this machine (package etcd-server)")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    with etcd(tmp_path_factory.mktemp("etcd")) as found:
        yield found


@pytest.fixture
def server(running: EtcdServer) -> EtcdServer:
    wipe(running)
    return running


@pytest.fixture
def store(server: EtcdServer) -> Iterator[Datastore]:
    found = open_store(server.url)
    yield found
    found.close()


def gather(watch: Watch, until: Callable[[list[Event]], bool]) -> list[Event]:
    """What a watch tells; an outage that it tells as well does not end it."""
    seen: list[Event] = []
    while not until(seen):
        try:
            events = watch.next(PATIENCE)
        except Unavailable:
            continue
        assert events, f"nothing came after {seen[-1:]}"
        seen += events
    return seen


def test_a_large_listing_comes_whole_as_of_one_revision(store: Datastore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_module, "PAGE", 7)
    keys = [f"/p/{number:03}" for number in range(50)]
    store.commit([Put(key, b"1") for key in keys])
    asked: list[dict[str, object]] = []
    plain = etcd_module.EtcdStore._range

    def meddling(self: etcd_module.EtcdStore, message: dict[str, object]) -> object:
        reply = plain(self, message)
        if not asked:
            store.commit([Put("/p/000", b"2"), Drop("/p/040"), Put("/p/041x", b"2")])
        asked.append(message)
        return reply

    monkeypatch.setattr(etcd_module.EtcdStore, "_range", meddling)
    listing = store.list("/p/")
    assert [(kv.key, kv.value) for kv in listing.items] == [(key, b"1") for key in keys]
    assert len(asked) == 8
    watch = store.watch("/p/", listing.revision)
    assert [event.key for event in gather(watch, lambda seen: len(seen) == 3)] == ["/p/000", "/p/040", "/p/041x"]
    watch.close()


def test_a_listing_that_was_compacted_on_the_way_begins_again(
    server: EtcdServer, store: Datastore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_module, "PAGE", 2)
    store.commit([Put(f"/p/{number}", b"1") for number in range(5)])
    plain, calls = etcd_module.EtcdStore._range, 0

    def compacting(self: etcd_module.EtcdStore, message: dict[str, object]) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            server.compact(store.commit([Put("/p/0", b"2")]))
        return plain(self, message)

    monkeypatch.setattr(etcd_module.EtcdStore, "_range", compacting)
    assert [kv.value for kv in store.list("/p/").items] == [b"2", b"1", b"1", b"1", b"1"]


def test_what_was_compacted_is_told_and_what_was_not_is_watched(server: EtcdServer, store: Datastore) -> None:
    revisions = [store.commit([Put("/c/a", bytes([number]))]) for number in range(5)]
    server.compact(revisions[3])
    behind = store.watch("/c/", revisions[2])
    for _ in range(2):
        with pytest.raises(Compacted, match=f"revision {revisions[2]} is no longer in the change log"):
            behind.next(PATIENCE)
    behind.close()
    watch = store.watch("/c/", revisions[3])
    assert gather(watch, bool) == [Event("/c/a", b"\x04", revisions[4], b"\x03")]
    watch.close()


def test_a_deletion_at_the_compacted_revision_is_not_skipped_silently(server: EtcdServer, store: Datastore) -> None:
    """etcd drops a tombstone at the revision it compacts to, and lets a watch from just there begin without it."""
    at = store.commit([Put("/c/a", b"1")])
    server.compact(store.commit([Drop("/c/a")]))
    watch = store.watch("/c/", at)
    with pytest.raises(Compacted):
        watch.next(PATIENCE)
    watch.close()


def test_a_killed_server_costs_a_watch_nothing(tmp_path: Path) -> None:
    with etcd(tmp_path / "etcd") as server:
        store = open_store(server.url)
        watch = store.watch("/w/", store.commit([Put("/w/0", b"")]))
        wanted: list[tuple[str, int]] = []

        def write(number: int) -> None:
            wanted.append((f"/w/{number}", store.commit([Put(f"/w/{number}", b"")])))

        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(gather, watch, lambda seen: len(seen) >= 30)
            for number in range(1, 31):
                write(number)
                if number % 10 == 0:
                    server.kill()
                    with pytest.raises(Unavailable, match="Connection refused"):
                        store.commit([Put("/w/lost", b"")])
                    server.start()
            seen = reading.result(PATIENCE)
        assert [(event.key, event.revision) for event in seen] == wanted
        watch.close()
        store.close()


def test_a_cluster_that_was_put_back_is_told_as_a_loss(tmp_path: Path) -> None:
    with etcd(tmp_path / "etcd") as server:
        store = open_store(server.url)
        after = 0
        for number in range(20):
            after = store.commit([Put(f"/w/{number}", b"")])
        watch = store.watch("/w/", after - 1)
        assert gather(watch, bool)
        server.kill()
        (server.directory / "data").rename(server.directory / "old")
        server.start()
        with pytest.raises(Compacted, match="put back to an older state"):
            watch.next(PATIENCE)
        watch.close()
        store.close()


def test_a_long_outage_is_told_and_the_watch_goes_on_behind_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tortie.store.etcd.watch.OUTAGE_SECONDS", 0.2)
    with etcd(tmp_path / "etcd") as server:
        store = open_store(server.url)
        watch = store.watch("/w/", store.commit([Put("/w/0", b"")]))
        watch.next(0.1)
        server.kill()
        for _ in range(2):
            with pytest.raises(Unavailable, match=r"Connection refused"):
                watch.next(PATIENCE)
        server.start()
        at = store.commit([Put("/w/1", b"")])
        assert gather(watch, bool) == [Event("/w/1", b"", at)]
        watch.close()
        store.close()


def test_another_member_is_asked_when_one_is_away(server: EtcdServer) -> None:
    dead = free_port()
    url = f"etcd://127.0.0.1:{dead},127.0.0.1:{server.client}"
    store = open_store(url)
    at = store.commit([Put("/m/a", b"1")])
    watch = store.watch("/m/", at - 1)
    assert [event.key for event in gather(watch, bool)] == ["/m/a"]
    watch.close()
    store.close()
    with pytest.raises(Unavailable, match=rf"store etcd://\S+: 127.0.0.1:{dead}: Connection refused"):
        open_store(f"etcd://127.0.0.1:{dead}")


def test_a_closed_store_ends_its_watches(server: EtcdServer) -> None:
    store = open_store(server.url)
    watch = store.watch("/w/", store.list("/").revision)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(watch.next, 60)
        store.close()
        with pytest.raises(Unavailable, match="closed"):
            waiting.result(PATIENCE)
    with pytest.raises(Unavailable, match="closed"):
        store.get("/a")
    watch.close()


def test_nothing_is_left_open_behind_a_store(server: EtcdServer) -> None:
    def files() -> set[str]:
        """What each descriptor of this process is."""
        found = set()
        for name in os.listdir("/proc/self/fd"):
            with suppress(FileNotFoundError):  # the listing's own
                found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        return found

    gc.collect()
    before, threads = files(), set(threading.enumerate())
    for _ in range(5):
        store = open_store(server.url)
        watches = [store.watch("/w/", 0) for _ in range(3)]
        for watch in watches:
            watch.next(0)
            watch.close()
        store.close()
    # Threads and sockets of earlier tests may end meanwhile: only what is new counts.
    wait_until(lambda: files() <= before, message=lambda: f"open: {files() - before}")
    wait_until(lambda: set(threading.enumerate()) <= threads, message=lambda: f"threads: {threading.enumerate()}")


def test_refusals_are_told_in_words(server: EtcdServer, store: Datastore) -> None:
    with pytest.raises(Invalid, match="too many operations in txn request"):
        store.commit([Put(f"/r/{number}", b"") for number in range(129)])
    for size in (1_800_000, 3_000_000):
        with pytest.raises(Invalid, match="request is too large"):
            store.commit([Put("/r/large", os.urandom(size))])
    assert not store.list("/r/").items


def test_a_full_store_says_so(tmp_path: Path) -> None:
    with etcd(tmp_path / "etcd", "--quota-backend-bytes", "300000") as server:
        store = open_store(server.url)

        def fill() -> None:
            for number in range(50):
                store.commit([Put(f"/f/{number}", os.urandom(50_000))])

        with pytest.raises(Unavailable, match="the store is full"):
            fill()
        assert store.list("/f/").items
        store.close()


def test_certificates_of_both_sides(tmp_path: Path) -> None:
    own, other = authority(tmp_path / "own"), authority(tmp_path / "other")
    with etcd(tmp_path / "etcd", tls=own) as server:
        store = open_store(server.url)
        at = store.commit([Put("/t/a", b"1")])
        watch = store.watch("/t/", at - 1)
        assert [event.key for event in gather(watch, bool)] == ["/t/a"]
        last = store.commit([Put("/t/b", os.urandom(900_000))])
        assert [event.revision for event in gather(watch, bool)] == [last]
        watch.close()
        store.close()
        at_port = f"etcds://127.0.0.1:{server.client}"
        with pytest.raises(Unavailable, match="its certificate is not accepted"):
            open_store(f"{at_port}?ca={other.ca}&cert={own.cert}&key={own.key}")
        for url in (f"{at_port}?ca={own.ca}", f"{at_port}?ca={own.ca}&cert={other.cert}&key={other.key}"):
            with pytest.raises(Unavailable):
                open_store(url).get("/t/a")
        with pytest.raises(Unavailable):
            open_store(f"etcd://127.0.0.1:{server.client}").get("/t/a")
    with pytest.raises(Invalid) as caught:
        open_store(f"{at_port}?ca={tmp_path}/none&cert={own.cert}&key={tmp_path}/none.key")
    assert [problem.split(": ", 1)[1] for problem in caught.value.problems] == [
        f"ca: {tmp_path}/none cannot be read",
        f"key: {tmp_path}/none.key cannot be read",
    ]
    with pytest.raises(Invalid, match="certificates: "):
        open_store(f"{at_port}?ca={own.ca}&cert={own.cert}&key={other.key}")


def test_users_passwords_and_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with etcd(tmp_path / "etcd", "--auth-token-ttl", "1") as server:
        monkeypatch.setenv("ETCD_USERNAME", "root")
        monkeypatch.setenv("ETCD_PASSWORD", "of root")
        open_store(server.url).commit([Put("/open", b"as before")])  # nobody asks for them yet
        _with_users(server)
        store = open_store(server.url)
        at = store.commit([Put("/calico/a", b"1"), Put("/secret", b"1")])
        # Its tokens are forgotten with the server: they are renewed without a word, those of watches as well.
        watch = store.watch("/calico/", at - 1)
        assert [event.key for event in gather(watch, bool)] == ["/calico/a"]
        server.kill()
        server.start()
        assert store.commit([Put("/calico/a", b"2")]) == at + 1
        assert [event.value for event in gather(watch, bool)] == [b"2"]
        watch.close()
        _credentials(server, tmp_path, monkeypatch)
        store.close()


def _with_users(server: EtcdServer) -> None:
    user(server, "root", "of root", ["root"])
    server.call("/v3/auth/role/add", {"name": "calico"})
    ends = {"key": base64.b64encode(b"/calico/").decode(), "range_end": base64.b64encode(b"/calico0").decode()}
    server.call("/v3/auth/role/grant", {"name": "calico", "perm": {"permType": "READWRITE", **ends}})
    user(server, "felix", "of: felix", ["calico"])
    server.call("/v3/auth/enable", {})


def _credentials(server: EtcdServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETCD_PASSWORD", "wrong")
    with pytest.raises(Invalid, match="authentication failed, invalid user ID or password"):
        open_store(server.url)
    monkeypatch.delenv("ETCD_PASSWORD")
    with pytest.raises(Invalid, match="go together"):
        open_store(server.url)
    monkeypatch.delenv("ETCD_USERNAME")
    with pytest.raises(Invalid, match="it wants a user and a password"):
        open_store(server.url).get("/calico/a")
    login = tmp_path / "login"
    login.write_text("felix:of: felix\n")
    felix = open_store(f"{server.url}?login={login}")
    assert felix.get("/calico/a") is not None
    for call in (lambda: felix.get("/secret"), lambda: felix.list("/"), lambda: felix.commit([Put("/secret", b"2")])):
        with pytest.raises(Invalid, match="permission denied"):
            call()
    watch = felix.watch("/secret", 0)
    with pytest.raises(Invalid, match="permission denied"):
        watch.next(PATIENCE)
    watch.close()
    felix.close()
    for content in ("", "felix", "felix:", ":x", "felix:x\nmore", None):
        login.unlink()
        if content is not None:
            login.write_text(content)
        with pytest.raises(Invalid, match="login"):
            open_store(f"{server.url}?login={login}")
        login.touch()


class Stranger(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = b"<html>hello</html>"
        self.send_response(200 if "range" in self.path else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_something_else_that_listens_there_is_named() -> None:
    stranger = HTTPServer(("127.0.0.1", 0), Stranger)
    thread = threading.Thread(target=stranger.serve_forever, args=(0.05,))
    thread.start()
    try:
        store = open_store(f"etcd://127.0.0.1:{stranger.server_port}")
        with pytest.raises(Unavailable, match="not the answer of an etcd v3"):
            store.get("/a")
        with pytest.raises(Unavailable, match="HTTP 404: not an etcd v3, or its JSON gateway is off"):
            store.commit([Put("/a", b"")])
        store.close()
    finally:
        stranger.shutdown()
        stranger.server_close()
        thread.join()
