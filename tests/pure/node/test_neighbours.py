"""Whom a host can ask on other hosts: nodes with their addresses, containers that a way should lead to, or the way to
the host itself."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from tortie.dataplane.ends import Peer
from tortie.dataplane.routes import Backend, PoolWay, Ways
from tortie.dataplane.tunnels import Encapsulation, Link, tunnel_mac
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.model.resource import Metadata, Resource
from tortie.node.neighbours import MOST, Neighbours

POOL, POOL6 = ip_network("192.168.0.0/16"), ip_network("fd65::/64")
ONE = Peer("10.0.0.1", vxlan="192.168.7.1", address6="fd09::1", vxlan6="fd65::101")
TWO = Peer("10.0.0.2", vxlan="192.168.9.1", address6="fd09::2", vxlan6="fd65::201")


def workload(node: str, *networks: str) -> Resource[WorkloadEndpointSpec]:
    spec = WorkloadEndpointSpec(node=node, ip_networks=networks)
    return Resource(kind=WORKLOAD_ENDPOINT, metadata=Metadata(name="x", namespace="default"), spec=spec)


def ways(backend: Backend = "direct", *pools: PoolWay, address6: str = "", two: Peer = TWO) -> Ways:
    made = Ways("one", "10.0.0.1/24", backend, address6)
    made.set_links({"eth0": Link(["10.0.0.1", "fd09::1"])})
    made.set_pools(pools)
    made.set_peer("one", ONE)
    made.set_peer("two", two)
    return made


def two_of(found: dict[str, Any]) -> dict[str, Any]:
    assert list(found["peers"]) == ["two"]
    peer: dict[str, Any] = found["peers"]["two"]
    return peer


def test_containers_stand_at_the_node_that_has_them_now() -> None:
    found, there = Neighbours(), ways()
    found.set_workload("a", workload("one", "192.168.0.1/32"))
    found.set_workload("b", workload("two", "192.168.9.2/32", "fd65::2/128"))
    addresses = ["10.0.0.2", "192.168.9.1", "fd09::2", "fd65::201"]
    two = {"addresses": addresses, "workloads": ["192.168.9.2"], "beside": None}
    assert found.told(there) == {"host": ["10.0.0.1"], "own": ["192.168.0.1"], "peers": {"two": two}}
    found.set_workload("b", workload("one", "192.168.9.2/32"))
    assert found.told(there)["own"] == ["192.168.0.1", "192.168.9.2"]
    found.set_workload("a", None)
    found.set_workload("a", None)
    found.set_workload("b", workload("three", "192.168.9.2/32"))
    assert found.told(there) == {"host": ["10.0.0.1"], "own": [], "peers": {"two": {**two, "workloads": []}}}


def test_containers_of_ipv6_are_named_where_both_hosts_have_an_address_of_it() -> None:
    found = Neighbours()
    found.set_workload("a", workload("one", "192.168.0.1/32", "fd65::1/128"))
    found.set_workload("b", workload("two", "192.168.9.2/32", "fd65::2/128"))
    told = found.told(ways(address6="fd09::1/64"))
    assert told["host"] == ["10.0.0.1", "fd09::1"]
    assert told["own"] == ["192.168.0.1", "fd65::1"]
    assert two_of(told)["workloads"] == ["192.168.9.2", "fd65::2"]
    lacking = found.told(ways(address6="fd09::1/64", two=replace(TWO, address6="", vxlan6="")))
    assert two_of(lacking)["workloads"] == ["192.168.9.2"]


def test_of_many_containers_a_few_are_named() -> None:
    found = Neighbours()
    for number in range(3 * MOST):
        found.set_workload(str(number), workload("two", f"192.168.9.{number}/32"))
    assert len(two_of(found.told(ways()))["workloads"]) == MOST


@pytest.mark.parametrize(
    ("backend", "encapsulated", "led"),
    [
        ("direct", False, True),
        ("bird", False, True),
        ("vxlan", False, False),
        ("vxlan", True, True),
        ("none", True, False),
    ],
)
def test_no_way_is_expected_where_nobody_makes_one(backend: Backend, encapsulated: bool, led: bool) -> None:
    pool = PoolWay(POOL, "vxlan" if encapsulated else "", "Always")
    found, there = Neighbours(), ways(backend, pool)
    found.set_workload("b", workload("two", "192.168.9.2/32"))
    assert two_of(found.told(there))["workloads"] == (["192.168.9.2"] if led else [])
    found.set_workload("b", None)
    found.set_workload("a", workload("one", "192.168.0.1/32"))
    assert bool(two_of(found.told(there))["beside"]) == led


@pytest.mark.parametrize("backend", ["direct", "bird"])
def test_a_host_without_containers_is_the_next_hop_of_its_own_subnet(backend: Backend) -> None:
    found, pools = Neighbours(), (PoolWay(POOL), PoolWay(POOL6))
    found.set_workload("a", workload("one", "192.168.0.1/32", "fd65::1/128"))
    four = {"own": "192.168.0.1", "device": "eth0", "mac": "", "gateway": "10.0.0.2"}
    assert two_of(found.told(ways(backend, *pools, address6="fd09::1/64")))["beside"] == four
    assert two_of(found.told(ways(backend, *pools, two=Peer("10.7.0.2"))))["beside"] is None
    assert two_of(found.told(ways(backend, *pools, two=Peer())))["beside"] is None
    found.set_workload("b", workload("two", "192.168.9.2/32"))
    assert two_of(found.told(ways(backend, *pools)))["beside"] is None


def test_where_nobody_has_an_address_of_the_network_there_is_nothing_to_ask_for() -> None:
    told = Neighbours().told(ways("direct", PoolWay(POOL)))
    assert (told["own"], two_of(told)["beside"]) == ([], None)


def test_behind_a_tunnel_a_host_without_containers_is_asked_for_the_tunnel_s_own_end() -> None:
    pools = PoolWay(POOL, "vxlan", "Always"), PoolWay(POOL6, "vxlan", "Always")
    told = Neighbours().told(ways("direct", *pools, address6="fd09::1/64"))
    assert told["own"] == ["192.168.7.1", "fd65::101"]
    far = {"own": "192.168.7.1", "device": "vxlan.calico", "mac": tunnel_mac("two"), "gateway": "192.168.9.1"}
    assert two_of(told)["beside"] == far


@pytest.mark.parametrize(("encapsulation", "two"), [("ipip", TWO), ("vxlan", Peer("10.0.0.2"))])
def test_a_tunnel_that_nothing_can_be_put_into_by_hand_is_not_asked(encapsulation: Encapsulation, two: Peer) -> None:
    found, there = Neighbours(), ways("direct", PoolWay(POOL, encapsulation, "Always"), two=two)
    there.set_peer("one", Peer("10.0.0.1", vxlan="192.168.7.1", ipip="192.168.7.2"))
    found.set_workload("a", workload("one", "192.168.0.1/32"))
    assert two_of(found.told(there))["beside"] is None
