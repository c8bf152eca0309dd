"""Containers of a Mesos agent in the network of a real node: the plug-in as the agent runs it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kernel.netlab import Lab, inside, until
from tests.kernel.test_cni_kernel import Node, endpoints, handles, nothing_left
from tests.support.waiting import PATIENCE

from tortie.mesos.agent import namespaces
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT

pytestmark = pytest.mark.root
Json = dict[str, Any]
ONE, TWO = "5f0e8a1c-8b3d-4c57-9c1e-000000000001", "c2d1f6a0-77aa-4e0b-8f21-000000000002"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    for handle in tmp_path.glob("*-mesos/*/ns"):
        namespaces.drop(handle)
    lab.close()


class Agent:
    """The agent's part on one host."""

    def __init__(self, node: Node, *names: str) -> None:
        self.node = node
        self.config = node.lab.directory / f"{node.name}-networks"
        self.root = node.lab.directory / f"{node.name}-mesos"
        self.config.mkdir()
        for name in names:
            document = {"cniVersion": "0.2.0", "name": name, "type": "calico", "ipam": {"type": "calico-ipam"}}
            (self.config / f"{name}.cni").write_text(json.dumps(document))

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-m", "tests.kernel.run_mesos_cni", str(self.config), str(self.node.runtime.folder)]
        command = ["nsenter", f"--net=/run/netns/{self.node.host.netns}", *program, str(self.root), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)

    def join(self, container: str, *infos: Json) -> Json:
        done = self.run("join", container, json.dumps(infos))
        assert done.returncode == 0, done.stderr
        joined: Json = json.loads(done.stdout)
        return joined

    def leave(self, container: str) -> None:
        done = self.run("leave", container)
        assert done.returncode == 0, done.stderr
        assert not list(self.root.glob("*"))


def address_of(joined: Json) -> str:
    (info,) = joined["infos"]
    (found,) = info["ip_addresses"]
    assert found["protocol"] == "IPv4"
    return str(found["ip_address"])


def reaches(source: Json, address: str, *, patience: int = 1) -> bool:
    command = ["nsenter", f"--net={source['namespace']}", "ping", "-n", "-c1", f"-W{patience}", address]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_containers_of_two_agents_talk_and_nothing_is_left(lab: Lab) -> None:
    nodes = [Node(lab, "agent-1", "172.24.197.102"), Node(lab, "agent-2", "172.24.197.103")]
    one, two = (Agent(node, "blue", "red") for node in nodes)
    labels = {"labels": [{"key": "app", "value": "web"}, {"key": "bare"}]}
    asked = {"name": "blue", "groups": ["g"], "labels": labels, "ip_addresses": [{"protocol": "IPv4"}]}
    first = one.join(ONE, asked)
    second = two.join(TWO, {"name": "blue", "ip_addresses": [{"ip_address": "192.168.9.9"}]})
    assert address_of(second) == "192.168.9.9"
    assert {**first["infos"][0], "ip_addresses": asked["ip_addresses"]} == asked
    until(lambda: reaches(first, "192.168.9.9"), message="they talk")
    until(lambda: reaches(second, address_of(first)), message="and back")
    (endpoint,) = [e for e in lab.client.list(WORKLOAD_ENDPOINT).items if e.spec.container_id == ONE]
    assert endpoint.metadata.labels.items() >= {"app": "web", "bare": ""}.items()
    assert endpoint.spec.profiles == ("blue",)

    taken = one.run("join", "taker", json.dumps([{"name": "red", "ip_addresses": [{"ip_address": "192.168.9.9"}]}]))
    assert taken.returncode == 1
    assert "failed to attach container taker to CNI network 'red': stdout=" in taken.stderr
    assert "192.168.9.9" in taken.stderr
    assert len(endpoints(lab)) == 2
    one.leave(ONE)
    two.leave(TWO)
    for node in nodes:
        nothing_left(lab, node)


def test_a_node_that_dies_keeps_its_containers_and_what_it_missed_is_made_good(lab: Lab) -> None:
    node = Node(lab, "agent-1", "172.24.197.102")
    agent = Agent(node, "blue", "red")
    first, second = agent.join(ONE, {"name": "blue"}), agent.join(TWO, {"name": "blue"}, {"name": "red"})
    assert [info["name"] for info in second["infos"]] == ["blue", "red"]
    other = second["infos"][0]["ip_addresses"][0]["ip_address"]
    until(lambda: reaches(first, other), message="they talk")
    node.host.kill(signal.SIGKILL)
    assert reaches(first, other, patience=int(PATIENCE)), "what flows, flows on"

    refused = agent.run("join", "late", json.dumps([{"name": "blue"}]))
    assert refused.returncode == 1
    assert "failed to attach container late to CNI network 'blue': stdout='{" in refused.stderr
    assert '"code": 11' in refused.stderr or '"code":11' in refused.stderr
    for container in (ONE, TWO):
        done = agent.run("leave", container)
        assert done.returncode == 0, done.stderr
    assert not list(agent.root.glob("*"))
    node.again()
    until(lambda: not endpoints(lab), message="what was kept for the node is done")
    until(lambda: not handles(lab), message="no address is left")
    until(lambda: node.links() == set(), message="no interface is left")
    until(lambda: "cali" not in inside(node.host.netns, "ip", "route"), message="no route is left")
    nothing_left(lab, node)
