"""Small worlds for tests: three endpoints (a and b in namespace ns, c in other), written in the v3 form's own words."""

from __future__ import annotations

import json
from typing import Any

from tortie.model.kinds import KINDS
from tortie.model.resource import Resource, decode
from tortie.policy import Packet, World
from tortie.policy.values import ResolvedHost

ALLOW: dict[str, Any] = {"action": "Allow"}
DENY: dict[str, Any] = {"action": "Deny"}
PASS: dict[str, Any] = {"action": "Pass"}


def made(
    kind: str, name: str, spec: dict[str, Any], space: str | None = None, labels: dict[str, str] | None = None
) -> Resource[Any]:
    metadata = {"name": name, "namespace": space, "labels": labels or {}}
    return decode(KINDS[kind], json.dumps({"metadata": metadata, "spec": spec}).encode())


def endpoint(name: str, *addresses: str, space: str = "ns", **more: Any) -> Resource[Any]:
    """On host h1, labels `app` (its name) and those given; profile `open` unless others are."""
    labels = {"app": name, **more.pop("labels", {})}
    spec = {"node": "h1", "orchestrator": "cni", "workload": name, "interfaceName": f"cali{name}", "profiles": ["open"],
            "ipNetworks": [f"{text}/{128 if ':' in text else 32}" for text in addresses], **more}  # fmt: skip
    return made("WorkloadEndpoint", name, spec, space, labels)


def gnp(name: str, *rules: dict[str, Any], way: str = "Ingress", **spec: Any) -> Resource[Any]:
    """A global policy for what comes into b, or leaves it."""
    return made("GlobalNetworkPolicy", name, {"selector": "app == 'b'", "types": [way], way.lower(): rules, **spec})


def np(name: str, *rules: dict[str, Any], space: str = "ns", **spec: Any) -> Resource[Any]:
    """The same inside one namespace."""
    return made(
        "NetworkPolicy", name, {"selector": "app == 'b'", "types": ["Ingress"], "ingress": rules, **spec}, space
    )


def sgnp(name: str, *rules: dict[str, Any], **spec: Any) -> Resource[Any]:
    """The same, staged."""
    return made(
        "StagedGlobalNetworkPolicy", name, {"selector": "app == 'b'", "types": ["Ingress"], "ingress": rules, **spec}
    )


def tier(name: str, order: float | None = None, action: str | None = None) -> Resource[Any]:
    return made("Tier", name, {"order": order, "defaultAction": action})


def profile(name: str, *rules: dict[str, Any], **spec: Any) -> Resource[Any]:
    """Rules for ingress; everything may leave."""
    return made("Profile", name, {"ingress": rules, "egress": [ALLOW], **spec})


def source(action: str = "Allow", **entity: Any) -> dict[str, Any]:
    return {"action": action, "source": entity}


def target(protocol: str | None = None, action: str = "Allow", **entity: Any) -> dict[str, Any]:
    return {"action": action, "protocol": protocol, "destination": entity}


def small(*resources: Resource[Any]) -> World:
    """The three, and profile `open`; a resource of the same name takes the place of one of them."""
    return World(
        [
            endpoint("a", "10.0.0.1", "fd00::1"),
            endpoint("b", "10.0.0.2", "fd00::2"),
            endpoint("c", "10.0.0.3", space="other"),
            profile("open", ALLOW),
            *resources,
        ]
    )


def into_b(*resources: Resource[Any], sender: str = "a", service: str = "tcp/80") -> bool:
    """Whether the ingress side of b takes a flow."""
    verdict = small(*resources).verdict(sender, "b", service).enters
    assert verdict is not None
    return verdict.allowed


def host(*resources: Resource[Any], name: str = "h1-all", **spec: Any) -> tuple[World, ResolvedHost]:
    """A world with a host endpoint that b's policies select, and what it is subject to."""
    fields = {"node": "h1", "interfaceName": "*", "expectedIPs": ["10.0.9.1"], **spec}
    world = small(made("HostEndpoint", name, fields, labels={"app": "b"}), *resources)
    return world, next(iter(world.engine.local_hosts().values()))


def packet(port: int = 80, protocol: int = 6, *, sender: str = "10.0.0.1", receiver: str = "10.0.9.1") -> Packet:
    return Packet(sender, receiver, protocol, 40000, port)
