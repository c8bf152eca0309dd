"""IPv6 between hosts: the ways, the tunnels, and how large a packet may be."""

from __future__ import annotations

import json
from ipaddress import ip_network

import pytest

from tortie.base.errors import Invalid
from tortie.dataplane.ends import Peer
from tortie.dataplane.routes import NO_SIX, PoolWay, Ways
from tortie.dataplane.tunnels import (
    VXLAN6,
    Device,
    Link,
    Neighbour,
    TunnelSettings,
    parse_pattern,
    parse_six,
    tunnel_mac,
)
from tortie.dataplane.want import Route
from tortie.model.ipam import affinity_key, block_key

SIX, FOUR = ip_network("fd65::/64"), ip_network("10.65.0.0/16")
STRAIGHT, ALWAYS, CROSS = PoolWay(SIX), PoolWay(SIX, "vxlan", "Always"), PoolWay(SIX, "vxlan", "CrossSubnet")
PEERS = {
    "h1": Peer("10.9.0.1", address6="fd09::1", vxlan6="fd65::109"),
    "h2": Peer("10.9.0.2", address6="fd09::2", vxlan6="fd65::209"),
    "far": Peer("10.8.0.1", address6="fd08::1", vxlan6="fd65::309"),
    "four": Peer("10.9.0.4"),
}
BLOCK, OWN, FAR = "fd65::200/122", "fd65::100/122", "fd65::300/122"


def ways(*pools: PoolWay, mtu: int = 1500, address6: str = "fd09::1/64") -> Ways:
    made = Ways("h1", "10.9.0.1/24", address6=address6)
    made.set_links({"eth0": Link(["10.9.0.1", "fd09::1", "fe80::1"], mtu), "calia": Link(["fe80::ee"])})
    made.set_pools(pools or [STRAIGHT])
    for name, peer in PEERS.items():
        made.set_peer(name, peer)
    for cidr, node in ((OWN, "h1"), (BLOCK, "h2"), (FAR, "far")):
        hold(made, cidr, node)
    return made


def hold(made: Ways, cidr: str, node: str, lent: dict[int, str] | None = None) -> None:
    """The node has the block; `lent`: ordinals of it in use by other nodes."""
    network, lent = ip_network(cidr), lent or {}
    allocations: list[int | None] = [None] * network.num_addresses
    for index, ordinal in enumerate(lent):
        allocations[ordinal] = index
    block = {
        "cidr": cidr,
        "affinity": f"host:{node}",
        "allocations": allocations,
        "unallocated": [n for n in range(network.num_addresses) if n not in lent],
        "attributes": [{"handle_id": f"h{i}", "secondary": {"node": by}} for i, by in enumerate(lent.values())],
    }
    made.learn(affinity_key(node, network), json.dumps({"state": "confirmed"}).encode())
    made.learn(block_key(network), json.dumps(block).encode())


def test_blocks_go_by_the_addresses_of_their_family() -> None:
    made = ways(CROSS)
    hold(made, BLOCK, "h2", {5: "far", 6: "h1"})
    assert made.route(OWN) == Route("blackhole")
    assert made.route(BLOCK) == Route("unicast", "eth0", "fd09::2")
    assert made.route(FAR) == Route("onlink", VXLAN6, "fd65::309")
    assert made.route("fd65::205/128") == Route("onlink", VXLAN6, "fd65::309")
    # Borrowed by this host: the workload's own way leads to it.
    assert made.route("fd65::206/128") is None
    assert made.problems == []


def test_an_own_block_of_one_address_is_no_blackhole() -> None:
    made = ways()
    hold(made, "fd65::999/128", "h1")
    assert made.route("fd65::999/128") is None


def test_a_change_of_a_block_names_the_addresses_that_it_is_about() -> None:
    made = ways()
    made.take_stale()
    hold(made, BLOCK, "h2", {7: "h1"})
    assert made.take_stale() == {"fd65::207/128"}
    made.set_address6("")
    assert {OWN, BLOCK, "fd65::207/128"} <= made.take_stale()


