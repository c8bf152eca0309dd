"""IPv6 of nodes and of tunnels, as the brain reads it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tortie.dataplane.ends import Peer
from tortie.dataplane.tunnels import Link, TunnelSettings
from tortie.model.kinds.felix_configuration import FelixConfigurationSpec
from tortie.model.kinds.ip_pool import IPPoolSpec
from tortie.model.kinds.node import NodeBgp, NodeSpec
from tortie.node import records
from tortie.node.brain import Brain
from tortie.store.port import Event

NODES = "/calico/resources/v3/projectcalico.org/nodes/"


def node(name: str, **bgp: str) -> Event:
    value = {"metadata": {"name": name}, "spec": {"bgp": bgp}}
    return Event(NODES + name, json.dumps(value).encode(), 1)


def felix(**spec: Any) -> Event:
    key = "/calico/resources/v3/projectcalico.org/felixconfigurations/default"
    return Event(key, json.dumps({"metadata": {"name": "default"}, "spec": spec}).encode(), 1)


def test_a_node_is_read_with_both_families() -> None:
    spec = NodeSpec(
        bgp=NodeBgp(ipv4_address="10.9.0.2/24", ipv6_address="FD09::2/64"),
        ipv6_vxlan_tunnel_addr="fd65::209",
        vxlan_tunnel_mac_addr="not a MAC",
        vxlan_tunnel_mac_addr_v6="66:AA:00:00:00:02",
    )
    # The kernel writes a MAC in small letters; one that is none is as if there were none.
    assert records.peer(spec) == Peer("10.9.0.2", address6="fd09::2", vxlan6="fd65::209", mac6="66:aa:00:00:00:02")
    assert "fd65::209" in records.addresses(spec)
    # Both sides of a session compare the addresses: they are spelt in one way.
    assert records.subnet6(spec) == "fd09::2/64"


@pytest.mark.parametrize("text", ["fe80::2/64", "nothing", "10.9.0.2/24", "fd09::2%eth0/64", "ff02::1/64"])
def test_an_address_that_nobody_can_reach_counts_as_absent(text: str) -> None:
    spec = NodeSpec(bgp=NodeBgp(ipv4_address="10.9.0.2/24", ipv6_address=text), ipv6_vxlan_tunnel_addr=text)
    assert records.peer(spec) == Peer("10.9.0.2")
    assert records.subnet6(spec) == ""


def test_pools_of_ipv6_travel_straight_or_by_vxlan() -> None:
    specs = [
        IPPoolSpec(cidr="fd65::/64", vxlan_mode="CrossSubnet"),
        IPPoolSpec(cidr="fd66::/64", ipip_mode="Always"),
        IPPoolSpec(cidr="10.65.0.0/16", ipip_mode="Always"),
    ]
    found = [(str(way.cidr), way.encapsulation) for way in records.pool_ways(specs)]
    assert found == [("fd65::/64", "vxlan"), ("fd66::/64", ""), ("10.65.0.0/16", "ipip")]


def test_settings_of_tunnels_are_the_nodes_own_before_the_clusters() -> None:
    default = FelixConfigurationSpec(vxlan_mtu=1400, vxlan_mtuv6=1300, mtu_iface_pattern="^eth", vxlan_vni=7)
    own = FelixConfigurationSpec(vxlan_mtu=1350, ipip_mtu=1390, vxlan_port=8472)
    sizes = {"vxlan": 1350, "vxlan-v6": 1300, "ipip": 1390}
    assert records.tunnel_settings(default, own) == TunnelSettings(sizes, "^eth", 7, 8472)  # type: ignore[arg-type]
    assert not any(records.tunnel_settings(None, None).sizes.values())


@pytest.mark.parametrize("value", [-1, 2**24, 10**30])
def test_numbers_of_vxlan_that_cannot_be_are_told_and_the_usual_ones_taken(value: int) -> None:
    wrong = FelixConfigurationSpec(vxlan_vni=value, vxlan_port=value)
    found, merged = records.tunnel_settings(wrong, None), records.merge_settings(wrong, None)
    assert (found.vni, found.port, merged.vxlan_port) == (4096, 4789, 4789)
    assert "vxlanVNI" in found.problems[0]
    assert "vxlanPort" in merged.problems[0]


def test_a_host_without_a_word_has_the_address_of_its_node() -> None:
    brain = Brain("h1", "10.9.0.1/24")
    brain.replace(
        [node("h1", ipv4Address="10.9.0.1/24", ipv6Address="fd09::1/64"), node("h2", ipv6Address="fd09::2/64")]
    )
    assert brain.ways.address6 == "fd09::1/64"
    brain.learn(node("h1", ipv4Address="10.9.0.1/24"))
    assert brain.ways.address6 == ""
    for word, expected in (("", ""), ("fd09::7/64", "fd09::7/64")):
        told = Brain("h1", "10.9.0.1/24", "direct", word)
        told.replace([node("h1", ipv6Address="fd09::1/64")])
        assert told.ways.address6 == expected


def test_a_change_of_settings_reaches_the_tunnels_and_what_workloads_are_told() -> None:
    brain = Brain("h1", "10.9.0.1/24")
    brain.ways.set_links({"eth0": Link(["10.9.0.1"])})
    pool = {"metadata": {"name": "p"}, "spec": {"cidr": "10.65.0.0/16", "vxlanMode": "Always"}}
    key = "/calico/resources/v3/projectcalico.org/ippools/p"
    brain.replace([node("h1", ipv4Address="10.9.0.1/24"), Event(key, json.dumps(pool).encode(), 1)])
    sizes = []
    for spec in ({}, {"vxlanMTU": 1400}, {"vxlanMTU": 0}):
        brain.learn(felix(**spec))
        sizes.append(brain.ways.mtu)
    assert sizes == [1450, 1400, 1450]
    brain.learn(Event(key, None, 2))
    assert brain.ways.mtu == 1500
