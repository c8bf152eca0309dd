"""net-modules with real agents, commands, namespaces and packets: from a task's wish to nothing that is left of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.kernel.netlab import Lab, inside, sh, until
from tests.support.netns import has_come_to
from tests.support.waiting import PATIENCE

from tortie.base.errors import Invalid, Unavailable
from tortie.lab.walks.matrix import Probe, Seen
from tortie.lab.walks.prober import Target, probe_all
from tortie.mesos.agent.netmodules.modules import Commands
from tortie.mesos.agent.netmodules.networks import NetModulesNetworks
from tortie.mesos.agent.networks import Wish
from tortie.model.ipam import HANDLES
from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION, FelixConfigurationSpec
from tortie.model.kinds.profile import PROFILE
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.model.resource import Metadata, Resource
from tortie.plugins.netmodules.install import install
from tortie.plugins.profile import network_profile
from tortie.wire import mesos as wire

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]

A1, A2, YONDER = "172.24.197.102", "172.24.197.103", "172.24.197.10"
PROBES = (Probe("tcp", 9000), Probe("udp", 9000), Probe("icmp"))
SILENCE = 0.6
"""Seconds without an answer that count as silence."""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


@dataclass
class Task:
    id: str
    namespace: Path
    address: str
    process: subprocess.Popen[bytes]


class Agent:
    """A host of the lab: its node serves net-modules, and beside it is what a Mesos agent does with a task."""

    def __init__(self, lab: Lab, name: str, address: str) -> None:
        self.lab, self.name, self.address = lab, name, address
        self.folder = lab.directory / f"{name}-modules"
        socket, self.spool, self.log = self.folder / "cni.sock", self.folder / "spool", self.folder / "isolator.log"
        paths = {"--cni-socket": socket, "--cni-spool": self.spool, "--net-modules-log": self.log}
        self.options = ["--cni", *(str(word) for pair in paths.items() for word in pair)]
        self.command, _ = (placed.path for placed in install(self.folder / "bin", str(socket), str(self.spool)))
        self.host = lab.host(name, address, *self.options)
        until(socket.exists)
        self.root = self.folder / "containers"
        self.networks = self.with_commands(self.command)
        self.tasks: list[Task] = []

    def with_commands(self, command: Path) -> NetModulesNetworks:
        return NetModulesNetworks(Commands([str(command)], [str(command)]), self.address, self.root)

    @property
    def netns(self) -> Path:
        return Path("/var/run/netns", self.host.netns)

    def again(self) -> None:
        self.host.start(*self.options)
        self.host.ready()

    def ask(self, command: str, **args: Any) -> dict[str, Any]:
        """One call, as Mesos makes it; the answer with the exit code."""
        request = json.dumps({"args": args, "command": command}).encode()
        done = subprocess.run(
            [str(self.command)], input=request, capture_output=True, env={}, check=False, timeout=PATIENCE
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return {**answer, "code": done.returncode}

    def wish(self, container: str, *groups: str, address: str = "") -> Wish:
        asked = wire.IPAddress(ip_address=address) if address else wire.IPAddress(protocol="IPv4")
        info = wire.NetworkInfo(ip_addresses=[asked], groups=list(groups))
        return Wish(container_id=container, network_infos=[info])

    def start(self, *groups: str, address: str = "") -> Task:
        """A task in its network."""
        container = str(uuid.uuid4())
        joined = anyio.run(self.networks.join, self.wish(container, *groups, address=address))
        task = Task(container, Path(joined.namespace), joined.environment["LIBPROCESS_IP"], sleeper(joined.namespace))
        self.tasks.append(task)
        anyio.run(self.networks.isolate, task.id, task.process.pid)
        inside_of(task, "sysctl", "-qw", "net.ipv4.icmp_ratemask=0")
        return task

    def stop(self, task: Task) -> None:
        end(task.process)
        self.tasks.remove(task)
        anyio.run(self.networks.leave, task.id)

    def links(self) -> set[str]:
        shown = json.loads(inside(self.host.netns, "ip", "-j", "link"))
        return {link["ifname"] for link in shown if link["ifname"].startswith("cali")}

    def close(self) -> None:
        for task in self.tasks:
            end(task.process)
        for mounted in self.root.glob("*/ns"):
            sh("umount", "-l", str(mounted), check=False)


def sleeper(namespace: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(["nsenter", f"--net={namespace}", "sleep", "600"], stdin=subprocess.DEVNULL)
    has_come_to(process.pid, namespace)
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(PATIENCE)


def inside_of(task: Task, *words: str) -> str:
    return sh("nsenter", f"--net={task.namespace}", *words)


@pytest.fixture
def agents(lab: Lab) -> Iterator[tuple[Agent, Agent]]:
    both = Agent(lab, "agent-1", A1), Agent(lab, "agent-2", A2)
    yield both
    for agent in both:
        agent.close()


@pytest.fixture
def agent(lab: Lab) -> Iterator[Agent]:
    agent = Agent(lab, "agent-1", A1)
    yield agent
    agent.close()


def endpoints(lab: Lab) -> list[str]:
    return [found.name for found in lab.client.list(WORKLOAD_ENDPOINT).items]


def handles(lab: Lab) -> list[str]:
    return [kv.key.removeprefix(HANDLES) for kv in lab.client.datastore.list(HANDLES).items]


def left(agent: Agent) -> dict[str, Any]:
    """Everything that there may be of containers."""
    return {
        "endpoints": endpoints(agent.lab),
        "handles": handles(agent.lab),
        "links": sorted(agent.links()),
        "routes": "cali" in inside(agent.host.netns, "ip", "route"),
        "kept": list(agent.networks.kept()),
        "mounts": str(agent.root) in Path("/proc/self/mountinfo").read_text(),
    }


NOTHING: Mapping[str, Any] = {
    "endpoints": [],
    "handles": [],
    "links": [],
    "routes": False,
    "kept": [],
    "mounts": False,
}


def nothing_left(agent: Agent) -> None:
    until(lambda: left(agent) == NOTHING, message=lambda: left(agent))


def through(sources: Mapping[str, Path], targets: Mapping[str, str]) -> dict[tuple[str, str], bool]:
    """Whether everything, or nothing at all, gets from each source to each target and back; fails on a mixture."""
    work = {path: [Target(address, p) for address in targets.values() for p in PROBES] for path in sources.values()}
    seen = probe_all(work, SILENCE)
    found = {}
    for name, path in sources.items():
        outcomes = iter(seen[path])
        for target in targets:
            got = [next(outcomes) is not Seen.DROPPED for _ in PROBES]
            found[name, target] = all(got) if len(set(got)) == 1 else None
    return {pair: passed for pair, passed in found.items() if pair[0] != pair[1]}  # type: ignore[misc]


STAR1, STAR2, COLLECT, OPEN, LONE = ("a", "b"), ("c", "d"), ("collect",), ("probe",), ("lone",)


def wanted(source: str, target: str, homes: Mapping[str, str]) -> bool:
    """The document's matrix, and what a task without groups may: talk with its own agent."""
    if source in homes.values() and homes[target] == source:
        return True
    if target in LONE or source in LONE:
        return False
    if target in (*COLLECT, *OPEN):
        return True
    if source in COLLECT:
        return True
    return (source in STAR1 and target in STAR1) or (source in STAR2 and target in STAR2)


