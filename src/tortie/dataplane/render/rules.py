"""Compiled rules as nftables text.

A list of more than one item is a named set, named after its content: an anonymous set makes the kernel search all sets
of the table each time one is loaded.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tortie.dataplane.want import Chain, SetDef, name_of
from tortie.policy.values import CompiledRule, Direction, IcmpMatch, PortRange, RuleLists, Side

VERDICTS = {"Allow": "accept", "Deny": "drop", "Log": 'log prefix "calico-packet: " level info'}
ICMP = 1


@dataclass(slots=True)
class Written:
    """Rules of one chain as they are written, and the content sets that they need."""

    rules: list[str] = field(default_factory=list)
    sets: dict[str, SetDef] = field(default_factory=dict)
    uses: set[str] = field(default_factory=set)

    def list_set(self, prefix: str, kind: str, values: Iterable[str], *, interval: bool) -> str:
        """`@NAME` of a set with this content."""
        content = tuple(sorted(values))
        name = name_of(prefix, kind, *content)
        self.sets[name] = SetDef(kind, interval=interval, content=content)
        self.uses.add(name)
        return f"@{name}"

    def chain(self, note: str = "") -> Chain:
        return Chain(tuple(self.rules), uses=frozenset(self.uses), note=note)


def selector_set(selector: str, version: int) -> str:
    """The name of the set of a selector's addresses of one family."""
    return name_of(f"s{version}", selector)


def profile_chain(name: str, direction: Direction) -> str:
    return name_of("pri" if direction == "ingress" else "pro", name)


def stack_chain(direction: Direction, profiles: Sequence[str]) -> str:
    return name_of("ki" if direction == "ingress" else "ke", *profiles)


def write_profile(rules: RuleLists | None, direction: Direction, families: Sequence[int] = (4, 6)) -> Written:
    """One direction of a profile; None: it does not exist, and closes."""
    written = Written()
    if rules is None:
        written.rules.append("drop")
        return written
    for rule in rules.of(direction):
        _write_rule(written, rule, families)
    if not written.rules:
        written.rules.append("return")
    return written


def write_stack(direction: Direction, profiles: Sequence[str]) -> Written:
    """What a new flow of an endpoint meets in one direction, in order; what nothing allowed is dropped."""
    written = Written(rules=["ct state invalid drop"])
    if direction == "egress":
        # Encapsulated packets from a workload would be taken for the host's own tunnels by another host.
        written.rules += ["udp dport 4789 drop", "meta l4proto 4 drop"]
    for profile in profiles:
        chain = profile_chain(profile, direction)
        written.rules.append(f"jump {chain}")
        written.uses.add(chain)
    written.rules.append("counter drop")
    return written


def write_masquerade(pools: Sequence[str], masqueraded: Sequence[str]) -> Written:
    """The rule that hides workloads behind their host, from everything that is in no pool."""
    written = Written()
    sources, inside = _nets(written, "ipv4_addr", masqueraded), _nets(written, "ipv4_addr", pools)
    written.rules.append(f"ip saddr {sources} ip daddr != {inside} masquerade")
    return written


def _write_rule(written: Written, rule: CompiledRule, families: Sequence[int]) -> None:
    # Pass in a profile ends that profile only.
    verdict = "return" if rule.action == "Pass" else VERDICTS[rule.action]
    for version in _versions(rule, families):
        matches = _matches(written, rule, version)
        if matches is not None:
            written.rules.append(" ".join([*matches, verdict]))


def _versions(rule: CompiledRule, families: Sequence[int]) -> Sequence[int | None]:
    """The families to write a rule for: one rule for all (None) where nothing in it names a family."""
    if rule.ip_version:
        return (rule.ip_version,)
    if rule.icmp or rule.not_icmp:
        return (4,) if rule.protocol == ICMP else (6,)
    if any(s.nets or s.not_nets or s.selector is not None or s.not_selector is not None for s in _sides(rule)):
        return families
    return (None,)


def _sides(rule: CompiledRule) -> tuple[Side, Side]:
    return rule.source, rule.destination


def _matches(written: Written, rule: CompiledRule, version: int | None) -> list[str] | None:
    """The matches of a rule for one family; None when no packet of that family can match."""
    matches: list[str] = []
    if version is not None:
        matches.append(f"meta nfproto ipv{version}")
    if rule.protocol is not None:
        matches.append(f"meta l4proto {rule.protocol}")
    if rule.not_protocol is not None:
        matches.append(f"meta l4proto != {rule.not_protocol}")
    for icmp, negated in ((rule.icmp, False), (rule.not_icmp, True)):
        if icmp is not None:
            matches += _icmp("icmp" if rule.protocol == ICMP else "icmpv6", icmp, negated)
    for side, word in zip(_sides(rule), "sd", strict=True):
        found = _side(written, side, word, version)
        if found is None:
            return None
        matches += found
    return matches


def _icmp(word: str, icmp: IcmpMatch, negated: bool) -> list[str]:
    sign = "!= " if negated else ""
    if icmp.code is None:
        return [f"{word} type {sign}{icmp.type}"]
    if not negated:
        return [f"{word} type {icmp.type} {word} code {icmp.code}"]
    return [f"{word} type . {word} code != {{ {icmp.type} . {icmp.code} }}"]


def _side(written: Written, side: Side, word: str, version: int | None) -> list[str] | None:
    matches: list[str] = []
    if version is not None:
        addresses = _addresses(written, side, f"{'ip' if version == 4 else 'ip6'} {word}addr", version)
        if addresses is None:
            return None
        matches += addresses
    for ports, sign in ((side.ports, ""), (side.not_ports, "!= ")):
        if ports:
            matches.append(f"th {word}port {sign}{_ports(written, ports)}")
    return matches


def _addresses(written: Written, side: Side, field_name: str, version: int) -> list[str] | None:
    matches: list[str] = []
    kind = f"ipv{version}_addr"
    if side.nets:
        nets = _of_version(side.nets, version)
        if not nets:
            return None
        matches.append(f"{field_name} {_nets(written, kind, nets)}")
    if nets := _of_version(side.not_nets, version):
        matches.append(f"{field_name} != {_nets(written, kind, nets)}")
    for selector, sign in ((side.selector, ""), (side.not_selector, "!= ")):
        if selector is not None:
            name = selector_set(selector, version)
            written.uses.add(name)
            matches.append(f"{field_name} {sign}@{name}")
    return matches


def _of_version(nets: Sequence[str], version: int) -> list[str]:
    return [net for net in nets if ipaddress.ip_network(net).version == version]


def _nets(written: Written, kind: str, nets: Sequence[str]) -> str:
    return nets[0] if len(nets) == 1 else written.list_set("nl", kind, nets, interval=True)


def _ports(written: Written, ports: Sequence[PortRange]) -> str:
    items = [str(low) if low == high else f"{low}-{high}" for low, high in ports]
    return items[0] if len(items) == 1 else written.list_set("pl", "inet_service", items, interval=True)
