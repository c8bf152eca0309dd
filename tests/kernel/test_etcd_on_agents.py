"""The etcd framework on a real master and three real agents: kills of framework and agent, and its uninstallation."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.support.etcd_server import ETCD
from tests.support.machine import needs_oci_runtime
from tests.support.mesos_client import get, request
from tests.support.mesos_cluster import Daemon
from tests.support.ports import free_port
from tests.support.ucr_host import kill_shim
from tests.support.waiting import wait_until

from tortie.base import cgroups

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(900),
    needs_oci_runtime,
    pytest.mark.skipif(ETCD is None or shutil.which("etcdctl") is None, reason="needs etcd and etcdctl"),
]


class Place:
    """A master, three agents that run containers by an OCI runtime, and the framework."""

    def __init__(self, work: Path) -> None:
        self.work = work
        port, own = free_port(), free_port()
        store = f"sqlite://{work}/store"
        self.master = Daemon(
            port,
            work / "master.log",
            *("master", "run", "--ip", "127.0.0.1", "--port", str(port), "--store", store),
            "--allocation_interval=100ms",
        )
        self.agents = [self._agent(index, port) for index in (1, 2, 3)]
        self.framework = Daemon(
            own,
            work / "framework.log",
            *("packages", "etcd-framework", "--master", f"127.0.0.1:{port}", "--store", store),
            *("--admin-port", str(own), "--hostname", "127.0.0.1", "--container", "host"),
            *("--cpu-limit", "0.5", "--mem-limit", "128", "--disk-limit", "100"),
            alive="/json",
        )

    def cgroup(self, index: int) -> str:
        return f"tortie-test-etcd-{os.getpid()}-{index}"

    def _agent(self, index: int, master: int) -> Daemon:
        port, work = free_port(), self.work / f"agent-{index}"
        work.mkdir()
        ports = ",".join(f"{one}-{one}" for one in (free_port() for _ in range(3)))
        return Daemon(
            port,
            self.work / f"agent-{index}.log",
            *("agent", "run", "--master", f"127.0.0.1:{master}", "--ip", "127.0.0.1", "--port", str(port)),
            *("--hostname", "127.0.0.1", "--resources", f"cpus:2;mem:512;disk:2000;ports:[{ports}]"),
            *("--work-dir", str(work / "work"), "--docker-socket", str(work / "no.sock")),
            *("--containerizers", "mesos", "--runtime-dir", str(work / "run"), "--cgroups-root", self.cgroup(index)),
        )

    def end(self) -> None:
        for path in self.work.glob("agent-*/run/ucr/*/*/socket"):
            kill_shim(path.parent)
        for index in (1, 2, 3):
            for hierarchy in cgroups.hierarchies():
                cgroups.end(hierarchy / self.cgroup(index))

    def said(self) -> Any:
        return json.loads(request(self.framework.port, "GET", "/json")[1])

    def names(self) -> list[str]:
        """Waits until it is healthy; its members."""
        wait_until(lambda: request(self.framework.port, "GET", "/healthz")[0] == 200, message=lambda: str(self.said()))
        return [one["name"] for one in self.said()["members"]]

    def frameworks(self, which: str = "frameworks") -> Any:
        return get(self.master.port, "/state")[which]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    with ExitStack() as stack:
        stack.callback(made.end)
        for daemon in (made.master, *made.agents, made.framework):
            stack.enter_context(daemon.running())
        yield made


def test_members_outlive_framework_and_agent_and_end_with_the_package(place: Place) -> None:
    names = place.names()
    assert names == ["etcd-1", "etcd-2", "etcd-3"]
    (one,) = place.frameworks()
    assert (one["name"], len({task["slave_id"] for task in one["tasks"]})) == ("etcd", 3)
    place.framework.stop(signal.SIGKILL)
    place.framework.start()
    assert place.names() == names
    place.agents[1].stop(signal.SIGKILL)
    place.agents[1].start()
    wait_until(lambda: all(agent["active"] for agent in get(place.master.port, "/slaves")["slaves"]))
    assert place.names() == names
    (again,) = place.frameworks()
    assert again["id"] == one["id"]
    assert {task["id"] for task in again["tasks"]} == {task["id"] for task in one["tasks"]}
    wait_until(lambda: request(place.framework.port, "POST", "/uninstall")[0] == 204, message=lambda: str(place.said()))
    wait_until(lambda: [found["name"] for found in place.frameworks("completed_frameworks")] == ["etcd"])
    assert place.frameworks() == []