def test_vxlan_of_ipv6_has_its_own_interface_mac_and_far_ends() -> None:
    made = ways(ALWAYS)
    mac = tunnel_mac("h1", 6)
    assert made.devices == {VXLAN6: Device(VXLAN6, "vxlan", "fd65::109", "fd09::1", "eth0", 1430, mac)}
    assert made.devices[VXLAN6].version == 6
    assert made.neighbours["vxlan"].want == {}
    assert made.tunnel_ends()["fd09::2"] == frozenset({"fd65::209"})
    assert made.neighbours["vxlan-v6"].want == {
        "fd65::209": Neighbour(tunnel_mac("h2", 6), "fd09::2"),
        "fd65::309": Neighbour(tunnel_mac("far", 6), "fd08::1"),
    }
    assert tunnel_mac("h1", 6) != tunnel_mac("h1")
    made.set_peer("h2", Peer("10.9.0.2", address6="fd09::2", vxlan6="fd65::209", mac6="66:00:00:00:00:02"))
    assert made.neighbours["vxlan-v6"].want["fd65::209"].mac == "66:00:00:00:00:02"
    # Whatever way the block of its address goes, a far end lies on the interface.
    assert made.route("fd65::209/128") == Route("link", VXLAN6)
    made.take_stale()
    made.set_pools([STRAIGHT])
    assert {"fd65::209/128", "fd65::309/128"} <= made.take_stale()
    assert made.route("fd65::209/128") is None
    assert (made.devices, made.neighbours["vxlan-v6"].want, made.tunnels()) == ({}, {}, frozenset())
    assert made.ends_missing()


def test_both_families_have_their_tunnels_at_once_and_the_smaller_one_is_the_room_of_workloads() -> None:
    made = ways(ALWAYS, PoolWay(FOUR, "vxlan", "Always"))
    assert made.tunnels() == {"vxlan", "vxlan-v6"}
    assert made.ends_missing()
    made.set_peer("h1", Peer("10.9.0.1", vxlan="10.65.1.9", address6="fd09::1", vxlan6="fd65::109"))
    assert not made.ends_missing()
    assert {name: device.mtu for name, device in made.devices.items()} == {"vxlan.calico": 1450, VXLAN6: 1430}
    assert made.mtu == 1430
    made.set_pools([PoolWay(FOUR, "ipip", "Always")])
    assert made.mtu == 1480


@pytest.mark.parametrize("pool", [STRAIGHT, ALWAYS])
def test_without_an_ipv6_address_it_is_told_and_ipv4_goes_on(pool: PoolWay) -> None:
    made = ways(pool, PoolWay(FOUR), address6="")
    hold(made, "10.65.2.0/26", "h2")
    assert made.route(BLOCK) is None
    assert made.route("10.65.2.0/26") == Route("unicast", "eth0", "10.9.0.2")
    assert made.problems == [NO_SIX]
    # Its Node's old end of the tunnel is to be given back.
    assert (made.tunnels(), made.ends_missing()) == (frozenset(), True)
    made.set_address6("fd09::1/64")
    assert made.route(BLOCK) is not None
    assert NO_SIX not in made.problems


def test_nodes_that_cannot_be_reached_by_ipv6_are_named() -> None:
    made = ways(PoolWay(SIX))
    hold(made, "fd65::400/122", "four")
    made.set_peer("twin", Peer("10.9.0.5", address6="fd09::2"))
    made.set_peer("thief", Peer("10.9.0.6", address6="fd09::1"))
    hold(made, "fd65::500/122", "thief")
    routes = [made.route(cidr) for cidr in ("fd65::400/122", "fd65::500/122", FAR, BLOCK)]
    assert routes == [None, None, None, Route("unicast", "eth0", "fd09::2")]
    assert made.problems == [
        "nodes h1 and thief both have the address fd09::1",
        "nodes h2 and twin both have the address fd09::2",
        "node four has no IPv6 address: fd65::400/122 cannot be reached",
        "node thief has this host's address fd09::1: fd65::500/122 cannot be reached",
        "node far at fd08::1 is not on fd09::/64: direct routing cannot reach fd65::300/122",
    ]