def test_groups_decide_who_talks_and_every_task_talks_with_its_own_agent(lab: Lab, agents: tuple[Agent, Agent]) -> None:
    one, two = agents
    returns = FelixConfigurationSpec(default_endpoint_to_host_action="Return")
    lab.client.apply(Resource(kind=FELIX_CONFIGURATION, metadata=Metadata(name="default"), spec=returns))
    yonder = lab.plug("yonder", YONDER)
    inside(yonder, "ip", "route", "add", "192.168.0.0/16", "via", A1)
    tasks = {
        "a": one.start("star-1"),
        "b": two.start("star-1"),
        "c": one.start("star-2"),
        "d": two.start("star-2"),
        "collect": one.start("star-1", "star-2", "public"),
        "probe": two.start("public"),
        "lone": one.start(),
    }
    homes = {name: "agent-1" if task in one.tasks else "agent-2" for name, task in tasks.items()}
    sources = {name: task.namespace for name, task in tasks.items()}
    sources |= {"agent-1": one.netns, "agent-2": two.netns, "yonder": Path("/var/run/netns", yonder)}
    targets = {name: task.address for name, task in tasks.items()}
    expected = {(s, t): wanted(s, t, homes) for s in sources for t in targets if s != t}

    def wrong() -> dict[tuple[str, str], bool]:
        found = through(sources, targets)
        return {pair: found[pair] for pair in expected if found[pair] != expected[pair]}

    until(lambda: not wrong(), message=lambda: f"these pairs differ: {wrong()}")
    # A task reaches its own agent and no other one by its first profile alone.
    hosts = {"agent-1": A1, "agent-2": A2}
    own = {("lone", "agent-1"): True, ("lone", "agent-2"): False}
    lone = {"lone": tasks["lone"].namespace}
    until(lambda: through(lone, hosts) == own, message=lambda: through(lone, hosts))

    found = {profile.name: profile for profile in lab.client.list(PROFILE).items}
    assert {f"default_{A1}", f"default_{A2}", "public", "star-1", "star-2"} <= found.keys()
    assert found["star-1"].spec == network_profile("star-1").spec
    endpoint = next(e for e in lab.client.list(WORKLOAD_ENDPOINT).items if e.spec.workload == tasks["collect"].id)
    assert endpoint.spec.profiles == (f"default_{A1}", "public", "star-1", "star-2")
    neighbours = inside_of(tasks["a"], "ip", "neigh")
    assert "169.254.1.1" in neighbours
    assert "PERMANENT" in neighbours

    # An edited profile stays as it is, and a task that comes later goes by it.
    open_group = network_profile("star-2")
    lab.profile("star-2", *found["public"].spec.ingress)
    later = one.start("star-2")
    assert open_group.spec.ingress != lab.client.get(PROFILE, "star-2").spec.ingress
    until(lambda: through({"a": tasks["a"].namespace}, {"later": later.address}) == {("a", "later"): True})

    for agent in agents:
        for task in list(agent.tasks):
            agent.stop(task)
    for agent in agents:
        nothing_left(agent)
    assert {"public", "star-1", "star-2"} <= {profile.name for profile in lab.client.list(PROFILE).items}


