"""IPv6 between hosts with real agents: straight and by VXLAN, within a subnet and across a router; the room in each;
who has no IPv6 address, or one that others have too."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.kernel.netlab import Container, Host, Lab, inside, own_tag, sh, until
from tests.support.machine import needs_ipv6, needs_vxlan
from tests.support.waiting import PATIENCE

from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION, FelixConfigurationSpec
from tortie.model.kinds.node import NODE, NodeBgp, NodeSpec
from tortie.model.resource import Metadata, Resource
from tortie.model.rule import EntityRule, Rule

pytestmark = [pytest.mark.root, needs_ipv6]

POOL4, POOL6 = "10.65.0.0/16", "fd65::/64"
BLOCKS = {"h1": ("10.65.1.0/26", "fd65::100/122"), "h2": ("10.65.2.0/26", "fd65::200/122")}
BLOCK6 = "fd65::200/122"
HEADERS = 48
"""Of IPv6 and an echo."""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    lab.profile("n", own_tag("n"))
    lab.profile("m", own_tag("m"))
    yield lab
    lab.close()


def pools(lab: Lab, **how: Any) -> None:
    for cidr in (POOL4, POOL6):
        lab.pool(cidr, **{"nat_outgoing": False, **how})


def settings(lab: Lab, **fields: Any) -> None:
    spec = FelixConfigurationSpec(**fields)
    lab.client.apply(Resource(kind=FELIX_CONFIGURATION, metadata=Metadata(name="default"), spec=spec))


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


def reaches(a: Container, b: Container, *addresses: str) -> None:
    for address in addresses or (b.six, b.address):
        until(partial(ping, a.netns, address), message=lambda: f"{a.netns} reaches {b.netns}: {a.host.story()}")


def refused(a: Container, address: str) -> bool:
    return not ping(a.netns, address)


def via(host: Host, destination: str) -> str:
    return inside(host.netns, "ip", "-6", "route", "show", destination).strip()


def goes(host: Host, destination: str, how: str) -> None:
    until(lambda: how in via(host, destination), message=lambda: f"{how}: {via(host, destination)}; {host.story()}")


def mtu(host: Host, device: str) -> str:
    """Empty when there is no such interface."""
    return inside(host.netns, "cat", f"/sys/class/net/{device}/mtu", check=False).strip()


def problems(host: Host) -> str:
    return "\n".join(host.status().get("routes", {}).get("problems", []))


def is_numbered(host: Host, device: str, vni: str, port: str) -> bool:
    shown = inside(host.netns, "ip", "-d", "link", "show", device, check=False)
    return f"vxlan id {vni} " in shown and f"dstport {port} " in shown


def told(host: Host, words: str) -> None:
    until(lambda: words in problems(host), message=lambda: f"{words!r} is told: {host.story()}")


def speaks_tcp(a: Container, b: Container) -> None:
    """Much and its echo over TCP: packets that are too large for a tunnel are made smaller on the way."""
    listen = ("socat", "TCP6-LISTEN:7000,reuseaddr,fork", "EXEC:cat")
    server = b.host.lab.start(b.netns, *listen)
    say = f"head -c 300000 /dev/zero | socat -t 30 - TCP6:[{b.six}]:7000 | wc -c"
    until(lambda: inside(a.netns, "sh", "-c", say, check=False) == "300000\n", message="TCP over IPv6")
    server.kill()


def test_workloads_of_two_hosts_speak_ipv6_straight(lab: Lab) -> None:
    pools(lab)
    one, two, a, b = pair(lab)
    goes(one, BLOCK6, "via fd09::2 dev eth0 proto 80")
    assert via(one, "fd65::100/122").startswith("blackhole fd65::100/122 dev lo proto 80")
    reaches(a, b)
    speaks_tcp(a, b)
    stranger = one.container("c", "10.65.1.2", "m", six="fd65::102")
    assert refused(stranger, b.six)
    lab.block(BLOCK6, "h2", {1: "h2", 7: "h1"})
    borrower = one.container("d", "10.65.1.7", "n", six="fd65::207")
    goes(two, "fd65::207", "fd65::207 via fd09::1 dev eth0 proto 80")
    reaches(b, borrower)


def test_a_host_without_an_ipv6_address_says_so_and_speaks_ipv4(lab: Lab) -> None:
    pools(lab)
    one, two = lab.host("h1", "10.9.0.1", six="fd09::1"), lab.host("h2", "10.9.0.2")
    a, b = containers(lab, one, two)
    told(one, "node h2 has no IPv6 address")
    told(two, "this host has no IPv6 address")
    reaches(a, b, b.address)
    assert refused(a, b.six)
    node = lab.client.get(NODE, "h2")
    assert node.spec.bgp is not None
    # Whoever writes it into the Node is heard by a host that was started without.
    inside(two.netns, "ip", "addr", "add", "fd09::2/64", "dev", "eth0", "nodad")
    bgp = NodeBgp(ipv4_address=node.spec.bgp.ipv4_address, ipv6_address="fd09::2/64")
    lab.client.apply(Resource(kind=NODE, metadata=node.metadata, spec=NodeSpec(bgp=bgp)))
    reaches(a, b)
    until(lambda: "IPv6" not in problems(one) + problems(two), message=lambda: problems(one) + problems(two))


def test_two_nodes_with_one_address_are_named(lab: Lab) -> None:
    pools(lab)
    one, _, a, b = pair(lab)
    for name, six in (("copy", "fd09::2/64"), ("mine", "fd09::1/64"), ("near", "fe80::5/64")):
        spec = NodeSpec(bgp=NodeBgp(ipv4_address="10.9.0.77/24", ipv6_address=six))
        lab.client.apply(Resource(kind=NODE, metadata=Metadata(name=name), spec=spec))
    lab.block("fd65::300/122", "mine")
    lab.block("fd65::400/122", "near")
    told(one, "nodes copy and h2 both have the address fd09::2")
    told(one, "node mine has this host's address fd09::1: fd65::300/122 cannot be reached")
    told(one, "node near has no IPv6 address")
    reaches(a, b)


@needs_vxlan
def test_vxlan_carries_ipv6_and_leaves_when_the_pool_does_without(lab: Lab) -> None:
    pools(lab, vxlan_mode="Always")
    one, two, a, b = pair(lab)
    goes(one, BLOCK6, "dev vxlan-v6.calico proto 80")
    reaches(a, b)
    speaks_tcp(a, b)
    # The conversations are tracked, the tunnel is not; a kernel may not show them.
    tracked = inside(one.netns, "cat", "/proc/net/nf_conntrack", check=False)
    assert ("dport=7000" in tracked, "dport=4789" in tracked) in ((True, False), (False, False))
    assert ping(a.netns, b.six, 1430 - HEADERS, PATIENCE)
    assert not ping(a.netns, b.six, 1430 - HEADERS + 1)
    assert refused(one.container("c", "10.65.1.2", "m", six="fd65::102"), b.six)
    assert one.status()["routes"]["mtu"] == 1430
    # The host speaks from its own end of the tunnel, and a rule that names the host means that, too.
    end = lab.client.get(NODE, "h1").spec.ipv6_vxlan_tunnel_addr
    assert f"src {end} " in inside(one.netns, "ip", "-6", "route", "get", b.six)
    assert not ping(one.netns, b.six)
    lab.profile("n", own_tag("n"), Rule(action="Allow", source=EntityRule(nets=("fd09::1/128",))))
    until(lambda: ping(one.netns, b.six), message=two.story)
    pools(lab, vxlan_mode="CrossSubnet")
    goes(one, BLOCK6, "via fd09::2 dev eth0")
    reaches(a, b)
    pools(lab, vxlan_mode="Always")
    goes(one, BLOCK6, "dev vxlan-v6.calico")
    reaches(a, b)
    pools(lab)
    goes(one, BLOCK6, "via fd09::2 dev eth0")
    until(lambda: not mtu(one, "vxlan-v6.calico"), message=one.story)
    reaches(a, b)

    def given_back() -> bool:
        ends = [node.spec.ipv6_vxlan_tunnel_addr for node in lab.client.list(NODE).items]
        return not any(ends) and not lab.client.datastore.list("/calico/ipam/v2/handle/").items

    until(given_back)


@needs_vxlan
def test_a_far_end_with_an_address_of_another_nodes_block_is_a_gateway_all_the_same(lab: Lab) -> None:
    pools(lab, vxlan_mode="CrossSubnet")
    one = lab.host("h1", "10.9.0.1", six="fd09::1")
    for name, four, six, end in (
        ("near", "10.9.0.77/24", "fd09::77/64", None),
        ("far", "10.8.0.77/24", "fd08::77/64", "fd65::309"),
    ):
        spec = NodeSpec(bgp=NodeBgp(ipv4_address=four, ipv6_address=six), ipv6_vxlan_tunnel_addr=end)
        lab.client.apply(Resource(kind=NODE, metadata=Metadata(name=name), spec=spec))
    lab.block("fd65::300/122", "near", {9: "far"})
    lab.block("fd65::400/122", "far")
    goes(one, "fd65::300/122", "via fd09::77 dev eth0")
    goes(one, "fd65::309", "fd65::309 dev vxlan-v6.calico proto 80")
    goes(one, "fd65::400/122", "via fd65::309 dev vxlan-v6.calico")
    assert one.status()["routes"]["failures"] == {}


@needs_vxlan
def test_vxlan_over_ipv6_is_mended(lab: Lab) -> None:
    pools(lab, vxlan_mode="Always")
    one, _, a, b = pair(lab)
    goes(one, BLOCK6, "dev vxlan-v6.calico proto 80")
    reaches(a, b)
    for words in (
        "link del vxlan-v6.calico",
        "link set vxlan-v6.calico down",
        "link set vxlan-v6.calico mtu 1300",
        "-6 addr flush dev vxlan-v6.calico",
        f"-6 route del {BLOCK6}",
    ):
        inside(one.netns, "ip", *words.split())
        reaches(a, b)
        until(lambda: mtu(one, "vxlan-v6.calico") == "1430", message=one.story)
    one.kill()
    assert ping(a.netns, b.six, seconds=PATIENCE)
    index = inside(one.netns, "cat", "/sys/class/net/vxlan-v6.calico/ifindex")
    one.start()
    one.ready()
    reaches(a, b)
    assert inside(one.netns, "cat", "/sys/class/net/vxlan-v6.calico/ifindex") == index
    one.kill(signal.SIGTERM)
    said = sh(*one.uninstall(), "--force")
    assert f"removed route {BLOCK6}" in said
    assert not mtu(one, "vxlan-v6.calico")
    assert "proto 80" not in inside(one.netns, "ip", "-6", "route")


@needs_vxlan
def test_across_subnets_ipv6_goes_by_the_tunnel_and_within_one_straight(lab: Lab) -> None:
    pools(lab, vxlan_mode="CrossSubnet")
    lab.router("10.9.0.254", "10.8.0.254", "fd09::fe", "fd08::fe")
    one, near = lab.host("h1", "10.9.0.1", six="fd09::1"), lab.host("h3", "10.9.0.3", six="fd09::3")
    two = lab.host("h2", "10.8.0.2", six="fd08::2", subnet=1)
    for host, four, six in (
        (one, "10.9.0.254", "fd09::fe"),
        (near, "10.9.0.254", "fd09::fe"),
        (two, "10.8.0.254", "fd08::fe"),
    ):
        inside(host.netns, "ip", "route", "add", "default", "via", four)
        inside(host.netns, "ip", "-6", "route", "add", "default", "via", six)
    a, b = containers(lab, one, two)
    lab.block("10.65.3.0/26", "h3", {1: "h3"})
    lab.block("fd65::300/122", "h3", {1: "h3"})
    c = near.container("c", "10.65.3.1", "n", six="fd65::301")
    goes(one, BLOCK6, "dev vxlan-v6.calico")
    goes(one, "fd65::300/122", "via fd09::3 dev eth0")
    reaches(a, b)
    reaches(a, c)
    assert ping(a.netns, c.six, 1500 - HEADERS, PATIENCE)
    assert not ping(a.netns, b.six, 1430 - HEADERS + 1)


@needs_vxlan
def test_the_room_follows_settings_and_interfaces_while_it_runs(lab: Lab) -> None:
    pools(lab, vxlan_mode="Always")
    one, _, a, b = pair(lab)
    reaches(a, b)
    assert (mtu(one, "vxlan.calico"), mtu(one, "vxlan-v6.calico")) == ("1450", "1430")
    settings(lab, vxlan_mtu=1400, vxlan_mtuv6=1350)
    until(lambda: (mtu(one, "vxlan.calico"), mtu(one, "vxlan-v6.calico")) == ("1400", "1350"), message=one.story)
    until(lambda: one.status()["routes"]["mtu"] == 1350, message=one.story)
    settings(lab, vxlan_mtu=9000, vxlan_mtuv6=1000)
    told(one, "vxlanMTU 9000 is more than fits with 50 bytes around it: it is 1450")
    told(one, "vxlanMTUV6 1000 is less than IPv6's least 1280: it is 1430")
    until(lambda: (mtu(one, "vxlan.calico"), mtu(one, "vxlan-v6.calico")) == ("1450", "1430"), message=one.story)
    inside(one.netns, "ip", "link", "add", "other7", "mtu", "1390", "type", "bridge")
    settings(lab, mtu_iface_pattern="^other")
    told(one, "no interface that is up has such a name")
    inside(one.netns, "ip", "link", "set", "other7", "up")
    until(lambda: (mtu(one, "vxlan.calico"), mtu(one, "vxlan-v6.calico")) == ("1340", "1320"), message=one.story)
    settings(lab, vxlan_port=8472, vxlan_vni=77)
    until(lambda: mtu(one, "vxlan-v6.calico") == "1430", message=one.story)
    for name in ("vxlan.calico", "vxlan-v6.calico"):
        until(partial(is_numbered, one, name, "77", "8472"), message=one.story)
    reaches(a, b)
    settings(lab)
    # 1340 bytes have room for 1280 and a header of 50, not for one of 70.
    inside(one.netns, "ip", "link", "set", "eth0", "mtu", "1340")
    told(one, "vxlan-v6.calico would take 1270 bytes")
    until(lambda: not mtu(one, "vxlan-v6.calico") and mtu(one, "vxlan.calico") == "1290", message=one.story)
    reaches(a, b, b.address)
    inside(one.netns, "ip", "link", "set", "eth0", "mtu", "1500")
    reaches(a, b)
    until(lambda: one.status()["routes"]["mtu"] == 1430, message=one.story)


@needs_vxlan
def test_what_a_stranger_puts_into_the_tunnel_is_dropped_until_it_is_a_node(lab: Lab) -> None:
    pools(lab, vxlan_mode="Always")
    _, two, a, b = pair(lab)
    reaches(a, b)
    stranger, far = (
        lab.plug("x", "10.9.0.66", "fd09::66"),
        inside(two.netns, "cat", "/sys/class/net/vxlan-v6.calico/address"),
    )
    for words in (
        "link add vx type vxlan id 4096 dstport 4789 local fd09::66 remote fd09::2 dev eth0",
        "link set vx mtu 1430 up",
        f"-6 addr add {a.six}/128 dev vx nodad",
        f"-6 route add {b.six}/128 dev vx src {a.six}",
        f"-6 neigh add {b.six} dev vx lladdr {far.strip()} nud permanent",
    ):
        inside(stranger, "ip", *words.split())
    heard = lab.directory / "heard"
    lab.start(b.netns, "socat", "-u", "UDP6-RECV:9000", f"OPEN:{heard},creat,append")

    def says(netns: str, word: str) -> bool:
        inside(netns, "sh", "-c", f"echo {word} | socat -u - UDP6-SENDTO:[{b.six}]:9000")
        return heard.exists() and word in heard.read_text()

    until(lambda: says(a.netns, "friend"))
    for _ in range(3):
        says(stranger, "stranger")
    spec = NodeSpec(bgp=NodeBgp(ipv4_address="10.9.0.66/24", ipv6_address="fd09::66/64"))
    lab.client.apply(Resource(kind=NODE, metadata=Metadata(name="x"), spec=spec))
    # Its twin, by the same way: what was sent before has been lost for good.
    until(lambda: says(stranger, "node"), message=two.story)
    assert "stranger" not in heard.read_text()
