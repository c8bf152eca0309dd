"""A lab without a network, and the packages that bring it: from exit code 5 to containers that talk across agents, and
back to hosts as they were."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from tests.support.etcd_server import ETCD
from tests.support.host_state import State, difference, look
from tests.support.stars_lab import story, tortie
from tests.support.waiting import PATIENCE, wait_until

from tortie.lab.api import Host, Lab, Ran

pytestmark = [
    pytest.mark.root,
    pytest.mark.lab,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(ETCD is None, reason="no etcd on this machine (package etcd-server)"),
]

NAME = f"bare-{os.getpid()}"
CALICO = "http://172.24.197.101/service/calico"
ROLLING = 1000
"""Seconds for all hosts, one after the other."""
STAYS = {
    "folders": {
        # An empty one that the lab made: the node calls it its own.
        "- /run/tortie 755",
        # dockerd's own, since its first container.
        *("+ /run/containerd 600", "+ /run/containerd/s 600", "+ /run/docker/netns 755"),
        "+ /run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby 711",
        *("+ /run/docker/runtime-runc 700", "+ /run/docker/runtime-runc/moby 700"),
    },
    "others": {"+ /run/docker/netns/default f 444 "},
}
"""What is not as it was behind the package. Besides: logs, and what Docker's and Mesos' file systems keep of containers
that have ended (`look` stays on the host's own)."""
PASSING = {"docker", "runc", "runc:[2:INIT]"}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Of as few hosts as can tell: the roller takes its time for each."""
    ran = tortie("up", "environments", "--bare", "--until", "0", "--agents", "2", "--name", NAME)
    try:
        assert ran.returncode == 0, ran.stderr
        yield Lab.find(NAME)
    finally:
        tortie("down", "--name", NAME)


def typed(host: Host, line: str, seconds: float = PATIENCE) -> str:
    ran = host.run(["bash", "-c", line], timeout=seconds)
    assert ran.returncode == 0, f"{host.name}: {line}: {ran.stdout}{ran.stderr}{story(NAME)}"
    return ran.stdout


def asked(lab: Lab) -> dict[str, Ran]:
    """What asks for the network's store, on a host and from outside."""
    agent = lab.host("agent-1")
    outside = tortie("matrix", "--name", NAME)
    laptop = lab.host("laptop")
    return {
        "calicoctl on laptop": laptop.run(["calicoctl", "get", "nodes"]),
        "matrix on laptop": laptop.run(["tortie", "matrix"]),
        "calicoctl": agent.run(["calicoctl", "get", "nodes"]),
        "why": agent.run(["tortie", "why", "one", "two", "icmp"]),
        "matrix": agent.run(["tortie", "matrix"]),
        "outside": Ran(outside.returncode, outside.stdout, outside.stderr),
    }


def rolled(lab: Lab) -> dict[str, Any]:
    """What the roller's page says once it is done, or has stopped. Its app comes first, and may be begun again."""
    told = f'curl -sSN --fail {CALICO}/v1/events | grep -m1 -E \'"state":"(done|stopped)"\''
    typed(lab.host("laptop"), f"until {told} > /dev/null; do sleep 1; done", ROLLING)
    found: dict[str, Any] = json.loads(typed(lab.host("laptop"), f"curl -sS --fail {CALICO}/v1/status"))
    return found


def state(lab: Lab, name: str) -> State:
    return look(partial(_told, lab.host(name)))


def states(lab: Lab) -> dict[str, State]:
    """Of each host that the package changes."""
    return {name: state(lab, name) for name in ("master", "agent-1", "agent-2")}


def settled(lab: Lab) -> dict[str, State]:
    """Their states once nothing is being started there any more: two looks see the same."""
    last = states(lab)

    def again() -> bool:
        nonlocal last
        before, last = last, states(lab)
        return not any(difference(before[name], last[name]) for name in last)

    wait_until(again, ROLLING, message="hosts on which nothing changes")
    return last


def _told(host: Host, line: str) -> str:
    return host.run(["bash", "-c", line], timeout=ROLLING).stdout


def left(before: State, after: State) -> dict[str, set[str]]:
    """What is other than before and should not be. A program that ran for a moment at the first look may be gone."""
    found = {what: set(lines) - STAYS.get(what, set()) for what, lines in difference(before, after).items()}
    found["processes"] = {line for line in found.get("processes", ()) if line[2:] not in PASSING}
    return {what: lines for what, lines in found.items() if lines}


def test_the_packages_bring_the_network_and_take_it_away(lab: Lab) -> None:
    nothing_yet(lab)
    options = {"etcd": {"cluster-size": 1}}
    typed(lab.host("laptop"), f"echo '{json.dumps(options)}' > /root/one.json")
    typed(lab.host("laptop"), "dcos package install etcd --options=/root/one.json --yes")
    member = ["dig", "+short", "_etcd-client._tcp.etcd.mesos", "SRV"]
    wait_until(lambda: "etcd-server" in lab.host("agent-1").run(member).stdout, message="etcd's member")
    before = settled(lab)
    typed(lab.host("laptop"), "dcos package install calico --yes")
    found = rolled(lab)
    assert found["state"] == "done", f"{found['stopped']}{story(NAME)}"
    hosts = {host["name"]: host["mark"] for host in found["hosts"]}
    assert hosts == dict.fromkeys(["172.24.197.102", "172.24.197.103", "master"], "done")
    containers_talk(lab)
    no_way_out_under_containers(lab)
    taken_away(lab, before)


def nothing_yet(lab: Lab) -> None:
    for what, ran in asked(lab).items():
        assert (ran.returncode, "/etc/tortie/store" in ran.stderr) == (5, True), f"{what}: {ran.stderr}"
    assert lab.host("agent-1").run(["docker", "network", "create", "--driver=calico", "shop"]).returncode != 0
    assert tortie("up", "environments", "--until", "0", "--agents", "2", "--name", NAME).returncode == 4, (
        "that is another lab"
    )


def containers_talk(lab: Lab) -> None:
    one, two = lab.host("agent-1"), lab.host("agent-2")
    assert typed(one, "systemctl is-active calico-node") == "active\n"
    nodes = {"NAME", "agent-1", "agent-2", "master"}
    wait_until(lambda: set(typed(one, "calicoctl get nodes").split()) == nodes, message="a Node of each host")
    typed(one, "docker network create --driver=calico --ipam-driver=calico shop")
    wait_until(lambda: "shop" in typed(two, "docker network ls"), message="the network on the other agent")
    for host, name in ((one, "one"), (two, "two")):
        typed(host, f"docker run -d --name {name} --net shop --entrypoint sleep donch/net-tools 1000", ROLLING)
    address = typed(two, "docker inspect -f '{{.NetworkSettings.Networks.shop.IPAddress}}' two").strip()
    ping = ["docker", "exec", "one", "ping", "-c", "1", "-W", "5", address]
    wait_until(lambda: one.run(ping).returncode == 0, message="a ping between agents")
    last: dict[str, Ran] = {}

    def answered() -> bool:
        last.update(asked(lab))
        return not any(ran.returncode for ran in last.values()) and "one, two" in last["outside"].stdout

    wait_until(answered, message=lambda: last)


UNINSTALL = ["dcos", "package", "uninstall", "calico", "--yes"]


def no_way_out_under_containers(lab: Lab) -> None:
    refused = lab.host("laptop").run(UNINSTALL)
    assert refused.returncode == 1
    assert "2 endpoints of containers are on this network: one, two; " in refused.stderr
    typed(lab.host("agent-2"), "docker rm -f two")
    last = "1 endpoint of a container is on this network: one; "

    def one_left() -> bool:
        ran = lab.host("laptop").run(UNINSTALL)
        assert ran.returncode == 1
        return last in ran.stderr

    wait_until(one_left, message="the other's endpoint to go")
    assert typed(lab.host("agent-1"), "systemctl is-active calico-node && docker exec one true") == "active\n"


def taken_away(lab: Lab, before: dict[str, State]) -> None:
    agent = lab.host("agent-1")
    typed(agent, "docker rm -f one")
    wait_until(lambda: "shop" not in typed(agent, "docker network rm shop; docker network ls"), message="no network")
    endpoints = ["calicoctl", "get", "workloadendpoints"]
    wait_until(lambda: len(agent.run(endpoints).stdout.split()) == 4, message="endpoints to go")
    ran = lab.host("laptop").run(UNINSTALL, timeout=ROLLING)
    assert ran.returncode == 0, f"{ran.stderr}{story(NAME)}"
    assert "Uninstalled package [calico]" in ran.stdout + ran.stderr
    for name, was in before.items():
        as_before(lab, name, was)
    for what, ran in asked(lab).items():
        assert (ran.returncode, "/etc/tortie/store" in ran.stderr) == (5, True), f"{what}: {ran.stderr}"


def as_before(lab: Lab, name: str, before: State) -> None:
    """In the end: the framework's own container ends behind the answer."""
    other: dict[str, set[str]] = {}

    def nothing_left() -> bool:
        other.clear()
        other.update(left(before, state(lab, name)))
        return not other

    wait_until(nothing_left, ROLLING, lambda: f"{name} as it was: {other}")