def test_the_commands_as_mesos_calls_them(lab: Lab, agent: Agent) -> None:
    got = agent.ask("allocate", hostname=A1, num_ipv4=2, num_ipv6=0, uid="u-1")
    first, second = got["ipv4"]
    assert (got["error"], got["ipv6"], got["code"]) == (None, [], 0)
    assert agent.ask("reserve", hostname=A1, uid="u-1", ipv4_addrs=["192.168.9.9"]) == {"error": None, "code": 0}
    again = agent.ask("reserve", hostname=A1, uid="u-1", ipv4_addrs=["192.168.9.9"])
    assert again["error"] is None
    # All or nothing: what was free is free again, what the uid had stays its own.
    taken = agent.ask("reserve", hostname=A1, uid="u-2", ipv4_addrs=["192.168.9.8", "192.168.9.9"])
    assert taken == {"error": "IP '192.168.9.9' already in use.", "code": 1}
    assert handles(lab) == ["mesos.u-1"]
    outside = agent.ask("reserve", hostname=A1, uid="u-2", ipv4_addrs=["10.1.1.1"])
    assert "10.1.1.1" in outside["error"]
    labels = [{"key": "ipv4_addrs", "value": "['192.168.1.9']"}]
    named = agent.ask("allocate", hostname=A1, num_ipv4=1, num_ipv6=0, uid="u-3", labels=labels)
    assert named["ipv4"] == ["192.168.1.9"]
    evil = [{"key": "ipv4_addrs", "value": "__import__('os').system('true')"}]
    refused = agent.ask("allocate", hostname=A1, num_ipv4=1, num_ipv6=0, uid="u-4", labels=evil)
    assert "a list of addresses in quotes is needed" in refused["error"]
    assert agent.ask("release", uid="u-3")["error"] is None

    container = "0b7d3f0e-8f0c-4a57-9a8f-5d3a1c2e4f60"
    lab.add_netns(name := f"{agent.host.netns}-c")
    process = subprocess.Popen(["ip", "netns", "exec", name, "sleep", "600"], stdin=subprocess.DEVNULL)
    try:
        until(lambda: os.readlink(f"/proc/{process.pid}/ns/net") != os.readlink("/proc/self/ns/net"))
        isolate = {"hostname": A1, "container_id": container, "pid": process.pid, "ipv4_addrs": [first]}
        own = agent.ask("isolate", **{**isolate, "pid": agent.host.agent.pid if agent.host.agent else 0})
        assert "in the network namespace of the host" in own["error"]
        gone = agent.ask("isolate", **{**isolate, "pid": 4194300})
        assert "process 4194300: no network namespace" in gone["error"]
        assert agent.ask("isolate", **isolate)["error"] is None
        twice = agent.ask("isolate", **isolate)
        assert twice == {"error": "This container has already been configured with Calico Networking.", "code": 1}
        other = agent.ask("isolate", **{**isolate, "container_id": "another"})
        assert other["error"] == f"IP '{first}' already in use."
        assert lab.client.list(WORKLOAD_ENDPOINT).items[0].spec.interface_name == "cali0b7d3f0e-8f"

        # Its addresses go with it, not before: another container may have such an address by the time this is said.
        assert agent.ask("release", ips=[first, second, "192.168.44.44"])["error"] is None
        assert (
            agent.ask("isolate", **{**isolate, "container_id": "another"})["error"] == f"IP '{first}' already in use."
        )
        assert agent.ask("cleanup", hostname=A1, container_id=container) == {"error": None, "code": 0}
        none = agent.ask("cleanup", hostname=A1, container_id=container)
        assert none == {"error": f"No endpoint found with container-id: {container}", "code": 1}
        assert inside(name, "ip", "-j", "link", "show", "type", "veth").strip() in ("", "[]")
    finally:
        end(process)
    nothing_left(agent)
    for words in ("already in use", '"command": "cleanup"'):
        until(lambda words=words: words in agent.log.read_text(), message=agent.log.read_text)  # type: ignore[misc]


