"""Faults one by one, where a single look tells: links, addresses, nodes that go, a child that cannot be had."""

from __future__ import annotations

import signal
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.differential.net import raw, within
from tests.faults.world import words_of
from tests.kernel.netlab import Host, Lab, inside, own_tag, until
from tests.kernel.test_node_kernel import answered, passes
from tests.support.machine import needs_ipv6, needs_vxlan

from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.node import NODE
from tortie.model.resource import Metadata, Resource
from tortie.model.rule import Rule

pytestmark = pytest.mark.root


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def pool(lab: Lab, **more: object) -> None:
    spec = IPPoolSpec(cidr="10.65.0.0/16", **more)  # type: ignore[arg-type]
    lab.client.apply(Resource(kind=IP_POOL, metadata=Metadata(name="p"), spec=spec))


def route(host: Host, destination: str) -> str:
    return inside(host.netns, "ip", "route", "show", destination)


def test_without_its_child_an_agent_is_not_ready_and_the_old_rules_remain(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", own_tag("n"))
    lab.profile("m", own_tag("m"))
    a, b = host.container("a", "10.65.0.1", "n"), host.container("b", "10.65.0.2", "n")
    c = host.container("c", "10.65.0.3", "m")
    before = words_of(host)
    host.kill()
    host.start(module="tests.kernel.run_childless")
    until(lambda: "cannot be started" in host.status().get("table", {}).get("reason", ""), message=host.story)
    assert "no such program" in (host.ask("/readiness") or "")
    assert not host.status()["ready"]
    assert words_of(host) == before
    assert answered(a.netns, b.address)
    assert not passes(a.netns, c.address)
    assert host.agent is not None
    host.agent.send_signal(signal.SIGUSR1)
    host.ready()
    assert answered(a.netns, b.address)


def test_a_link_that_flaps_and_is_renamed_ends_right(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", Rule(action="Allow"))
    a, b = host.container("a", "10.65.0.1", "n"), host.container("b", "10.65.0.2", "n")
    for number in range(20):
        words = ["set", a.interface, "down"], ["set", a.interface, "name", f"x{number}"], [
            "set", f"x{number}", "name", a.interface], ["set", a.interface, "up"]  # fmt: skip
        for step in words if number % 2 else (words[0], words[3]):
            inside(host.netns, "ip", "link", *step)
    until(lambda: passes(b.netns, a.address), message=host.story)
    assert answered(a.netns, b.address)
    assert route(host, "10.65.0.1").split() == ["10.65.0.1", "dev", a.interface, "proto", "80", "scope", "link"]


@needs_vxlan
@pytest.mark.parametrize("mode", ["Never", "Always"])
def test_a_node_that_goes_takes_its_routes_and_its_tunnel_end_along(lab: Lab, mode: str) -> None:
    pool(lab, vxlan_mode=mode)
    one, two = lab.host("h1", "10.9.0.1"), lab.host("h2", "10.9.0.2")
    lab.profile("n", Rule(action="Allow"))
    lab.block("10.65.0.0/26", "h1")
    lab.block("10.65.1.0/26", "h2")
    a, b = one.container("a", "10.65.0.1", "n"), two.container("b", "10.65.1.1", "n")
    until(lambda: passes(a.netns, b.address), message=one.story)
    two.kill(signal.SIGTERM)
    lab.client.delete(NODE, "h2")
    until(lambda: not route(one, "10.65.1.0/26"), message=one.story)
    if mode == "Always":
        until(lambda: "10.9.0.2" not in inside(one.netns, "bridge", "fdb", "show", "dev", "vxlan.calico"))
    # The other still sends, and is nobody any more.
    assert not passes(b.netns, a.address)


def test_an_address_of_the_host_that_moves_to_another_link_takes_the_routes_along(lab: Lab) -> None:
    pool(lab)
    one, two = lab.host("h1", "10.9.0.1"), lab.host("h2", "10.9.0.2")
    lab.profile("n", Rule(action="Allow"))
    lab.block("10.65.0.0/26", "h1")
    lab.block("10.65.1.0/26", "h2")
    a, b = one.container("a", "10.65.0.1", "n"), two.container("b", "10.65.1.1", "n")
    until(lambda: "dev eth0" in route(one, "10.65.1.0/26"), message=one.story)
    inside(lab.switch, "ip", "link", "add", "second", "type", "veth", "peer", "name", "eth1", "netns", one.netns)
    inside(lab.switch, "ip", "link", "set", "second", "master", "br0", "up")
    inside(one.netns, "ip", "link", "set", "eth1", "up")
    inside(one.netns, "ip", "addr", "del", "10.9.0.1/24", "dev", "eth0")
    inside(one.netns, "ip", "addr", "add", "10.9.0.1/24", "dev", "eth1")
    until(lambda: "dev eth1" in route(one, "10.65.1.0/26"), message=one.story)
    # The neighbour may still believe in the first link's address.
    inside(two.netns, "ip", "neigh", "flush", "dev", "eth0")
    until(lambda: passes(a.netns, b.address), message=one.story)


def test_a_local_workload_wins_over_the_way_to_another_host(lab: Lab) -> None:
    pool(lab)
    one, two = lab.host("h1", "10.9.0.1"), lab.host("h2", "10.9.0.2")
    lab.profile("n", Rule(action="Allow"))
    lab.block("10.65.1.0/26", "h2", {5: "h2"})
    a = one.container("a", "10.65.0.1", "n")
    until(lambda: "via 10.9.0.2" in route(one, "10.65.1.0/26"), message=one.story)
    here = one.container("x", "10.65.1.5", "n")
    assert f"dev {here.interface}" in inside(one.netns, "ip", "route", "get", "10.65.1.5")
    assert answered(a.netns, "10.65.1.5")
    inside(one.netns, "ip", "link", "set", here.interface, "down")
    until(lambda: "via 10.9.0.2" in inside(one.netns, "ip", "route", "get", "10.65.1.5"), message=one.story)
    assert two.status()["ready"]


@needs_ipv6
def test_a_router_advertisement_of_a_container_changes_nothing_on_the_host(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", Rule(action="Allow"))
    a = host.container("a", "10.65.0.1", "n")
    before = inside(host.netns, "ip", "-6", "route")
    assert inside(host.netns, "sysctl", "-n", f"net.ipv6.conf.{a.interface}.accept_ra").strip() == "0"

    def advertise() -> None:
        with raw(socket.AF_INET6, socket.IPPROTO_ICMPV6) as sock:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex("eth0"))
            prefix = struct.pack(
                "!BBBBIII16s", 3, 4, 64, 0xC0, 9000, 9000, 0, socket.inet_pton(socket.AF_INET6, "fd99::")
            )
            message = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 9000, 0, 0) + prefix
            sock.sendto(message, ("ff02::1", 0))

    until(lambda: "tentative" not in inside(a.netns, "ip", "-6", "addr", "show", "dev", "eth0"))
    for _ in range(3):
        within(a.netns, advertise)
    # Sent after them, and answered: they had their time.
    assert answered(host.netns, a.address)
    assert inside(host.netns, "ip", "-6", "route") == before
