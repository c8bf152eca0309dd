"""What calicoctl 0.19 and 1.3 do on a host itself (calico-model.md 1.5, 2.5): a node that comes and goes, a container
that gets an interface of ours. In a small lab, with a real engine and a real agent."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest
from tests.support.stars_lab import tortie, wait_for

from tortie.lab.api import Host, Lab

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1200)]

NAME = f"ctl-{os.getpid()}"
OURS, OTHER, THIRD, FOURTH = "192.168.50.7", "192.168.51.9", "192.168.52.1", "192.168.53.1"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    ran = tortie("up", "--agents", "1", "--until", "0", "--name", NAME)
    try:
        assert ran.returncode == 0, ran.stderr
        yield Lab.find(NAME)
    finally:
        tortie("down", "--name", NAME)


def calicoctl(host: Host, line: str, grammar: str = "0.19") -> tuple[int, str]:
    ran = host.run(["env", f"CALICOCTL_GRAMMAR={grammar}", "calicoctl", *line.split()])
    return ran.returncode, ran.stdout + ran.stderr


def works(host: Host, line: str, grammar: str = "0.19") -> str:
    code, told = calicoctl(host, line, grammar)
    assert code == 0, f"{line}: {told}"
    return told


def unwrapped(told: str) -> str:
    """Errors come in paragraphs of 80 columns."""
    return " ".join(told.split())


def run(host: Host, name: str, network: str) -> int:
    """A container that idles; its process."""
    ran = host.run(["docker", "run", "-d", "--name", name, "--net", network, "--entrypoint", "sleep", IMAGE, "86400"])
    assert ran.returncode == 0, ran.stderr
    return int(json.loads(host.run(["docker", "inspect", name]).stdout)[0]["State"]["Pid"])


IMAGE = "calico/star:v0.5.0"


def inside(host: Host, pid: int, *words: str) -> str:
    ran = host.run(["nsenter", "-t", str(pid), "-n", *words])
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def pings(host: Host, address: str) -> bool:
    return host.run(["ping", "-c", "1", "-W", "5", address]).returncode == 0


def test_a_container_gets_addresses_and_profiles_and_loses_them(lab: Lab) -> None:
    agent = lab.host("agent-1")
    pid = run(agent, "plain", "none")
    assert works(agent, f"container add plain {OURS}") == f"IP {OURS} added to plain\n"
    wait_for("an answer: the host reaches its own workloads", lambda: pings(agent, OURS))
    assert "default via 169.254.1.1 dev eth1" in inside(agent, pid, "ip", "route")
    works(agent, "profile add mine")
    assert works(agent, "container plain profile append mine") == "Profile(s) mine appended.\n"
    shown = works(agent, "container plain endpoint show")
    assert all(part in shown for part in (f"{OURS}/32", "mine", "docker", "agent-1"))

    assert calicoctl(agent, f"container add plain {OTHER}") == (
        1,
        "plain has already been configured with Calico Networking.\n",
    )
    assert works(agent, f"container plain ip add {OTHER} --interface=eth1") == f"IP {OTHER} added to plain\n"
    wait_for("the second address", lambda: pings(agent, OTHER))
    code, told = calicoctl(agent, f"container plain ip add {OTHER}")
    assert (code, f"{OTHER} is already in use" in unwrapped(told)) == (1, True), told
    assert calicoctl(agent, f"container plain ip add {OTHER} --interface=eth7")[1].startswith(
        "The container has no interface eth7."
    )
    assert works(agent, f"container plain ip remove {OTHER}") == f"IP {OTHER} removed from plain\n"
    assert OTHER not in inside(agent, pid, "ip", "address")
    assert calicoctl(agent, f"container plain ip remove {OTHER}")[0] == 1
    assert works(agent, f"ipam info {OTHER}") == f"IP {OTHER} is not currently assigned\n"

    assert works(agent, "container remove plain") == "Removed Calico from plain\n"
    assert "eth1" not in inside(agent, pid, "ip", "link")
    assert works(agent, f"ipam info {OURS}") == f"IP {OURS} is not currently assigned\n"
    assert OURS not in works(agent, "endpoint show --detailed")


def test_a_container_of_a_network_has_profiles_but_its_addresses_are_the_engine_s(lab: Lab) -> None:
    agent = lab.host("agent-1")
    assert agent.run(["docker", "network", "create", "-d", "calico", "--ipam-driver", "calico", "net"]).returncode == 0
    run(agent, "member", "net")
    assert "net" in works(agent, "container member endpoint show")
    works(agent, "profile add more")
    assert works(agent, "container member profile append more") == "Profile(s) more appended.\n"
    assert "net,more" in works(agent, "container member endpoint show")
    for line in ("container add member ipv4", f"container member ip add {OTHER}", "container remove member"):
        assert calicoctl(agent, line)[0] == 1
    agent.run(["docker", "rm", "-f", "member"])


def test_an_interface_that_is_there_is_left_and_nothing_of_ours_stays(lab: Lab) -> None:
    agent = lab.host("agent-1")
    pid = run(agent, "taken", "none")
    inside(agent, pid, "ip", "link", "add", "eth1", "type", "veth", "peer", "name", "other")
    before = agent.run(["ip", "-o", "link"]).stdout.count("cali")
    code, told = calicoctl(agent, f"container add taken {THIRD}")
    assert (code, "eth1 exists in the container already" in unwrapped(told)) == (1, True), told
    assert agent.run(["ip", "-o", "link"]).stdout.count("cali") == before
    assert works(agent, f"ipam info {THIRD}") == f"IP {THIRD} is not currently assigned\n"
    assert THIRD not in works(agent, "endpoint show --detailed")


def test_what_was_added_goes_with_its_container(lab: Lab) -> None:
    agent = lab.host("agent-1")
    run(agent, "short", "none")
    works(agent, f"container add short {FOURTH}")
    agent.run(["docker", "rm", "-f", "short"])
    # Seen from time to time, and twice before it counts.
    wait_for("the address", lambda: "not currently" in works(agent, f"ipam info {FOURTH}"), seconds=180)
    assert FOURTH not in works(agent, "endpoint show --detailed")


def test_a_host_becomes_a_node_and_stops_being_one(lab: Lab) -> None:
    """`laptop` has no service manager's unit for it: the agent becomes a process of its own."""
    laptop = lab.host("laptop")
    told = works(laptop, "node --ip=172.24.197.10 --as=65001")
    assert told.endswith("Waiting for successful startup\nCalico node started successfully\n")
    assert "| 172.24.197.10  |" in works(laptop, "node show")
    assert "65001" in works(laptop, "node show")
    assert works(laptop, "node --ip=172.24.197.10") == told, "it runs already: the same process"
    assert calicoctl(laptop, "node remove")[0] == 1
    assert works(laptop, "node stop") == "Node stopped\n"
    assert calicoctl(laptop, "status")[0] == 1
    assert works(laptop, "node remove") == "Node configuration removed\n"
    assert "laptop" not in works(laptop, "node show")
    assert calicoctl(laptop, "node --ip=172.24.197.102")[0] == 1


def test_a_node_of_a_service_manager_is_stopped_and_started_by_it(lab: Lab) -> None:
    agent = lab.host("agent-1")
    assert agent.run(["systemctl", "is-active", "calico-node"]).returncode == 0
    works(agent, "node stop --force")
    assert agent.run(["systemctl", "is-active", "calico-node"]).returncode == 3
    assert calicoctl(agent, "node status", "1.3")[0] == 1
    assert works(agent, "node run", "1.3").endswith("Calico node started successfully\n")
    assert agent.run(["systemctl", "is-active", "calico-node"]).returncode == 0
    assert works(agent, "node status", "1.3").startswith("Calico process is running.\n")