def test_an_address_of_somebody_else_is_never_given_back(lab: Lab, agent: Agent) -> None:
    """A release that comes late names an address only: it is another's by then, with or without an interface."""
    task = agent.start("star-1", address="192.168.9.9")
    assert agent.ask("release", ips=["192.168.9.9"])["error"] is None
    assert agent.ask("release", uid="of another")["error"] is None
    assert len(handles(lab)) == 1
    agent.stop(task)
    nothing_left(agent)

    agent.host.kill(signal.SIGKILL)
    assert agent.ask("release", ips=["192.168.9.9"]) == {"error": None, "code": 0}
    kept = agent.spool / next(name for name in os.listdir(agent.spool) if not name.startswith("."))
    late = kept.read_bytes()
    agent.again()
    until(lambda: not os.listdir(agent.spool))
    assert agent.ask("reserve", hostname=A1, uid="newer", ipv4_addrs=["192.168.9.9"])["error"] is None
    beside = agent.folder / "late"
    beside.write_bytes(late)
    beside.rename(kept)
    # Whatever was kept is done before anything new.
    assert agent.ask("reserve", hostname=A1, uid="newer", ipv4_addrs=["192.168.9.9"])["error"] is None
    until(lambda: not os.listdir(agent.spool))
    assert handles(lab) == ["mesos.newer"]
    assert agent.ask("release", uid="newer")["error"] is None
    nothing_left(agent)


def test_a_join_that_fails_leaves_nothing(lab: Lab, agent: Agent) -> None:
    first = agent.start("star-1", address="192.168.9.9")
    both = wire.NetworkInfo(
        ip_addresses=[wire.IPAddress(ip_address="192.168.9.8"), wire.IPAddress(ip_address="192.168.9.9")]
    )
    with pytest.raises(Invalid, match=r"returned error: IP '192.168.9.9' already in use."):
        anyio.run(agent.networks.join, Wish(container_id="second", network_infos=[both]))
    assert agent.networks.kept() == [first.id]
    with pytest.raises(Invalid, match="netgroup 'a b'"):
        anyio.run(agent.networks.join, agent.wish("second", "a b"))
    joined = anyio.run(agent.networks.join, agent.wish("second", "star-1"))
    assert agent.networks.joined("second") == joined
    with pytest.raises(Invalid, match="no network namespace"):
        anyio.run(agent.networks.isolate, "second", 4194300)
    assert agent.networks.kept() == [first.id]
    assert agent.networks.joined("second") is None
    with pytest.raises(Unavailable, match="has not joined"):
        anyio.run(agent.networks.isolate, "second", os.getpid())
    agent.stop(first)
    nothing_left(agent)


