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
from tortie.model.rule import EntityRule, Icmp, Port, Rule, RuleMetadata
from tortie.model.selector import parse
from tortie.model.selector.nodes import All, And, Global, Node, Not, Or
from tortie.policy.verdict import Packet

NAMESPACE = "projectcalico.org/namespace"
ACCOUNT = "projectcalico.org/serviceaccount"
NUMBERS = {"TCP": 6, "UDP": 17, "ICMP": 1, "ICMPv6": 58, "SCTP": 132, "UDPLite": 136}
SAFE_IN = {(17, 68)} | {(6, port) for port in (22, 179, 2379, 2380, 5473, 6443, 6666, 6667)}
SAFE_OUT = {(17, 53), (17, 67)} | {(6, port) for port in (179, 2379, 2380, 5473, 6443, 6666, 6667)}
BROKEN = RuleMetadata(annotations={"broken": ""})
"""Marks the rules that nobody can enforce; metadata is no condition."""

Said = tuple[bool, str]
"""Allowed or not; and who decided, "" where it was no rule and no tier's end."""


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
        own = resource.metadata.labels
        if kind == "WorkloadEndpoint":
            own = {key: value for key, value in own.items() if key[:5] not in ("pcns.", "pcsa.")}
        found.update(own)
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


Tiers = list[tuple[str, str, list[Resource[Any]]]]


def lists(
    world: World, endpoint: Resource[Any], direction: str, hook: str = "normal", *, forward: bool = False
) -> Tiers:
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

    result: Tiers = []
    for name in sorted(found, key=place):
        end = (world.tiers[name].default_action if name in world.tiers else None) or "Deny"
        result.append((name, end, sorted(found[name], key=rank)))
    return result


def verdict(world: World, endpoint: Resource[Any], direction: str, packet: Packet) -> Said:
    """For a workload endpoint; what it sends has its own source."""
    if closed(world, endpoint):
        return False, ""
    if direction == "egress" and (packet.protocol == 4 or (packet.protocol, packet.destination_port) == (17, 4789)):
        return False, ""
    return decided(world, endpoint, lists(world, endpoint, direction), direction, packet)


def to_host(world: World, endpoint: Resource[Any], packet: Packet, action: str, *, services: bool) -> bool:
    """For what a workload sends to its own host (8.2), with our own `hostServices`, which are for IPv4."""
    asks_dhcp = (packet.protocol, packet.source_port, packet.destination_port) == (17, 68, 67)
    if services and asks_dhcp and packet.source == "0.0.0.0":
        return True
    if ipaddress.ip_interface(packet.source).ip not in addresses(endpoint) or packet.destination.startswith("127."):
        return False
    if services and ":" not in packet.source and (asks_dhcp or (packet.protocol, packet.destination_port) == (17, 53)):
        return True
    return action != "Drop" and verdict(world, endpoint, "egress", packet)[0]


def host_traffic(world: World, endpoint: Resource[Any], direction: str, packet: Packet, *, failsafes: bool) -> Said:
    """For a process of the host itself (8.5, 8.6)."""
    safe = SAFE_IN if direction == "ingress" else SAFE_OUT
    if failsafes and (packet.protocol, packet.destination_port) in safe:
        return True, ""
    if closed(world, endpoint):
        return False, ""
    found = early(world, endpoint, direction, packet)
    return found or decided(world, endpoint, lists(world, endpoint, direction), direction, packet)


def forwarded(world: World, endpoint: Resource[Any], direction: str, packet: Packet) -> Said:
    """For what a host passes on through an interface with a host endpoint (8.5)."""
    if closed(world, endpoint):
        return False, ""
    found = early(world, endpoint, direction, packet) if direction == "ingress" else None
    if found:
        return found
    tiers = lists(world, endpoint, direction, forward=True)
    if not any(not staged(policy) for _, _, policies in tiers for policy in policies):
        return True, ""
    return decided(world, endpoint, tiers, direction, packet, profiles=False)


