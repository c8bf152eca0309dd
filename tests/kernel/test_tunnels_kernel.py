"""VXLAN between real agents: what travels in it, and what happens when parts of it are taken away."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kernel.netlab import Container, Host, Lab, inside, own_tag, until
from tests.support.machine import needs_vxlan
from tests.support.waiting import PATIENCE

from tortie.model.kinds.ip_pool import Encapsulation
from tortie.model.kinds.node import NODE
from tortie.model.rule import EntityRule, Rule

pytestmark = pytest.mark.root


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def pool(lab: Lab, vxlan: Encapsulation, ipip: Encapsulation = "Never") -> None:
    lab.pool("10.65.0.0/16", vxlan_mode=vxlan, ipip_mode=ipip, nat_outgoing=False)


def pair(lab: Lab) -> tuple[Host, Host, Container, Container]:
    """Two hosts, a container of one profile on each; no other address of their blocks is taken by the tunnels."""
    lab.profile("n", own_tag("n"))
    one, two = lab.host("h1", "10.9.0.1"), lab.host("h2", "10.9.0.2")
    lab.block("10.65.128.0/26", "h1", {1: "h1"})
    lab.block("10.65.129.0/26", "h2", {1: "h2"})
    return one, two, one.container("a", "10.65.128.1", "n"), two.container("b", "10.65.129.1", "n")


def ping(source: str, address: str, size: int = 56, seconds: float = 2) -> bool:
    """With "don't fragment": what does not fit is lost. An answer is waited for so long."""
    said = inside(source, "ping", "-c1", f"-W{seconds:.0f}", "-M", "do", "-s", str(size), address, check=False)
    return " 1 received" in said


def reaches(a: Container, b: Container) -> None:
    until(lambda: ping(a.netns, b.address), message=lambda: f"{a.netns} reaches {b.address}: {a.host.story()}")


def via(host: Host, cidr: str) -> str:
    return inside(host.netns, "ip", "route", "show", cidr)


def has_device(host: Host) -> bool:
    return "vxlan.calico" in inside(host.netns, "ip", "-br", "link")


@needs_vxlan
def test_vxlan_carries_what_policy_lets_through_and_leaves_when_the_pool_does_without(lab: Lab) -> None:
    pool(lab, "Always")
    one, two, a, b = pair(lab)
    until(lambda: "vxlan.calico" in via(one, "10.65.129.0/26"))
    reaches(a, b)
    # 1450 bytes of MTU: 1422 of data behind 28 of headers, and not one more.
    assert ping(a.netns, b.address, 1422, PATIENCE)
    assert not ping(a.netns, b.address, 1423)
    lab.profile("m")
    stranger = one.container("c", "10.65.128.2", "m")
    assert not ping(stranger.netns, b.address)
    node = lab.client.find(NODE, "h1")
    assert node is not None
    assert f"inet {node.spec.ipv4_vxlan_tunnel_addr}/32" in inside(one.netns, "ip", "addr", "show", "vxlan.calico")
    pool(lab, "Never")
    until(lambda: via(one, "10.65.129.0/26").startswith("10.65.129.0/26 via 10.9.0.2 dev eth0"))
    until(lambda: not has_device(one) and not has_device(two))
    reaches(a, b)

    def given_back() -> bool:
        found = lab.client.find(NODE, "h1")
        handles = lab.client.datastore.list("/calico/ipam/v2/handle/").items
        return found is not None and not found.spec.ipv4_vxlan_tunnel_addr and not handles

    until(given_back)


@needs_vxlan
def test_a_host_s_own_packets_are_known_by_its_address_in_a_tunnel_too(lab: Lab) -> None:
    """They carry the address of the tunnel's end, which nobody writes into a rule."""
    pool(lab, "Always")
    one, two, _, b = pair(lab)
    three = lab.host("h3", "10.9.0.3")
    lab.profile("m")
    closed = two.container("c", "10.65.129.2", "m")
    until(lambda: "vxlan.calico" in via(one, "10.65.129.0/26") and "vxlan.calico" in via(three, "10.65.129.0/26"))
    assert not ping(one.netns, closed.address)
    lab.profile("m", Rule(action="Allow", source=EntityRule(nets=("10.9.0.1/32",))))
    until(lambda: ping(one.netns, closed.address), message=two.story)
    assert not ping(three.netns, closed.address)
    lab.profile("m", Rule(action="Allow", source=EntityRule(not_nets=("10.9.0.1/32",))))
    until(lambda: ping(three.netns, closed.address), message=two.story)
    until(lambda: not ping(one.netns, closed.address), message=two.story)
    assert not ping(one.netns, b.address), "nothing names it there"


@needs_vxlan
def test_a_tunnel_that_somebody_breaks_is_mended(lab: Lab) -> None:
    pool(lab, "Always")
    one, _, a, b = pair(lab)
    until(lambda: "vxlan.calico" in via(one, "10.65.129.0/26"))
    reaches(a, b)
    for words in (
        "link del vxlan.calico",
        "link set vxlan.calico down",
        "link set vxlan.calico address 66:00:00:00:00:01",
        "addr flush dev vxlan.calico",
    ):
        inside(one.netns, "ip", *words.split())
        reaches(a, b)
        until(lambda: one.status().get("tunnels", {}).get("failures") == {})


@needs_vxlan
def test_a_restarted_agent_finds_its_tunnel_and_cuts_nothing(lab: Lab) -> None:
    pool(lab, "Always")
    one, _, a, b = pair(lab)
    until(lambda: "vxlan.calico" in via(one, "10.65.129.0/26"))
    reaches(a, b)
    before = inside(one.netns, "ip", "-o", "link", "show", "vxlan.calico").split(":")[0]
    one.kill(signal.SIGKILL)
    assert ping(a.netns, b.address, seconds=PATIENCE)
    one.start()
    one.ready()
    reaches(a, b)
    assert inside(one.netns, "ip", "-o", "link", "show", "vxlan.calico").split(":")[0] == before


def test_cross_subnet_goes_straight_to_a_neighbour(lab: Lab) -> None:
    pool(lab, "CrossSubnet")
    one, _, a, b = pair(lab)
    until(lambda: via(one, "10.65.129.0/26").startswith("10.65.129.0/26 via 10.9.0.2 dev eth0"))
    reaches(a, b)
    assert ping(a.netns, b.address, 1472, PATIENCE)


def test_without_ipip_in_the_kernel_the_status_says_so_and_the_endpoints_stay(lab: Lab) -> None:
    pool(lab, "Never", "Always")
    one, _, a, b = pair(lab)

    def known() -> bool:
        tunnels = one.status().get("tunnels", {})
        return bool(tunnels.get("failures")) or "tunl0" in via(one, "10.65.129.0/26")

    until(known)
    failures = one.status()["tunnels"]["failures"]
    if failures:
        assert "no ipip" in failures["tunl0"]
        assert one.endpoint(a)["state"] == "up"
    else:
        reaches(a, b)
