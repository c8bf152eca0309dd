"""Random clusters for questions about policy: resources, and everything there is to ask about."""

from __future__ import annotations

import ipaddress
import random
from typing import Any

from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION, FelixConfigurationSpec
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.kinds.global_network_set import GLOBAL_NETWORK_SET, GlobalNetworkSetSpec
from tortie.model.kinds.host_endpoint import HOST_ENDPOINT, HostEndpointSpec
from tortie.model.kinds.node import NODE, NodeBgp, NodeSpec
from tortie.model.kinds.profile import PROFILE, ProfileSpec
from tortie.model.kinds.tier import TIER, TierSpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, EndpointPort, WorkloadEndpointSpec
from tortie.model.resource import Metadata, Resource
from tortie.model.rule import EntityRule, Icmp, Rule
from tortie.policy.world import Service

NODES = ("h1", "h2")
SELECTORS = ("app == 'a'", "app == 'b'", "has(x)", "app != 'c'", "all()", "t == ''", "set == 's'")
NETS = ("10.0.0.0/29", "10.0.0.0/24", "192.0.2.0/24", "192.0.2.64/26", "198.51.100.7/32", "0.0.0.0/0", "10.0.9.1/32")
PORTS = ((80,), (80, 443), ("8000:8003",), ("http",), (53,), ())
_WORDS = (
    "tcp/79 tcp/80 tcp/443 tcp/8000 tcp/8002 tcp/8004 tcp/8080 tcp/22 tcp/65535 udp/53 udp/54 udp/80 sctp/80 "
    "icmp icmp/0 icmp/3/1 icmp/13 47 200"
)
SERVICES = tuple(map(Service.parse, _WORDS.split(" ")))
OUTSIDE = ("192.0.2.1", "192.0.2.65", "198.51.100.7", "198.51.100.8", "203.0.113.9", "10.0.0.250", "10.0.0.6")


def named(kind: Any, spec: Any, name: str, space: str | None = None, **labels: str) -> Resource[Any]:
    return Resource(kind=kind, metadata=Metadata(name=name, namespace=space, labels=labels), spec=spec)


def workload(name: str, address: str, node: str = "h1", profiles: tuple[str, ...] = ("p0",), **labels: str) -> Any:
    spec = WorkloadEndpointSpec(
        node=node, orchestrator="cni", workload=name, interface_name=f"cali{name}", profiles=profiles,
        ip_networks=(f"{address}/{ipaddress.ip_address(address).max_prefixlen}",),
        ports=(EndpointPort(name="http", protocol="TCP", port=8080),) if name.endswith(("1", "3")) else (),
    )  # fmt: skip
    return named(WORKLOAD_ENDPOINT, spec, f"{node}-cni-{name}-eth0", "ns", **labels)


def side(pick: random.Random) -> EntityRule:
    return EntityRule(
        selector=pick.choice(("", "", *SELECTORS)),
        not_selector=pick.choice(("", "", "", "app == 'c'")),
        nets=pick.choice(((), (), (), (pick.choice(NETS),))),
        not_nets=pick.choice(((), (), (), ("10.0.0.0/30",))),
    )


def rule(pick: random.Random) -> Rule:
    action: Any = pick.choice(("Allow", "Allow", "Deny", "Pass", "Log"))
    kind = pick.randrange(5)
    source, destination = side(pick), side(pick)
    if kind == 0:
        return Rule(action=action, source=source, destination=destination)
    if kind == 1:
        match = Icmp(type=pick.choice((8, 3)), code=pick.choice((None, 1)))
        return Rule(action=action, protocol="ICMP", icmp=match, source=source)
    if kind == 2:
        return Rule(action=action, not_protocol=pick.choice(("UDP", 47)), source=source)
    ports = pick.choice(PORTS)
    to = EntityRule(selector=destination.selector, ports=ports)
    return Rule(action=action, protocol=pick.choice(("TCP", "TCP", "UDP")), source=source, destination=to)


def rules(pick: random.Random) -> tuple[Rule, ...]:
    return tuple(rule(pick) for _ in range(pick.randrange(4)))


def policy(pick: random.Random, number: int) -> Resource[Any]:
    types: Any = pick.choice((("Ingress",), ("Egress",), ("Ingress", "Egress")))
    spec = GlobalNetworkPolicySpec(
        selector=pick.choice(SELECTORS), types=types, ingress=rules(pick), egress=rules(pick),
        order=pick.choice((None, 1, 2)), tier=pick.choice(("default", "one")),
    )  # fmt: skip
    return named(GLOBAL_NETWORK_POLICY, spec, f"gnp{number}")


def host_policy(pick: random.Random) -> Resource[Any]:
    spec = GlobalNetworkPolicySpec(
        selector="host == ''", types=("Ingress", "Egress"),
        ingress=(*rules(pick), Rule(action="Allow", protocol="TCP")), egress=rules(pick),
        apply_on_forward=pick.random() < 0.5,
    )  # fmt: skip
    return named(GLOBAL_NETWORK_POLICY, spec, "hosts")


def resources(pick: random.Random) -> dict[str, Resource[Any]]:
    """A cluster by keys."""
    found = [
        workload(
            f"w{n}", f"10.0.0.{n}", pick.choice(NODES), pick.choice((("p0",), ("p1",), ("p0", "p1"), ())),
            app=pick.choice("abc"), **({"x": ""} if pick.random() < 0.5 else {}),
        )
        for n in range(1, 7)
    ]  # fmt: skip
    found += [policy(pick, n) for n in range(pick.randrange(4))]
    found += [
        named(PROFILE, ProfileSpec(ingress=rules(pick), egress=(Rule(action="Allow"),), labels_to_apply=labels), name)
        for name, labels in (("p0", {"t": ""}), ("p1", {}))
    ]
    found.append(named(GLOBAL_NETWORK_SET, GlobalNetworkSetSpec(nets=("192.0.2.0/25",)), "s", set="s"))
    found.append(named(TIER, TierSpec(order=1, default_action=pick.choice(("Deny", "Pass"))), "one"))
    found += [named(NODE, NodeSpec(bgp=NodeBgp(ipv4_address=f"10.0.9.{n}/24")), f"h{n}") for n in (1, 2)]
    if pick.random() < 0.4:
        spec = HostEndpointSpec(node="h1", interface_name=pick.choice(("*", "eth0")), expected_ips=("10.0.9.1",))
        found += [named(HOST_ENDPOINT, spec, "h1-all", host=""), host_policy(pick)]
        services: Any = pick.choice(("Enabled", "Disabled"))
        found.append(named(FELIX_CONFIGURATION, FelixConfigurationSpec(host_services=services), "default"))
    return {resource.key: resource for resource in found}


def changed(pick: random.Random, before: dict[str, Resource[Any]]) -> dict[str, Resource[Any]]:
    """The cluster after a few things were added, replaced or removed."""
    after, other = dict(before), resources(pick)
    for _ in range(pick.randrange(1, 4)):
        key = pick.choice(sorted(other))
        if key in after and pick.random() < 0.3:
            del after[key]
        else:
            after[key] = other[key]
    return after
