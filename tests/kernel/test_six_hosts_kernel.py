"""IPv6 between hosts with real agents: straight, by VXLAN, and what happens to who has no IPv6 address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kernel.netlab import Container, Host, Lab, inside, own_tag, until
from tests.support.machine import needs_vxlan
from tests.support.waiting import PATIENCE

from tortie.model.kinds.node import NODE

pytestmark = pytest.mark.root

POOL4, POOL6 = "10.65.0.0/16", "fd65::/64"
BLOCKS = {"h1": ("10.65.1.0/26", "fd65::100/122"), "h2": ("10.65.2.0/26", "fd65::200/122")}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    lab.profile("n", own_tag("n"))
    yield lab
    lab.close()


def pools(lab: Lab, **how: Any) -> None:
    for cidr in (POOL4, POOL6):
        lab.pool(cidr, **{"nat_outgoing": False, **how})


def pair(lab: Lab) -> tuple[Host, Host, Container, Container]:
    """Two hosts on one subnet of each family, a container of one profile on each."""
    one, two = lab.host("h1", "10.9.0.1", six="fd09::1"), lab.host("h2", "10.9.0.2", six="fd09::2")
    return one, two, *containers(lab, one, two)


def containers(lab: Lab, one: Host, two: Host) -> tuple[Container, Container]:
    for name, blocks in BLOCKS.items():
        for cidr in blocks:
            lab.block(cidr, name, {1: name})
    return one.container("a", "10.65.1.1", "n", six="fd65::101"), two.container("b", "10.65.2.1", "n", six="fd65::201")


def ping(netns: str, address: str, size: int = 56, seconds: float = 2) -> bool:
    """With "don't fragment": what does not fit is lost. An answer is waited for so long."""
    said = inside(netns, "ping", "-c1", f"-W{seconds:.0f}", "-M", "do", "-s", str(size), address, check=False)
    return " 1 received" in said


def reaches(a: Container, b: Container) -> None:
    for address in (b.six, b.address):
        until(lambda to=address: ping(a.netns, to), message=lambda: f"{a.netns} reaches {b.netns}: {a.host.story()}")


def route(host: Host, destination: str) -> str:
    return inside(host.netns, "ip", "-6", "route", "show", destination).strip()


def device(host: Host, name: str = "vxlan-v6.calico") -> bool:
    return name in inside(host.netns, "ip", "-br", "link")


def test_workloads_of_two_hosts_speak_ipv6_straight(lab: Lab) -> None:
    pools(lab)
    one, two, a, b = pair(lab)
    reaches(a, b)
    print(inside(one.netns, "ip", "-6", "route"))


@needs_vxlan
def test_vxlan(lab: Lab) -> None:
    pools(lab, vxlan_mode="Always")
    one, two, a, b = pair(lab)
    try:
        reaches(a, b)
    finally:
        print(inside(one.netns, "ip", "-6", "route"))
        print(inside(one.netns, "ip", "-d", "link", "show", "vxlan-v6.calico", check=False))
        print(inside(one.netns, "ip", "-6", "neigh"))
        print(inside(one.netns, "bridge", "fdb"))
    assert ping(a.netns, b.six, 1430 - 48, PATIENCE)
    assert not ping(a.netns, b.six, 1430 - 47)
    pools(lab, vxlan_mode="CrossSubnet")
    until(lambda: "eth0" in route(one, "fd65::200/122"))
    reaches(a, b)
    pools(lab, vxlan_mode="Always")
    until(lambda: "vxlan" in route(one, "fd65::200/122"), message=one.story)
    reaches(a, b)
