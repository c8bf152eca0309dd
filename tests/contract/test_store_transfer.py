"""Export, import and move, between both backends and by the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.support.etcd_server import ETCD, EtcdServer, etcd, wipe
from tests.support.waiting import PATIENCE

from tortie.base.errors import Conflict, Invalid, TortieError, Unavailable
from tortie.store import transfer
from tortie.store.open import open_store, store_url
from tortie.store.port import Condition, Datastore, Drop, Put, Write
from tortie.store.transfer_file import READY_KEY, Entry


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    if ETCD is None:
        pytest.skip("no etcd on this machine (package etcd-server)")
    with etcd(tmp_path_factory.mktemp("etcd")) as found:
        yield found


@pytest.fixture
def stores(server: EtcdServer, tmp_path: Path) -> tuple[str, str]:
    """An embedded one with something in it, and an empty etcd."""
    wipe(server)
    url = f"sqlite://{tmp_path}/store"
    store = open_store(url)
    store.commit([Put(key, value) for key, value in HELD.items()] + [Put("/tortie/v1/lead", b"x", store.grant(600))])
    store.close()
    return url, server.url


HELD = {
    READY_KEY: b'{"kind":"ClusterInformation"}',
    **{f"/calico/ipam/v2/handle/h{number:03}": b"%d" % number for number in range(250)},
    "/calico/large": b"\xff" * 400_000,
    "/calico/large-too": b"\xfe" * 400_000,
    "/tortie/v1/docker/networks/web": "naïve".encode(),
    "/other/program": b"is not ours",
}
MOVED = {key: value for key, value in HELD.items() if key != "/other/program"}


def held(store: Datastore, prefix: str = "/") -> dict[str, bytes]:
    return {kv.key: kv.value for kv in store.list(prefix).items}


def tortie(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    program = "import sys; sys.argv[0] = 'tortie'; from tortie.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, "store", *arguments],
        input=stdin,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )


def said(ran: subprocess.CompletedProcess[bytes]) -> str:
    return ran.stderr.decode()


def test_from_one_backend_to_the_other_and_back(stores: tuple[str, str], tmp_path: Path) -> None:
    sqlite, cluster = stores
    ran = tortie("move", sqlite, cluster)
    assert (ran.returncode, ran.stdout) == (0, b"")
    assert f"{len(MOVED)} keys written to {cluster}, as of revision 1 of {sqlite}" in said(ran)
    there = open_store(cluster)
    assert held(there) == MOVED
    assert there.list("/").revision == max(kv.revision for kv in there.list(READY_KEY).items)  # the last one written
    ran = tortie("move", cluster, f"sqlite://{tmp_path}/again", "--drop-source")
    assert ran.returncode == 0, said(ran)
    assert held(open_store(f"sqlite://{tmp_path}/again")) == MOVED
    assert held(there) == {}
    assert held(open_store(sqlite)) == {**HELD, "/tortie/v1/lead": b"x"}


def test_by_a_file_and_by_a_pipe(stores: tuple[str, str], tmp_path: Path) -> None:
    sqlite, cluster = stores
    file = tmp_path / "export"
    ran = tortie("export", "--store", sqlite, str(file))
    assert ran.returncode == 0, said(ran)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert tortie("export", "--store", sqlite).stdout == file.read_bytes()
    ran = tortie("import", "--store", cluster, stdin=file.read_bytes())
    assert ran.returncode == 0, said(ran)
    assert held(open_store(cluster)) == MOVED


def test_a_target_that_holds_something_is_refused_unless_told(stores: tuple[str, str]) -> None:
    sqlite, cluster = stores
    target = open_store(cluster)
    there = {"/calico/old": b"1", "/calico/ipam/v2/handle/h001": b"1", READY_KEY: b"old", "/registry/pods/p": b"1"}
    target.commit([Put(key, value) for key, value in there.items()])
    before = target.list("/")
    ran = tortie("move", sqlite, cluster)
    assert ran.returncode == 4
    assert "the target holds 3 keys already" in said(ran)
    assert target.list("/") == before
    ran = tortie("move", sqlite, cluster, "--overwrite")
    assert ran.returncode == 0, said(ran)
    assert held(target) == {**MOVED, "/registry/pods/p": b"1"}
    kept = target.get("/calico/ipam/v2/handle/h001")
    assert kept is not None
    assert kept.revision == before.revision  # it was right already


def test_one_store_under_two_names_is_no_move(stores: tuple[str, str]) -> None:
    sqlite, cluster = stores
    assert tortie("move", sqlite, cluster).returncode == 0
    for other in (cluster, cluster.replace("etcd://", "http://")):
        ran = tortie("move", cluster, other, "--overwrite", "--drop-source")
        assert ran.returncode == 2
        assert "are the same store" in said(ran)
    assert held(open_store(cluster)) == MOVED


def test_what_is_wrong_is_told_before_anything_is_written(stores: tuple[str, str], tmp_path: Path) -> None:
    _, cluster = stores
    bad = tmp_path / "bad"
    bad.write_bytes(b'{"format":"tortie-store/v1","revision":1}\n{"key":"/calico/a","value":"1"}\nx\n{"keys":2}\n')
    ran = tortie("import", "--store", cluster, str(bad))
    assert (ran.returncode, said(ran).startswith(f"tortie: {bad}: line 3: ")) == (2, True)
    assert tortie("import", "--store", cluster, str(tmp_path / "none")).returncode == 2
    assert tortie("export", "--store", f"sqlite://{tmp_path}/absent").returncode == 5
    assert tortie("move", f"sqlite://{tmp_path}/absent", cluster).returncode == 5
    assert tortie("export", "--store", "redis://x").returncode == 2
    ran = tortie("export", "--store", cluster, str(tmp_path / "none" / "file"))
    assert (ran.returncode, "No such file" in said(ran)) == (5, True)
    assert held(open_store(cluster)) == {}


class Meddled:
    """A store between whose calls something happens."""

    def __init__(self, store: Datastore) -> None:
        self.store = store
        self.calls = 0

    def list(self, prefix: str) -> object:
        found = self.store.list(prefix)
        self.calls += 1
        self.meddle()
        return found

    def commit(self, writes: Sequence[Write], compares: Sequence[Condition] = ()) -> int:
        self.calls += 1
        self.meddle()
        return self.store.commit(writes, compares)

    def meddle(self) -> None:
        raise NotImplementedError


def test_a_snapshot_is_of_one_revision(tmp_path: Path) -> None:
    store = open_store(f"sqlite://{tmp_path}/store")
    store.commit([Put("/calico/n", b"0"), Put("/tortie/v1/n", b"0")])

    class Busy(Meddled):
        until = 5

        def meddle(self) -> None:
            if self.calls <= self.until:
                text = b"%d" % self.calls
                self.store.commit([Put("/calico/n", text), Put("/tortie/v1/n", text)])

    entries, revision = transfer.snapshot(Busy(store))  # type: ignore[arg-type]
    assert entries == [Entry("/calico/n", b"5"), Entry("/tortie/v1/n", b"5")]
    assert revision == 6
    Busy.until = 10_000
    with pytest.raises(Unavailable, match="changes too fast"):
        transfer.snapshot(Busy(store))  # type: ignore[arg-type]


@pytest.mark.parametrize("fails", ["away", "meddled"])
def test_an_import_that_fails_takes_back_what_it_wrote(tmp_path: Path, fails: str) -> None:
    store = open_store(f"sqlite://{tmp_path}/store")

    class Failing(Meddled):
        def meddle(self) -> None:
            if self.calls == 5 and fails == "away":
                raise Unavailable("gone for a moment")
            if self.calls == 5:
                self.store.commit([Put("/calico/249", b"of another")])

    entries = [Entry(f"/calico/{number:03}", b"") for number in range(250)]
    family: type[TortieError] = Unavailable if fails == "away" else Conflict
    with pytest.raises(family):
        transfer.load(Failing(store), entries)  # type: ignore[arg-type]
    assert held(store) == ({} if fails == "away" else {"/calico/249": b"of another"})


def test_a_source_that_changed_meanwhile_keeps_everything(tmp_path: Path) -> None:
    store = open_store(f"sqlite://{tmp_path}/store")
    store.commit([Put("/calico/a", b"1"), Put("/calico/b", b"1")])
    entries, _ = transfer.snapshot(store)
    store.commit([Put("/calico/b", b"2")])
    with pytest.raises(Conflict, match=r"written to meanwhile \(/calico/b\); nothing was removed"):
        transfer.remove_unchanged(store, entries)
    assert held(store) == {"/calico/a": b"1", "/calico/b": b"2"}
    store.commit([Drop("/calico/b"), Put("/calico/a", b"1")])
    transfer.remove_unchanged(store, entries)
    assert held(store) == {}


def test_the_store_of_a_host(tmp_path: Path) -> None:
    file = tmp_path / "store"
    assert store_url({}, file) == "sqlite:///var/lib/tortie/store"
    file.write_text("etcd://192.0.2.1\n")
    assert store_url({}, file) == "etcd://192.0.2.1"
    assert store_url({"TORTIE_STORE": "sqlite:///x"}, file) == "sqlite:///x"
    file.write_text("\n")
    assert store_url({}, file) == "sqlite:///var/lib/tortie/store"
    with pytest.raises(Unavailable, match="Is a directory"):
        store_url({}, tmp_path)


def test_a_value_that_etcd_does_not_take_leaves_nothing(server: EtcdServer) -> None:
    wipe(server)
    store = open_store(server.url)
    with pytest.raises(Invalid, match="too large"):
        transfer.load(store, [Entry("/calico/a", b"1"), Entry("/calico/b", os.urandom(1_800_000))])
    assert held(store) == {}
    store.close()
