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
KNOWN: dict[str, Any] = {"own": [OWN], "peers": {"b": {"addresses": ["10.2.0.2"], "workloads": [WORKLOAD]}}}


def ip(netns: str, line: str) -> None:
    subprocess.run(["ip", "-n", netns, *line.split()], check=True)


@pytest.fixture
def hosts() -> Iterator[None]:
    """Two hosts with a router between; the far one has a container, to which nothing is let through."""
    try:
        for name in (HERE, ROUTER, THERE, INSIDE):
            subprocess.run(["ip", "netns", "add", name], check=True)
            ip(name, "link set lo up")
        for near, far, net in ((HERE, ROUTER, "10.1.0"), (THERE, ROUTER, "10.2.0")):
            ip(near, f"link add wire type veth peer name to-{near[-1]} netns {far}")
            ip(near, f"address add {net}.2/24 dev wire")
            ip(far, f"address add {net}.1/24 dev to-{near[-1]}")
            ip(near, "link set wire up")
            ip(far, f"link set to-{near[-1]} up")
            ip(near, f"route add default via {net}.1")
        ip(THERE, f"link add cali type veth peer name eth0 netns {INSIDE}")
        ip(THERE, "link set cali up")
        ip(INSIDE, "link set eth0 up")
        ip(THERE, f"route add {WORKLOAD} dev cali")
        ip(ROUTER, "route add 192.168.9.0/24 via 10.2.0.2")
        ip(ROUTER, "route add 192.168.7.0/24 via 10.1.0.2")
        closed = "table ip t { chain c { type filter hook forward priority 0; policy drop; }; }"
        for name in (ROUTER, THERE):
            subprocess.run(["ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv4.ip_forward=1"], check=True)
        subprocess.run(["ip", "netns", "exec", THERE, "nft", closed], check=True)
        yield
    finally:
        for name in (HERE, ROUTER, THERE, INSIDE):
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)


def silent(own: bool = True, **known: Any) -> dict[str, str]:
    with within(HERE):
        return neighbours.silent({**KNOWN, **({} if own else {"own": []}), **known}, ["b"], 0.5)


def reached(own: bool = True) -> None:
    """A kernel says no more than a few of such words in a second: who has heard none asks again."""
    wait_until(lambda: silent(own) == {}, message="an answer of the far host")


@pytest.mark.usefixtures("hosts")
def test_a_host_is_reached_through_a_router_whatever_its_policy_is_and_a_missing_route_is_seen() -> None:
    reached()
    reached(own=False)
    assert silent(peers={"b": {"addresses": ["10.2.0.9"], "workloads": [WORKLOAD]}}) == {"b": "no answer"}
    ip(ROUTER, "route del 192.168.7.0/24")
    assert silent() == {"b": "no answer"}, "no way back to our containers"
    reached(own=False)
    ip(ROUTER, "route add 192.168.7.0/24 via 10.1.0.2")
    reached()
    ip(THERE, f"route del {WORKLOAD}")
    ip(THERE, "route add blackhole 192.168.9.0/24")
    assert silent() == {"b": "no answer"}, "the far host does not know its container"
    ip(HERE, "route del default")
    assert silent() == {"b": "Network is unreachable"}


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


def test_only_peers_that_are_asked_for_and_have_a_container_are_asked() -> None:
    peers = {
        "b": {"addresses": ["10.2.0.2"], "workloads": [WORKLOAD]},
        "empty": {"addresses": ["10.2.0.3"], "workloads": []},
    }
    known = {"own": [], "peers": peers}
    assert list(neighbours.asked_for(known, ["10.2.0.2", "empty", "nobody"])) == ["b"]
    assert list(neighbours.asked_for(known, ["b"])) == ["b"]
    assert neighbours.silent(known, ["empty"]) == {}


def test_other_packets_are_no_answers() -> None:
    packet = neighbours.probe("192.168.7.1", WORKLOAD, 34000, 1)
    outer = neighbours._HEADER.pack(0x45, 0, 56, 0, 0, 64, 1, 0, bytes([10, 2, 0, 2]), bytes(4))

    def said(kind: int, code: int, inner: bytes) -> neighbours.Answer | None:
        return neighbours.understood(outer + bytes([kind, code]) + bytes(6) + inner)

    assert said(11, 0, packet) == neighbours.Answer("10.2.0.2", WORKLOAD, 34000, exceeded=True)
    assert said(3, 3, packet) == neighbours.Answer("10.2.0.2", WORKLOAD, 34000, exceeded=False)
    assert said(3, 1, packet) is None
    assert said(0, 0, packet) is None
    for length in range(len(outer) + 8 + len(packet) - 6):
        assert neighbours.understood((outer + b"\x0b" + bytes(7) + packet)[:length]) is None