def test_a_node_that_is_away_when_a_task_ends(lab: Lab, agent: Agent) -> None:
    stays, ends = agent.start("star-1"), agent.start("star-1")
    agent.host.kill(signal.SIGKILL)
    until(lambda: through({"a": stays.namespace}, {"b": ends.address}) == {("a", "b"): True})
    agent.stop(ends)
    assert agent.networks.kept() == [stays.id]
    assert len(os.listdir(agent.spool)) == 2
    agent.again()
    until(lambda: len(handles(lab)) == 1 and len(endpoints(lab)) == 1 and len(agent.links()) == 1)
    until(lambda: not os.listdir(agent.spool))
    agent.stop(stays)
    nothing_left(agent)


STEPS = [(when, command) for command in ("reserve", "allocate", "isolate", "release", "cleanup") for when in (0, 1)]


def killer(agent: Agent, when: int, command: str) -> Path:
    """The command, but that it kills whoever calls it, before or after one step."""
    path = agent.folder / f"killer-{command}-{when}"
    kill = f'case "$request" in *\'"command":"{command}"\'*) kill -9 $PPID; exit;; esac'
    call = f'printf %s "$request" | {agent.command}'
    lines = [kill, call] if when == 0 else [call, kill]
    path.write_text("\n".join(["#!/bin/sh", "trap '' HUP", "request=$(cat)", *lines, ""]))
    path.chmod(0o755)
    return path


def driver(agent: Agent, command: Path, container: str, what: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "tests.kernel.run_netmodules", str(command), A1, str(agent.root), container, what]
    return subprocess.Popen(
        [*words, "star-1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )


def test_killed_between_each_pair_of_steps_nothing_is_left_behind(lab: Lab, agent: Agent) -> None:
    for number, (when, command) in enumerate(STEPS):
        container = f"killed-{number}"
        process = driver(agent, killer(agent, when, command), container, "run")
        process.communicate(timeout=PATIENCE)  # its input ends at once: it leaves as soon as it is isolated
        assert process.returncode == -signal.SIGKILL, (when, command)
        assert agent.networks.kept() == [container]
        after = driver(agent, agent.command, container, "leave")
        said, _ = after.communicate(timeout=PATIENCE)
        assert (after.returncode, said) == (0, b"left\n"), (when, command)
        nothing_left(agent)
    whole = driver(agent, agent.command, "whole", "run")
    said, _ = whole.communicate(timeout=PATIENCE)
    assert (whole.returncode, said.split()) == (0, [b"isolated", b"left"])
    nothing_left(agent)


def test_a_command_that_hangs_says_too_much_or_is_not_there(agent: Agent, tmp_path: Path) -> None:
    program = tmp_path / "program"
    container = "bad"

    def join(text: str, patience: float = PATIENCE) -> str:
        program.write_text(text)
        program.chmod(0o755)
        networks = NetModulesNetworks(Commands([str(program)], [str(program)]), A1, agent.root, patience=patience)
        with pytest.raises((Invalid, Unavailable)) as caught:
            anyio.run(networks.join, agent.wish(container))
        anyio.run(agent.networks.leave, container)
        assert agent.networks.kept() == []
        return str(caught.value)

    assert "no answer within 0.5 seconds" in join("#!/bin/sh\nsleep 600\n", patience=0.5)
    assert "more than 40960 bytes of output" in join("#!/bin/sh\nhead -c 50000 /dev/zero\n")
    assert "Got no response" in join("#!/bin/sh\nexit 3\n")
    assert "Error parsing output 'nonsense" in join("#!/bin/sh\necho nonsense\n")
    assert "returned error: [1]" in join("#!/bin/sh\necho '{\"error\":[1]}'\n")
    assert "No IPv4 addresses received" in join("#!/bin/sh\necho '{\"ipv4\":[]}'\n")
    assert str(program) in join("#!/nowhere/sh\n")
    nothing_left(agent)
