"""`dcos` through a real door: master, agent, Marathon and Mesos-DNS behind it, each a process of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.dcos_cluster import Said, command
from tests.support.mesos_cluster import TORTIE, Daemon, MesosCluster, door_of, marathon_of
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE, wait_until


@dataclass
class World:
    cluster: MesosCluster
    door: str
    guarded: str
    """A second door, which asks who comes."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    work = tmp_path_factory.mktemp("world")
    users = work / "users"
    line = subprocess.run(
        [*TORTIE, "door", "password", "ana"],
        input="secret\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    users.write_text(line.stdout)
    with ExitStack() as stack:
        cluster = stack.enter_context(MesosCluster(work))
        at = f"127.0.0.1:{cluster.master.port}"
        marathon = stack.enter_context(marathon_of(work, at).running())
        names, zone = free_port(), free_port()
        config = {"masters": [at], "refreshSeconds": 1, "ttl": 5, "domain": "mesos", "port": zone, "httpPort": names}
        more = {"listener": "127.0.0.1", "resolvers": [], "externalOn": False, "IPSources": ["netinfo", "host"]}
        (work / "dns.json").write_text(json.dumps(config | more))
        mesos_dns = ("dns", "run", "--config", str(work / "dns.json"))
        stack.enter_context(Daemon(names, work / "dns.log", *mesos_dns, alive="/v1/version").running())
        with_names = ("--mesos-dns", f"127.0.0.1:{names}")
        front = stack.enter_context(door_of(work, at, marathon, *with_names).running())
        asking = door_of(work, at, marathon, *with_names, "--users", str(users), alive="/login")
        guarded = stack.enter_context(asking.running())
        made = World(cluster, f"http://127.0.0.1:{front.port}", f"http://127.0.0.1:{guarded.port}")
        _wait_for_all(made, work)
        yield made


def _wait_for_all(world: World, work: Path) -> None:
    """Until everybody knows everybody."""
    with pytest.MonkeyPatch.context() as patch:
        dcos = command(work, patch, world.door)
        wait_until(lambda: "agent" in dcos("node").out, message=lambda: dcos("node"))
        wait_until(lambda: "marathon" in dcos("service").out, message=lambda: dcos("service"))
        wait_until(lambda: dcos("marathon about").code == 0, message=lambda: dcos("marathon about"))


def rows(found: Said) -> list[list[str]]:
    assert found.code == 0, found.err
    return [row.split() for row in found.out.splitlines()[1:]]


def test_nodes_services_and_versions(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dcos = command(tmp_path, monkeypatch, world.door)
    assert dcos("--version").out.splitlines()[1] == "dcos.version=1.9.2"

    def nodes() -> bool:
        found = dcos("node")
        return found.code == 0 and {"agent", "(leader)"} <= {row[-1] for row in rows(found)}

    wait_until(nodes, message=lambda: dcos("node"))
    assert rows(dcos("service"))[0][0] == "marathon"
    assert rows(dcos("task")) == []
    assert json.loads(dcos("marathon about").out)["name"] == "marathon"


def test_an_app_that_waits_says_why(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dcos = command(tmp_path, monkeypatch, world.door)
    big = json.dumps({"id": "big", "cmd": "sleep 1", "cpus": 99, "mem": 16})
    assert dcos("marathon app add", typed=big).out.startswith("Created deployment ")

    def waits() -> bool:
        found = rows(dcos("marathon app list"))
        return found[0][:7] == ["/big", "16", "99", "0/1", "---", "scale", "True"]

    wait_until(waits, message=lambda: dcos("marathon app list"))

    def refused() -> bool:
        found = dcos("marathon debug summary big")
        return found.code == 0 and rows(found)[2][:3] == ["CPUS", "99", "0"] and rows(found)[2][4] != "0"

    wait_until(refused, message=lambda: dcos("marathon debug summary big"))
    assert dcos("marathon app remove --force big").code == 0
    wait_until(lambda: rows(dcos("marathon app list")) == [], message="no app")


def test_the_logs_of_master_and_agent(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dcos = command(tmp_path, monkeypatch, world.door)
    master, agent = world.cluster.master.log, world.cluster.agent.log
    wait_until(lambda: agent.read_text().count("\n") > 1 and master.read_text().count("\n") > 1, message="logs")
    assert dcos("node log --leader --lines=3").out.splitlines()[0] in master.read_text().splitlines()
    one = next(row[2] for row in rows(dcos("node")) if row[-1] == "agent")
    assert dcos(f"node log --mesos-id={one} --lines=3").out.splitlines()[0] in agent.read_text().splitlines()
    direct = command(tmp_path, monkeypatch)
    url = f"http://127.0.0.1:{world.cluster.master.port}"
    assert direct("node log --leader", DCOS_MESOS_MASTER_URL=url).code == 0
    assert direct(f"node log --mesos-id={one}", DCOS_MESOS_MASTER_URL=url).code == 0


def test_a_cluster_is_set_up_and_logged_in_to(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dcos = command(tmp_path, monkeypatch)
    wrong = dcos(f"cluster setup {world.guarded} --username=ana --password=wrong")
    assert (wrong.code, wrong.err) == (1, "Authentication failed\n")
    assert dcos(f"cluster setup {world.guarded}", typed="ana\nsecret\n").code == 0
    wait_until(lambda: dcos("task").code == 0, message=lambda: dcos("task"))
    assert rows(dcos("cluster list"))[0][-2:] == ["1.9.2", world.guarded]
    assert dcos("auth logout").code == 0
    out = dcos("task")
    assert (out.code, out.out, out.err) == (1, "", "Authentication failed. Please run `dcos auth login`\n")
    assert dcos("marathon app list").err == "Authentication failed. Please run `dcos auth login`\n"
    forged = dcos("task", DCOS_ACS_TOKEN="forged")
    assert forged.err == "Authentication failed. Please run `dcos auth login`\n"
    assert dcos("auth login --username=ana --password-env=MINE", MINE="secret").code == 0
    assert rows(dcos("task")) == []
    assert rows(dcos("auth list-providers"))[0][0] == "dcos-users"


def test_who_is_not_there_is_said(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dcos = command(tmp_path, monkeypatch, world.door)
    unknown = dcos("service shutdown nobody")
    assert (unknown.code, unknown.err) == (1, "Bad request\n")
    assert dcos("task exec nobody ls").err == 'Cannot find a task with ID containing "nobody"\n'
