"""IPv6 of workloads and host endpoints with a real agent: routes, neighbours, status."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kernel.netlab import Container, Lab, inside, own_tag, until

from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.kinds.host_endpoint import HOST_ENDPOINT, HostEndpointSpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.model.resource import Metadata, Resource
from tortie.model.rule import Rule

pytestmark = pytest.mark.root


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def pings(source: Container, address: str) -> bool:
    return "1 received" in inside(source.netns, "ping", "-6", "-c1", "-W1", address, check=False)


def test_workloads_speak_ipv6_as_policy_says(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    lab.profile("n", own_tag("n"))
    lab.profile("m", own_tag("m"))
    a = host.container("a", "10.65.0.1", "n", six="fd65::1")
    host.container("b", "10.65.0.2", "n", six="fd65::2")
    c = host.container("c", "10.65.0.3", "m", six="fd65::3")
    until(lambda: pings(a, "fd65::2"))
    assert not pings(c, "fd65::2")
    assert "fd65::1 dev calia proto 80" in inside(host.netns, "ip", "-6", "route")
    inside(host.netns, "ip", "-6", "route", "del", "fd65::2")
    until(lambda: pings(a, "fd65::2"), message="the route is back")
    inside(a.netns, "ip", "addr", "add", "fd65::99/128", "dev", "lo")
    forged = inside(a.netns, "ping", "-6", "-c1", "-W1", "-I", "fd65::99", "fd65::2", check=False)
    assert "1 received" not in forged
    lab.client.delete(WORKLOAD_ENDPOINT, a.key.rpartition("/")[2], "libnetwork")
    until(lambda: "fd65::1 " not in inside(host.netns, "ip", "-6", "route"))


def resource(kind: Any, name: str, spec: Any) -> Resource[Any]:
    return Resource(kind=kind, metadata=Metadata(name=name, labels={"role": "host"}), spec=spec)


def test_a_host_endpoint_follows_its_address_and_its_status_says_where_it_is(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    other = lab.plug("o", "10.9.0.9")
    spec = HostEndpointSpec(node="h1", expected_ips=("10.9.0.77",))
    lab.client.apply(resource(HOST_ENDPOINT, "hep", spec))

    def state() -> tuple[str, list[str]]:
        found: dict[str, Any] = next(iter(host.status()["hostEndpoints"].values()))
        return found.get("state", ""), found.get("interfaces", [])

    until(lambda: host.status().get("hostEndpoints") and state() == ("down", []), message=host.story)
    assert reaches(other)
    inside(host.netns, "ip", "addr", "add", "10.9.0.77/24", "dev", "eth0")
    until(lambda: state() == ("up", ["eth0"]))
    until(lambda: not reaches(other))
    policy = GlobalNetworkPolicySpec(
        selector="role == 'host'", types=("Ingress",), ingress=(Rule(action="Allow", protocol="ICMP"),)
    )
    lab.client.apply(resource(GLOBAL_NETWORK_POLICY, "ping", policy))
    until(lambda: reaches(other))
    inside(host.netns, "ip", "addr", "del", "10.9.0.77/24", "dev", "eth0")
    until(lambda: state() == ("down", []))
    lab.client.apply(resource(HOST_ENDPOINT, "hep", HostEndpointSpec(node="h1", interface_name="calix")))
    until(lambda: state()[0] == "closed")
    (found,) = host.status()["hostEndpoints"].values()
    assert found["reasons"] == ["interface calix is a workload's by its name"]
    assert reaches(other)


def reaches(netns: str) -> bool:
    return "1 received" in inside(netns, "ping", "-c1", "-W1", "10.9.0.1", check=False)