def early(world: World, endpoint: Resource[Any], direction: str, packet: Packet) -> Said | None:
    """Untracked policies, then those before DNAT; nothing at the end of their tiers."""
    hooks = ("untracked", "preDNAT") if direction == "ingress" else ("untracked",)
    for hook in hooks:
        tiers = [(name, "Pass", policies) for name, _, policies in lists(world, endpoint, direction, hook)]
        if found := by_tiers(world, tiers, direction, packet):
            return found
    return None


def decided(
    world: World, endpoint: Resource[Any], tiers: Tiers, direction: str, packet: Packet, *, profiles: bool = True
) -> Said:
    """8.1: tiers, then profiles, then a drop."""
    if found := by_tiers(world, tiers, direction, packet):
        return found
    for name in endpoint.spec.profiles if profiles else ():
        if name not in world.profiles:
            return False, ""
        outcome = first(world, getattr(world.profiles[name], direction), packet, None)
        if outcome in ("Allow", "Deny"):
            return outcome == "Allow", f"profile {name} {direction}"
    return False, ""


def by_tiers(world: World, tiers: Tiers, direction: str, packet: Packet) -> Said | None:
    for tier, end, policies in tiers:
        enforced = [policy for policy in policies if not staged(policy)]
        for policy in enforced:
            name, space = policy.metadata.name, policy.metadata.namespace if policy.kind.namespaced else None
            outcome = first(world, getattr(policy.spec, direction), packet, space)
            if outcome in ("Allow", "Deny"):
                where = f"{space}/" if space else ""
                return outcome == "Allow", f"policy {policy.kind.name}/{where}{name} {direction}"
            if outcome:
                break
        else:
            if enforced and end == "Deny":
                return False, f"the end of tier {tier}"
    return None


def staged(policy: Resource[Any]) -> bool:
    return policy.kind.name.startswith("Staged")


def closed(world: World, endpoint: Resource[Any]) -> bool:
    """Whether anything that could decide about the endpoint cannot be enforced."""
    asked: list[tuple[str, str]] = [("ingress", "normal"), ("egress", "normal")]
    if endpoint.kind.name == "HostEndpoint":
        asked += [("ingress", "untracked"), ("egress", "untracked"), ("ingress", "preDNAT")]
    policies = [p for way, hook in asked for _, _, found in lists(world, endpoint, way, hook) for p in found]
    specs = [policy.spec for policy in policies if not staged(policy)]
    specs += [world.profiles[name] for name in endpoint.spec.profiles if name in world.profiles]
    return any(rule.metadata == BROKEN for spec in specs for rule in (*spec.ingress, *spec.egress))


def addresses(endpoint: Resource[Any]) -> list[Any]:
    return [ipaddress.ip_interface(text).ip for text in endpoint.spec.ip_networks]


def first(world: World, rules: tuple[Rule, ...], packet: Packet, namespace: str | None) -> str | None:
    return next((r.action for r in rules if r.action != "Log" and matches(world, r, packet, namespace)), None)


def matches(world: World, rule: Rule, packet: Packet, namespace: str | None) -> bool:
    if rule.protocol is not None and number_of(rule.protocol) != packet.protocol:
        return False
    if rule.not_protocol is not None and number_of(rule.not_protocol) == packet.protocol:
        return False
    version = ipaddress.ip_address(packet.source).version
    if rule.ip_version not in (None, version) or not all(of_version(nets, version) for nets in fields(rule)):
        return False
    if (rule.icmp and not is_icmp(rule.icmp, packet)) or (rule.not_icmp and is_icmp(rule.not_icmp, packet)):
        return False
    named = 6 if rule.protocol is None else number_of(rule.protocol)
    return side(world, rule.source, packet.source, packet.source_port, packet, named, namespace) and side(
        world, rule.destination, packet.destination, packet.destination_port, packet, named, namespace
    )


def fields(rule: Rule) -> list[tuple[str, ...]]:
    """Every list of networks that the rule has."""
    sides = (rule.source, rule.destination)
    return [nets for entity in sides for nets in (entity.nets, entity.not_nets) if nets]


def of_version(nets: tuple[str, ...], version: int) -> bool:
    return any((":" in net) == (version == 6) for net in nets)


def is_icmp(wanted: Icmp, packet: Packet) -> bool:
    return packet.icmp is not None and packet.icmp[0] == wanted.type and wanted.code in (None, packet.icmp[1])


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
