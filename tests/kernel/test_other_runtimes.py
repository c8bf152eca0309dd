"""Containers of three runtimes on three hosts in one network, under one policy: the seam is not ours alone."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kernel.mesos_world import World, addresses, on
from tests.kernel.netlab import own_tag
from tests.kernel.test_cni_kernel import Node
from tests.support.machine import needs_containerd, needs_podman
from tests.support.other_runtimes import Containerd, Podman
from tests.support.ucr_host import Tasks, container_of
from tests.support.waiting import PATIENCE, wait_until

pytestmark = [pytest.mark.root, needs_podman, needs_containerd, pytest.mark.timeout(900)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World.up(tmp_path) as world:
        yield world


def address_of(pid: int) -> str:
    command = ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-j", "-4", "address", "show", "dev", "eth0"]
    shown = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return str(shown[0]["addr_info"][0]["local"])


def reaches(pid: int, address: str, *, patience: float) -> bool:
    command = ["nsenter", f"--net=/proc/{pid}/ns/net", "ping", "-n", "-c1", f"-W{patience}", address]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def must_reach(pid: int, address: str) -> None:
    wait_until(lambda: reaches(pid, address, patience=1), message=f"{pid} reaches {address}")


def test_three_runtimes_talk_or_not_under_one_policy(world: World, tmp_path: Path) -> None:
    lab, archive = world.lab, world.host.images / "box:latest.tar"
    second, third = Node(lab, "agent-2", "172.24.197.103"), Node(lab, "agent-3", "172.24.197.104")
    podman = Podman(second.host.netns, tmp_path / "podman", second.runtime.folder, ["blue", "red"])
    containerd = Containerd(third.host.netns, tmp_path / "containerd", third.runtime.folder, ["blue"])
    with podman, containerd, Tasks(world.host) as tasks:
        podman.load(archive)
        containerd.load(archive)
        status = tasks.started("task", "sleep 1000", container=on("blue"))
        (ours,) = addresses(status)
        pids = {
            ours: int((world.host.container(container_of(status)) / "pid").read_text()),
            **{address_of(pid): pid for pid in (podman.start("one", "blue"), containerd.start("two"))},
        }
        stranger = podman.start("other", "red")
        assert len(pids) == 3
        for source, pid in pids.items():
            for target in pids:
                if target != source:
                    must_reach(pid, target)
            assert not reaches(stranger, source, patience=0.3)
            assert not reaches(pid, address_of(stranger), patience=0.3)

        lab.profile("blue", own_tag("blue"), own_tag("red"))
        for address in pids:
            must_reach(stranger, address)
        lab.profile("blue")
        wait_until(lambda: not any(reaches(stranger, address, patience=0.3) for address in pids), message="cut off")
        for source, pid in pids.items():
            for target in pids:
                if target != source:
                    assert not reaches(pid, target, patience=0.3)

        for name in ("one", "other"):
            podman.remove(name)
        containerd.remove("two")
    wait_until(world.clean, seconds=PATIENCE, message=lambda: f"nothing of them is left: {world.left()}")
    for node in (second, third):
        wait_until(lambda node=node: node.links() == set(), message="no interface is left")  # type: ignore[misc]
