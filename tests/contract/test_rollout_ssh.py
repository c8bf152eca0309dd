"""`tortie rollout` over a real sshd, to directories that stand for hosts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from click.testing import CliRunner, Result
from tests.support.ports import free_port
from tests.support.rollout_host import NODE, Box, artefact, box, want
from tests.support.waiting import PATIENCE, wait_until

from tortie.base.errors import Conflict, Invalid, NotFound, Unavailable
from tortie.cli import rollout as command
from tortie.cli.main import exit_code
from tortie.packages.rollout import artefact as artefacts
from tortie.packages.rollout import book, drive, reach
from tortie.packages.rollout.artefact import Artefact
from tortie.packages.rollout.hand import bytecode
from tortie.packages.rollout.hand.artefact import tag
from tortie.packages.rollout.hand.main import answer
from tortie.packages.rollout.machine import start
from tortie.store.open import open_store
from tortie.store.port import Put

SSHD = shutil.which("sshd", path="/usr/sbin:/sbin:/usr/local/sbin")
pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        SSHD is None or not shutil.which("ssh") or os.geteuid() != 0,
        reason="needs OpenSSH's client and server, and root to start it",
    ),
]
PYTHON = str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())
ADDRESSES = ("127.0.0.1", "127.0.0.2")


@dataclass
class World:
    """Two hosts `a1` and `a2`, and a file that names them."""

    boxes: Mapping[str, Box]
    file: Path
    store: str
    away: set[str]
    asked: list[Mapping[str, Any]]

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(command.rollout, [*words, "--store", self.store])

    def plan(self) -> str:
        done = self.run(str(self.file), "--dry-run", "--json")
        assert done.exit_code in (0, 2), done.output
        digest: str = json.loads(done.stdout)["hash"]
        return digest

    def apply(self) -> Result:
        return self.run(str(self.file), "--apply", self.plan())

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return found


@contextmanager
def sshd(folder: Path) -> Iterator[list[str]]:
    """Options that lead to it."""
    assert SSHD is not None
    Path("/run/sshd").mkdir(exist_ok=True)
    port = free_port()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    known = (folder / "host.pub").read_text()
    (folder / "known").write_text("".join(f"[{address}]:{port} {known}" for address in ADDRESSES))
    settings = ["StrictModes no", "UsePAM no", "PidFile none", f"AuthorizedKeysFile {folder}/authorized"]
    settings += [f"HostKey {folder}/host", "PermitRootLogin yes", "PasswordAuthentication no"]
    settings += [f"ListenAddress {address}:{port}" for address in ADDRESSES]
    (folder / "config").write_text("\n".join(settings) + "\n")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "config"], stdout=log, stderr=log)
    try:
        wait_until(
            lambda: server.poll() is None and (folder / "log").read_text().count("Server listening") == 2,
            message=(folder / "log").read_text,
        )
        yield [
            f"UserKnownHostsFile={folder}/known",
            f"Port={port}",
            f"IdentityFile={folder}/user",
            "IdentitiesOnly=yes",
        ]
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    name, packed = artefact("one")
    monkeypatch.setattr(artefacts, "build", lambda _python, **_: Artefact(name, tag(), packed))
    monkeypatch.setattr(drive, "PAUSE", 0.01)
    monkeypatch.setattr(book, "LEASE_SECONDS", PATIENCE)
    real, away, requests = reach.asked, set[str](), list[Mapping[str, Any]]()
    with sshd(tmp_path) as options, box() as one, box() as two:
        boxes = dict(zip(ADDRESSES, (one, two), strict=True))

        def inside(where: str, argv: Sequence[str], request: Mapping[str, Any], payload: bytes) -> dict[str, Any]:
            requests.append(request)
            if where in away:
                raise Unavailable(f"{where}: no route to host")
            host = boxes[where]
            there = {"root": str(host.root), "systemctl": str(host.systemctl)}
            return real(where, argv, {**request, **there}, payload)

        monkeypatch.setattr(reach, "asked", inside)
        hosts = [{"name": f"a{number}", "address": address} for number, address in enumerate(ADDRESSES, 1)]
        document = {
            "store": "etcd://10.0.0.1:2379",
            "ssh": {"python": PYTHON, "options": options},
            "settle": 0,
            "patience": PATIENCE,
            "hosts": hosts,
        }
        file = tmp_path / "hosts.yaml"
        file.write_text(json.dumps(document))
        yield World({"a1": one, "a2": two}, file, f"sqlite://{tmp_path}/store", away, requests)


def test_planned_rolled_out_and_undone(world: World) -> None:
    before = {name: host.tree() for name, host in world.boxes.items()}
    dry = world.run(str(world.file), "--dry-run")
    assert dry.exit_code == command.CHANGES
    assert "a1:\n  artefact       unpack /opt/tortie/" in dry.stdout
    assert {name: host.tree() for name, host in world.boxes.items()} == before
    done = world.apply()
    assert (done.exit_code, done.exception) == (0, None), done.output
    told = [line.split(" ", 1)[1] for line in done.stdout.splitlines() if line.endswith(": done") and line[0] != "r"]
    steps = ("artefact", "configuration", "cni", "node", "gate")
    assert told == [f"{host} {step}: done" for host in ("a1", "a2") for step in steps]
    for name, host in world.boxes.items():
        assert (
            host.root / "etc/tortie/node.conf"
        ).read_text() == f"NODENAME={name}\nTORTIE_STORE=etcd://10.0.0.1:2379\n"
        assert host.restarts() == [NODE]
    gates = [request["rolled"] for request in world.asked if request["step"] == "gate"]
    assert gates == [[], ["a1", "a1", "127.0.0.1"]]
    again = world.run(str(world.file), "--dry-run")
    assert (again.exit_code, again.stdout) == (0, "a1: nothing to do\na2: nothing to do\n")
    assert "nothing to do" in world.apply().stdout
    undone = world.run("undo")
    assert (undone.exit_code, undone.exception) == (0, None), undone.output
    assert world.state()["state"] == "undone"
    assert {name: host.tree() for name, host in world.boxes.items()} == before


def test_a_step_that_fails_stops_it_with_the_reason_and_retry_goes_on(world: World) -> None:
    untouched = {name: host.tree() for name, host in world.boxes.items()}
    world.boxes["a1"].refuse_restarts(True)
    stopped = world.apply()
    assert isinstance(stopped.exception, command.Stopped)
    assert exit_code(stopped.exception) == 1
    assert str(stopped.exception).startswith(f"stopped: a1: node: systemctl restart {NODE}: the unit does not start")
    assert {name: host.tree() for name, host in world.boxes.items()} == untouched
    assert [host["mark"] for host in world.state()["hosts"]] == ["failed", "waiting"]
    assert isinstance(world.run("resume").exception, Conflict)
    assert isinstance(world.run(str(world.file), "--apply", world.plan()).exception, Conflict)
    world.boxes["a1"].refuse_restarts(False)
    done = world.run("retry")
    assert (done.exit_code, done.exception) == (0, None), done.output
    assert world.state()["state"] == "done"


def test_undoing_under_endpoints_stops_with_the_reason_and_goes_on_when_forced(world: World) -> None:
    before = {name: host.tree() for name, host in world.boxes.items()}
    assert world.apply().exception is None
    for host in world.boxes.values():
        host.beside("endpoints").touch()
    there = world.boxes["a2"].tree()
    stopped = world.run("undo")
    assert isinstance(stopped.exception, command.Stopped)
    reason = "a2: node cannot be undone: tortie node uninstall: tortie: 1 endpoint is here"
    assert str(stopped.exception).startswith(f"stopped: {reason}")
    assert world.boxes["a2"].tree() == there
    world.boxes["a1"].beside("notes").write_text("left a setting as it is: because\n")
    undone = world.run("retry", "--force")
    assert undone.exception is None, undone.output
    assert "a1 undo node: left a setting as it is: because" in undone.stdout
    assert {name: host.tree() for name, host in world.boxes.items()} == before


def test_a_plan_that_is_not_the_one_looked_at_is_refused(world: World) -> None:
    digest = world.plan()
    conf = world.boxes["a2"].root / "etc/tortie/node.conf"
    conf.parent.mkdir()
    conf.write_text("# somebody was here\n")
    refused = world.run(str(world.file), "--apply", digest)
    assert isinstance(refused.exception, Conflict)
    assert exit_code(refused.exception) == 4
    assert isinstance(world.run("status").exception, NotFound)
    assert not (world.boxes["a1"].root / "opt/tortie").exists()


def test_a_host_out_of_reach_is_named_and_nothing_begins(world: World) -> None:
    digest = world.plan()
    world.away.add("127.0.0.2")
    for words in (["--dry-run"], ["--apply", digest]):
        failed = world.run(str(world.file), *words)
        assert isinstance(failed.exception, Unavailable)
        assert str(failed.exception) == "a2: 127.0.0.2: no route to host"


def test_a_driver_that_died_in_the_middle_of_a_step_is_followed_by_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, count = drive._do, 0

    def dying(*given: Any) -> tuple[str | None, str]:
        nonlocal count
        count += 1
        answer = real(*given)
        if count == 3:
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(drive, "_do", dying)
    assert world.apply().exit_code != 0
    assert world.state()["state"] == "rolling"
    assert isinstance(world.run(str(world.file), "--apply", world.plan()).exception, Conflict)
    done = world.run("resume")
    assert (done.exit_code, done.exception) == (0, None), done.output
    assert world.state()["state"] == "done"
    assert [host.restarts() for host in world.boxes.values()] == [[NODE], [NODE]]


def test_paused_by_another_the_first_host_comes_to_its_end_and_no_other_begins(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = drive._do
    seen: list[str] = []

    def pausing(act: Any, *given: Any) -> tuple[str | None, str]:
        seen.append(act.host)
        if len(seen) == 2:
            assert world.run("pause").exit_code == 0
        return real(act, *given)

    def look(driver: Any, _rollout: Any) -> None:
        assert world.state()["state"] == "paused"
        assert set(seen) == {"a1"}
        book.order(driver.store, "resume", "me")

    monkeypatch.setattr(drive, "_do", pausing)
    monkeypatch.setattr(drive, "_wait_for_order", look)
    monkeypatch.setattr(book, "others_drive", lambda *_: True)
    done = world.apply()
    assert (done.exit_code, done.exception) == (0, None), done.output
    assert set(seen) == {"a1", "a2"}


def test_one_driver_at_a_time(world: World) -> None:
    with closing(open_store(world.store)) as store:
        with book.Driver(store, "root@somewhere"):
            refused = world.run(str(world.file), "--apply", "0")
        assert isinstance(refused.exception, Conflict)
        assert "root@somewhere" in str(refused.exception)


def test_a_second_apply_beside_the_first_names_it_and_touches_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, refused = drive._do, list[Result]()
    digest = world.plan()

    def beside(*given: Any) -> tuple[str | None, str]:
        if not refused:
            refused.append(world.run(str(world.file), "--apply", digest))
        return real(*given)

    monkeypatch.setattr(drive, "_do", beside)
    done = world.run(str(world.file), "--apply", digest)
    assert (done.exit_code, done.exception) == (0, None), done.output
    (second,) = refused
    assert isinstance(second.exception, Conflict)
    assert exit_code(second.exception) == 4
    assert f"driven already, by {command._who()}: `tortie rollout status` shows how far it is" in str(second.exception)
    assert [host.restarts() for host in world.boxes.values()] == [[NODE], [NODE]]


def test_a_driver_that_was_killed_is_known_by_its_lease(tmp_path: Path) -> None:
    with closing(open_store(f"sqlite://{tmp_path}/store")) as store:
        rollout = start("p", [("a1", ("node",))], 0.0)
        store.commit([Put(book.STATE, msgspec.json.encode(rollout))])
        assert not book.others_drive(store, rollout)
        store.commit([Put(book.DRIVER, b"root@gone", store.grant(1.0))])
        assert not book.others_drive(store, rollout)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hosts": []}, "there are no hosts in it"),
        ({"store": "10.0.0.1"}, "'10.0.0.1' is no address such as etcd://10.0.0.1:2379"),
        ({"node": {"IPP": "x"}}, "no setting IPP; there are"),
        ({"hosts": [{"name": "a"}, {"name": "a"}]}, "host a stands there twice"),
        ({"hosts": [{"name": "a", "address": "-oProxyCommand=x"}]}, "begins with a dash"),
        ({"hots": []}, "unknown field `hots`"),
    ],
)
def test_a_file_with_a_fault_is_refused_with_the_fault(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    file = tmp_path / "hosts.yaml"
    file.write_text(json.dumps({"store": "etcd://10.0.0.1:2379", "hosts": [{"name": "a"}], **change}))
    failed = CliRunner().invoke(command.rollout, [str(file), "--dry-run"])
    assert isinstance(failed.exception, Invalid)
    assert said in str(failed.exception)


@pytest.mark.parametrize(
    "words",
    [
        ["hosts.yaml"],
        ["hosts.yaml", "--dry-run", "--apply", "x"],
        ["undo", "--dry-run"],
        ["pause", "--force"],
        ["hosts.yaml", "--dry-run", "--force"],
    ],
)
def test_words_that_do_not_go_together(words: list[str]) -> None:
    assert CliRunner().invoke(command.rollout, words).exit_code == click.UsageError.exit_code


def test_the_real_artefact_runs_without_anything_installed() -> None:
    made = artefacts.build(PYTHON)
    assert artefacts.build(PYTHON, only_name=True).name == made.name
    with box() as host:
        request = {**host.request("apply", "artefact", want(made.name)), **made.said}
        assert answer(request, made.payload) == {"notes": []}
        there = host.root / "opt/tortie/current"
        sources = {str(path) for path in there.rglob("*.py")}
        assert {str(path) for path in there.rglob("*.pyc")} == {bytecode.path_of(source) for source in sources}
        program = there / "bin/tortie"
        ran = subprocess.run([program, "node", "unit"], capture_output=True, text=True, check=False, env={})
        assert (ran.returncode, ran.stderr) == (0, "")
        assert "[Service]" in ran.stdout
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, env={})
        assert version.stdout.startswith("tortie, version ")
