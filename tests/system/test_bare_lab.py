"""A lab without a network, and the packages that bring it: from exit code 5 to containers that talk across agents."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.etcd_server import ETCD
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
    return {
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


def test_the_packages_bring_the_network(lab: Lab) -> None:
    laptop, one, two = (lab.host(name) for name in ("laptop", "agent-1", "agent-2"))
    for what, ran in asked(lab).items():
        assert (ran.returncode, "/etc/tortie/store" in ran.stderr) == (5, True), f"{what}: {ran.stderr}"
    assert one.run(["docker", "network", "create", "--driver=calico", "shop"]).returncode != 0
    assert tortie("up", "environments", "--until", "0", "--agents", "2", "--name", NAME).returncode == 4, (
        "that is another lab"
    )

    options = {"etcd": {"cluster-size": 1}}
    typed(laptop, f"echo '{json.dumps(options)}' > /root/one.json")
    typed(laptop, "dcos package install etcd --options=/root/one.json --yes")
    typed(laptop, "dcos package install calico --yes")
    found = rolled(lab)
    assert found["state"] == "done", f"{found['stopped']}{story(NAME)}"
    hosts = {host["name"]: host["mark"] for host in found["hosts"]}
    assert hosts == dict.fromkeys(["172.24.197.102", "172.24.197.103", "master"], "done")

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
    refused = laptop.run(["dcos", "package", "uninstall", "calico", "--yes"])
    assert (refused.returncode, "2 endpoints of containers are on this network" in refused.stderr) == (1, True)
