"""Whether containers of two hosts would find each other's hosts, asked of real kernels: missing routes are seen, policy
and routers between do not matter."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from tests.support.netns import within
from tests.support.rollout_host import artefact, box, want
from tests.support.waiting import wait_until

from tortie.packages.rollout.hand import gate, neighbours
from tortie.packages.rollout.hand.main import answer
from tortie.packages.rollout.machine import GATE, STEPS

pytestmark = pytest.mark.root

TAG = f"gate{os.getpid() % 100000}"
HERE, ROUTER, THERE, INSIDE = (f"{TAG}-{name}" for name in ("a", "r", "b", "c"))
WORKLOAD, OWN = "192.168.9.2", "192.168.7.1"
WORKLOAD6, OWN6 = "fd65::9:2", "fd65::7:1"
BLOCKS: list[tuple[int, str, str]] = [(1, "192.168.7.0/24", "fd65::7:0/112"), (2, "192.168.9.0/24", "fd65::9:0/112")]
KNOWN: dict[str, Any] = {
    "host": ["10.1.0.2", "fd01::2"],
    "own": [OWN, OWN6],
    "peers": {"b": {"addresses": ["10.2.0.2", "fd02::2"], "workloads": [WORKLOAD, WORKLOAD6]}},
}
BOTH = {"b/4", "b/6"}
FOUR, SIX = "10.1.0.1", "fd01::1"
"""The router, as seen from here."""
LAST = "no answer; the last host on the way that spoke was"


def ip(netns: str, line: str) -> None:
    subprocess.run(["ip", "-n", netns, *line.split()], check=True)


def ways(n: int, block: str, block6: str) -> None:
    """The router's, to a host's blocks."""
    ip(ROUTER, f"route add {block} via 10.{n}.0.2")
    ip(ROUTER, f"route add {block6} via fd0{n}::2")


def nodes(name: str) -> None:
    """A host that passes packets on."""
    for setting in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        subprocess.run(["ip", "netns", "exec", name, "sysctl", "-qw", f"{setting}=1"], check=True)


@pytest.fixture
def hosts() -> Iterator[None]:
    """Two hosts with a router between; the far one has a container, to which nothing is let through."""
    try:
        for name in (HERE, ROUTER, THERE, INSIDE):
            subprocess.run(["ip", "netns", "add", name], check=True)
            ip(name, "link set lo up")
        for near, far, n in ((HERE, ROUTER, 1), (THERE, ROUTER, 2)):
            ip(near, f"link add wire type veth peer name to-{near[-1]} netns {far}")
            for netns, device, last in ((near, "wire", 2), (far, f"to-{near[-1]}", 1)):
                ip(netns, f"address add 10.{n}.0.{last}/24 dev {device}")
                ip(netns, f"address add fd0{n}::{last}/64 dev {device} nodad")
                ip(netns, f"link set {device} up")
            ip(near, f"route add default via 10.{n}.0.1")
            ip(near, f"route add default via fd0{n}::1")
        ip(THERE, f"link add cali type veth peer name eth0 netns {INSIDE}")
        ip(THERE, "link set cali up")
        ip(INSIDE, "link set eth0 up")
        for target in (WORKLOAD, WORKLOAD6):
            ip(THERE, f"route add {target} dev cali")
        for blocks in BLOCKS:
            ways(*blocks)
        closed = "table inet t { chain c { type filter hook forward priority 0; policy drop; }; }"
        for name in (ROUTER, THERE):
            nodes(name)
        subprocess.run(["ip", "netns", "exec", THERE, "nft", closed], check=True)
        yield
    finally:
        for name in (HERE, ROUTER, THERE, INSIDE):
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)


def silent(**changed: Any) -> dict[str, str]:
    with within(HERE):
        return neighbours.silent({**KNOWN, **changed}, ["b"], 0.2)


def reached(**changed: Any) -> None:
    """A kernel says no more than a few of such words in a second: who has heard none asks again."""
    heard = set[str]()

    def all_heard() -> bool:
        heard.update(BOTH - silent(**changed).keys())
        return heard == BOTH

    wait_until(all_heard, message=lambda: f"answers of the far host; heard of {heard}")


def lost(four: str, six: str, **changed: Any) -> None:
    """Nobody answers. Who was on the way is known once one has spoken."""
    said: dict[str, str] = {}

    def told() -> bool:
        found = silent(**changed)
        assert found.keys() == BOTH
        said.update({name: why for name, why in found.items() if (four if name == "b/4" else six) in why})
        return said.keys() == BOTH

    wait_until(told, message=lambda: f"{four!r} and {six!r} in {said}")


@pytest.mark.usefixtures("hosts")
def test_a_host_is_reached_through_a_router_whatever_its_policy_is_and_a_missing_route_is_seen() -> None:
    reached()
    reached(own=[])
    strange = {"addresses": ["10.2.0.9", "fd02::9"], "workloads": [WORKLOAD, WORKLOAD6]}
    lost(LAST, LAST, peers={"b": strange})
    # The router is a host without containers, and asked for the way back.
    beside = {"own": OWN, "device": "wire", "mac": "", "gateway": FOUR}
    empty = {"b": {"addresses": [FOUR, SIX], "workloads": [], "beside": beside}}
    wait_until(lambda: silent(peers=empty) == {}, message="the router's own answer")
    for block in BLOCKS[0][1:]:
        ip(ROUTER, f"route del {block}")
    assert silent().keys() == BOTH, "no way back to our containers"
    assert silent(peers=empty).keys() == {"b/4"}
    reached(own=[])
    ways(*BLOCKS[0])
    reached()
    beside["gateway"] = "10.1.0.17"
    assert silent(peers=empty) == {"b/4": "b does not lead back to containers here (nobody has 10.1.0.17 on wire)"}
    for workload, block in ((WORKLOAD, BLOCKS[1][1]), (WORKLOAD6, BLOCKS[1][2])):
        ip(THERE, f"route del {workload} dev cali")
        ip(THERE, f"route add blackhole {block}")
    lost(f"{LAST} {FOUR})", f"{LAST} {SIX})")
    for router in (FOUR, SIX):
        ip(HERE, f"route del default via {router}")
    lost("Network is unreachable", "Network is unreachable")


def test_the_gate_wants_those_that_answered_before_and_those_that_were_rolled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can send to the network's broadcast address; this machine answers for itself."""
    monkeypatch.setattr(gate, "REACH_SECONDS", 0.0)
    name, payload = artefact("one")

    def passes(rolled: Sequence[str] = (), **more: Any) -> str:
        request = host.request("apply", GATE, {**want(name), **more})
        said = answer({**request, "rolled": rolled}, payload)
        return str(said.get("error", ""))

    def shows(workload: str, who: str = "b") -> None:
        peers = {who: {"addresses": ["10.0.0.2"], "workloads": [workload]}}
        host.answers["/peers"] = 200, {"own": [], "peers": peers}

    with box() as host:
        shows("255.255.255.255")
        assert passes() == ""
        assert passes(["10.0.0.2", "c"], probe=False) == ""
        unheard = "containers here are not reached by those of b, or the other way round ("
        assert passes(["10.0.0.2", "c"]).startswith(unheard)
        assert passes(["b"]).startswith(unheard)
        shows("127.0.0.9")
        assert passes(["b"]) == ""
    with box() as host:
        shows("127.0.0.9")
        for step in STEPS:
            assert answer(host.request("apply", step, want(name)), payload) == {"notes": []}
        shows("255.255.255.255")
        assert passes().startswith(unheard)
        shows("255.255.255.255", "another")
        assert passes() == ""