def test_a_tunnel_that_would_be_too_small_for_ipv6_is_none() -> None:
    made = ways(ALWAYS, PoolWay(FOUR), mtu=1349)
    assert (made.devices, made.tunnels(), made.route(BLOCK)) == ({}, frozenset(), None)
    assert made.problems == [
        "vxlan-v6.calico would take 1279 bytes of the 1349 that this host's interface takes: IPv6 needs 1280"
    ]
    assert made.mtu == 1349
    made.set_links({"eth0": Link(["10.9.0.1", "fd09::1"], 1350)})
    assert made.devices[VXLAN6].mtu == 1280
    assert made.route(BLOCK) == Route("onlink", VXLAN6, "fd65::209")
    assert made.problems == []


def test_interfaces_of_workloads_that_take_too_little_for_ipv6_are_told() -> None:
    made = ways(STRAIGHT, PoolWay(FOUR, "vxlan", "Always"))
    made.set_tunnel_settings(TunnelSettings({"vxlan": 1200}))
    assert made.mtu == 1200
    assert made.problems == ["interfaces of workloads take 1200 bytes: IPv6 needs 1280"]
    made.set_pools([PoolWay(FOUR, "vxlan", "Always")])
    assert made.problems == []


@pytest.mark.parametrize(
    ("asked", "size", "said"),
    [
        (0, 1430, ""),
        (1280, 1280, ""),
        (1430, 1430, ""),
        (1431, 1430, "vxlanMTUV6 1431 is more than fits"),
        (1279, 1430, "vxlanMTUV6 1279 is less than IPv6's least 1280"),
    ],
)
def test_the_size_that_settings_ask_for_is_taken_where_it_can_be(asked: int, size: int, said: str) -> None:
    made = ways(ALWAYS)
    made.set_tunnel_settings(TunnelSettings({"vxlan-v6": asked}, vni=7, port=8472))
    device = made.devices[VXLAN6]
    assert (device.mtu, device.vni, device.port) == (size, 7, 8472)
    assert said in "".join(made.problems)
    assert bool(made.problems) == bool(said)


def test_a_pattern_says_which_interfaces_count() -> None:
    made = ways(ALWAYS)
    links = {
        "eth0": Link(["10.9.0.1", "fd09::1"], 9000),
        "ens5": Link([], 4000),
        "ens6": Link([], 2000, up=False),
    }
    made.set_links(links)
    assert made.mtu == 8930
    made.set_tunnel_settings(TunnelSettings(pattern="^ens"))
    assert made.mtu == 3930
    assert [made.measures(name) for name in ("eth0", "ens9", "calia")] == [True, True, False]
    made.set_links({**links, "ens6": Link([], 2000)})
    assert made.mtu == 1930
    for pattern, said in (("^wl", "no interface that is up has such a name"), ("(", "mtuIfacePattern '('")):
        made.set_tunnel_settings(TunnelSettings(pattern=pattern))
        assert made.mtu == 8930
        assert said in made.problems[0]
        assert not made.measures("wlan0") or pattern == "^wl"
    with pytest.raises(Invalid):
        parse_pattern("[")


def test_the_interface_with_the_address_may_differ_by_family() -> None:
    made = ways()
    made.set_links({"eth0": Link(["10.9.0.1"], 9000), "eth1": Link(["fd09::1"], 1500)})
    assert made.route(BLOCK) == Route("unicast", "eth1", "fd09::2")
    assert (made.mtu, made.uplinks) == (1500, ["eth0", "eth1"])
    made.set_links({"eth0": Link(["10.9.0.1"], 9000)})
    assert made.route(BLOCK) is None
    assert made.problems == ["no interface has this host's address fd09::1/64"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fe80::1/64", "one link"),
        ("fd00::1%eth0/64", "one link"),
        ("ff02::1", "not an address of one host"),
        ("::1", "not an address of one host"),
        ("::/0", "not an address of one host"),
        ("::ffff:10.0.0.1", "not an address of one host"),
        ("10.0.0.1/24", "not an IPv6 address"),
        ("fd00::1/129", "not an IPv6 address"),
        ("", "not an IPv6 address"),
    ],
)
def test_what_is_no_address_for_other_hosts(text: str, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        parse_six(text)


def test_an_address_has_one_spelling() -> None:
    assert str(parse_six("FD00:0:0::1/64")) == "fd00::1/64"
