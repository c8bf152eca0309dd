"""The slow twin of engine and verdict: reads resources as the v3 documents describe them, anew for every question.

Nothing here uses the compiled values, the label index or the rewritten selectors.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tortie.model.kinds.profile import ProfileSpec
from tortie.model.kinds.tier import TierSpec
from tortie.model.resource import Resource
from tortie.model.rule import EntityRule, Port, Rule
from tortie.model.selector import parse
from tortie.model.selector.nodes import All, And, Global, Node, Not, Or
from tortie.policy.verdict import Packet

NAMESPACE = "projectcalico.org/namespace"
ACCOUNT = "projectcalico.org/serviceaccount"
NUMBERS = {"TCP": 6, "UDP": 17, "ICMP": 1}


@dataclass
class World:
    """Everything that was learned, by key or name."""

    workloads: dict[str, Resource[Any]] = field(default_factory=dict)
    hosts: dict[str, Resource[Any]] = field(default_factory=dict)
    sets: dict[str, Resource[Any]] = field(default_factory=dict)
    profiles: dict[str, ProfileSpec] = field(default_factory=dict)
    policies: dict[str, Resource[Any]] = field(default_factory=dict)
    tiers: dict[str, TierSpec] = field(default_factory=dict)

    def labels(self, resource: Resource[Any]) -> dict[str, str]:
        kind, found = resource.kind.name, {}
        names = list(getattr(resource.spec, "profiles", ()))
        if kind == "NetworkSet":
            names = [f"kns.{resource.metadata.namespace}"]
        for name in reversed(names):
            found.update(self.profiles[name].labels_to_apply if name in self.profiles else {})
        found.update(resource.metadata.labels)
        if kind in ("WorkloadEndpoint", "NetworkSet"):
            found[NAMESPACE] = resource.metadata.namespace or ""
        if kind == "WorkloadEndpoint":
            found["projectcalico.org/orchestrator"] = resource.spec.orchestrator
            if resource.spec.service_account_name:
                found[ACCOUNT] = resource.spec.service_account_name
        return found

    def holders(self, address: str) -> Iterator[Resource[Any]]:
        """Everything known that has the address."""
        for resource in (*self.workloads.values(), *self.hosts.values(), *self.sets.values()):
            fields = ("ip_networks", "expected_ips", "nets")
            nets = [net for name in fields for net in getattr(resource.spec, name, ())]
            if any(ipaddress.ip_address(address) in ipaddress.ip_network(net) for net in nets):
                yield resource


def truth(node: Node, labels: Mapping[str, str], prefix: str = "", *, namespaces: bool = False) -> bool:
    """A selector over the labels that have a prefix."""
    if isinstance(node, Not):
        return not truth(node.operand, labels, prefix, namespaces=namespaces)
    if isinstance(node, And | Or):
        parts = [truth(operand, labels, prefix, namespaces=namespaces) for operand in node.operands]
        return all(parts) if isinstance(node, And) else any(parts)
    if isinstance(node, All):
        return not namespaces or NAMESPACE in labels
    if isinstance(node, Global):
        return not namespaces or NAMESPACE not in labels
    seen = {key.removeprefix(prefix): value for key, value in labels.items() if key.startswith(prefix)}
    return node.matches(seen)


def chosen(world: World, policy: Resource[Any], endpoint: Resource[Any]) -> bool:
    labels, spec = world.labels(endpoint), policy.spec
    if policy.kind.namespaced and labels.get(NAMESPACE) != policy.metadata.namespace:
        return False
    spaces, accounts = getattr(spec, "namespace_selector", ""), spec.service_account_selector
    return (
        truth(parse(spec.selector).node, labels)
        and (not spaces or truth(parse(spaces).node, labels, "pcns.", namespaces=True))
        and (not accounts or truth(parse(accounts).node, labels, "pcsa."))
    )


def lists(
    world: World, endpoint: Resource[Any], direction: str, hook: str = "normal", *, forward: bool = False
) -> list[tuple[str, str, list[Resource[Any]]]]:
    """(tier, what its end does, policies), in order."""
    found: dict[str, list[Resource[Any]]] = {}
    for policy in world.policies.values():
        spec = policy.spec
        of = "untracked" if getattr(spec, "do_not_track", False) else "normal"
        of = "preDNAT" if getattr(spec, "pre_dnat", False) else of
        types = spec.types or ("Ingress", "Egress")
        if of != hook or direction.capitalize() not in types or (forward and not getattr(spec, "apply_on_forward", 0)):
            continue
        if getattr(spec, "staged_action", None) in ("Delete", "Ignore") or not chosen(world, policy, endpoint):
            continue
        found.setdefault(spec.tier or "default", []).append(policy)

    def last(order: float | None) -> float:
        return math.inf if order is None else order

    def place(name: str) -> tuple[bool, float, str]:
        return (name not in world.tiers, last(world.tiers[name].order if name in world.tiers else None), name)

    def rank(policy: Resource[Any]) -> tuple[float, str]:
        meta = policy.metadata
        return last(policy.spec.order), f"{meta.name}/{meta.namespace or ''}/{policy.kind.name}"

    result: list[tuple[str, str, list[Resource[Any]]]] = []
    for name in sorted(found, key=place):
        end = (world.tiers[name].default_action if name in world.tiers else None) or "Deny"
        result.append((name, end, sorted(found[name], key=rank)))
    return result


def verdict(world: World, endpoint: Resource[Any], direction: str, packet: Packet) -> bool:
    """For a workload endpoint."""
    for _, end, policies in lists(world, endpoint, direction):
        enforced = [policy for policy in policies if not policy.kind.name.startswith("Staged")]
        outcome = None
        for policy in enforced:
            space = policy.metadata.namespace if policy.kind.namespaced else None
            outcome = first(world, getattr(policy.spec, direction), packet, space)
            if outcome:
                break
        if outcome in ("Allow", "Deny"):
            return outcome == "Allow"
        if outcome is None and enforced and end == "Deny":
            return False
    for name in endpoint.spec.profiles:
        if name not in world.profiles:
            return False
        outcome = first(world, getattr(world.profiles[name], direction), packet, None)
        if outcome in ("Allow", "Deny"):
            return outcome == "Allow"
    return False


def first(world: World, rules: tuple[Rule, ...], packet: Packet, namespace: str | None) -> str | None:
    return next((r.action for r in rules if r.action != "Log" and matches(world, r, packet, namespace)), None)


def matches(world: World, rule: Rule, packet: Packet, namespace: str | None) -> bool:
    if rule.protocol is not None and number_of(rule.protocol) != packet.protocol:
        return False
    if rule.not_protocol is not None and number_of(rule.not_protocol) == packet.protocol:
        return False
    named = 6 if rule.protocol is None else number_of(rule.protocol)
    return side(world, rule.source, packet.source, packet.source_port, packet, named, namespace) and side(
        world, rule.destination, packet.destination, packet.destination_port, packet, named, namespace
    )


def side(
    world: World, entity: EntityRule, address: str, port: int, packet: Packet, named: int, namespace: str | None
) -> bool:
    def inside(nets: tuple[str, ...]) -> bool:
        return any(ipaddress.ip_address(address) in ipaddress.ip_network(net) for net in nets)

    def positive(resource: Resource[Any]) -> bool:
        labels, accounts = world.labels(resource), entity.service_accounts
        limited = entity.selector or entity.not_selector or accounts
        if entity.namespace_selector:
            if not truth(parse(entity.namespace_selector).node, labels, "pcns.", namespaces=True):
                return False
        elif namespace is not None and limited and labels.get(NAMESPACE) != namespace:
            return False
        if accounts and accounts.names and labels.get(ACCOUNT) not in accounts.names:
            return False
        if accounts and accounts.selector and not truth(parse(accounts.selector).node, labels, "pcsa."):
            return False
        return truth(parse(entity.selector).node, labels)

    def is_port(value: Port) -> bool:
        if isinstance(value, int):
            return value == port
        if ":" in value:
            low, _, high = value.partition(":")
            return int(low) <= port <= int(high)
        return packet.protocol == named and any(
            (item.name, number_of(item.protocol), item.port) == (value, named, port)
            for resource in world.holders(address)
            if positive(resource)
            for item in getattr(resource.spec, "ports", ())
        )

    if (entity.nets and not inside(entity.nets)) or (entity.not_nets and inside(entity.not_nets)):
        return False
    space = namespace is not None and (entity.selector or entity.not_selector)
    chooses = entity.selector or entity.namespace_selector or entity.service_accounts or space
    if chooses and not any(positive(resource) for resource in world.holders(address)):
        return False
    if entity.not_selector:
        node = parse(entity.not_selector).node
        if any(truth(node, world.labels(resource)) for resource in world.holders(address)):
            return False
    if entity.ports and not any(is_port(value) for value in entity.ports):
        return False
    return not any(is_port(value) for value in entity.not_ports)


def number_of(protocol: int | str) -> int:
    return protocol if isinstance(protocol, int) else NUMBERS[protocol]
