"""Whom a host can ask on other hosts: nodes with their addresses, and containers that a way should lead to."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from tortie.dataplane.ends import Peer
from tortie.dataplane.routes import Backend, PoolWay, Ways
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.model.resource import Metadata, Resource
from tortie.node.neighbours import MOST, Neighbours


def workload(node: str, *networks: str) -> Resource[WorkloadEndpointSpec]:
    spec = WorkloadEndpointSpec(node=node, ip_networks=networks)
    return Resource(kind=WORKLOAD_ENDPOINT, metadata=Metadata(name="x", namespace="default"), spec=spec)


def ways(backend: Backend = "direct") -> Ways:
    made = Ways("one", "10.0.0.1/24", backend)
    made.set_peer("one", Peer(address="10.0.0.1"))
    made.set_peer("two", Peer(address="10.0.0.2", vxlan="192.168.9.1"))
    return made


def test_containers_stand_at_the_node_that_has_them_now() -> None:
    found = Neighbours()
    found.set_workload("a", workload("one", "192.168.0.1/32"))
    found.set_workload("b", workload("two", "192.168.9.2/32", "fd00::2/128"))
    two = {"addresses": ["10.0.0.2", "192.168.9.1"], "workloads": ["192.168.9.2"]}
    assert found.told(ways()) == {"own": ["192.168.0.1"], "peers": {"two": two}}
    found.set_workload("b", workload("one", "192.168.9.2/32"))
    assert found.told(ways())["own"] == ["192.168.0.1", "192.168.9.2"]
    found.set_workload("a", None)
    found.set_workload("a", None)
    found.set_workload("b", workload("three", "192.168.9.2/32"))
    assert found.told(ways()) == {"own": [], "peers": {"two": {**two, "workloads": []}}}


def test_of_many_containers_a_few_are_named() -> None:
    found = Neighbours()
    for number in range(3 * MOST):
        found.set_workload(str(number), workload("two", f"192.168.9.{number}/32"))
    assert len(found.told(ways())["peers"]["two"]["workloads"]) == MOST


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
    found, there = Neighbours(), ways(backend)
    there.set_pools([PoolWay(ip_network("192.168.0.0/16"), "vxlan" if encapsulated else "", "Always")])
    found.set_workload("b", workload("two", "192.168.9.2/32"))
    assert found.told(there)["peers"]["two"]["workloads"] == (["192.168.9.2"] if led else [])
