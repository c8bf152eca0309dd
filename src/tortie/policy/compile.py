"""From the rules people write to compiled rules: names become numbers, selectors their canonical text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec

from tortie.base.errors import Invalid
from tortie.base.numbers import whole
from tortie.model.codec import Value
from tortie.model.kinds.profile import ProfileSpec
from tortie.model.rule import ANYBODY, EntityRule, Icmp, Port, Protocol, Rule
from tortie.model.selector import parse
from tortie.policy.namespaces import rewritten
from tortie.policy.nets import collapsed
from tortie.policy.values import CompiledRule, IcmpMatch, IPVersion, NamedPort, PortRange, RuleLists, Side

PROTOCOLS = {"TCP": 6, "UDP": 17, "ICMP": 1, "ICMPV6": 58, "SCTP": 132, "UDPLITE": 136}
WITH_PORTS = frozenset({6, 17, 132, 136})
ICMP, TCP, ICMPV6 = 1, 6, 58
# What this compiler turns into matches. Everything else that a rule may say is a reason not to enforce it.
RULE_FIELDS = frozenset(
    {"unknown", "action", "ip_version", "protocol", "not_protocol", "icmp", "not_icmp", "source", "destination"}
)
SIDE_FIELDS = frozenset({"unknown", "nets", "not_nets", "selector", "not_selector", "ports", "not_ports"})
ICMP_FIELDS = frozenset({"unknown", "type", "code"})
WITHOUT_EFFECT = frozenset({"metadata"})
PORT_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
NO_SIDE = Side()


def compile_profile(spec: ProfileSpec) -> RuleLists:
    """Every rule that can be compiled, and a problem for each that cannot."""
    return compile_lists(spec.ingress, spec.egress)


def compile_lists(ingress: Sequence[Rule], egress: Sequence[Rule], namespace: str | None = None) -> RuleLists:
    """As `compile_profile`; `namespace`: that of the namespaced policy whose rules these are."""
    problems: list[str] = []
    lists = (
        _compile_list("ingress", ingress, namespace, problems),
        _compile_list("egress", egress, namespace, problems),
    )
    return RuleLists(*lists, tuple(problems))


def _compile_list(
    direction: str, rules: Sequence[Rule], namespace: str | None, problems: list[str]
) -> tuple[CompiledRule, ...]:
    compiled = []
    for index, rule in enumerate(rules):
        try:
            compiled.append(compile_rule(rule, namespace))
        except Invalid as error:
            problems.append(f"{direction} rule {index}: {error}")
    return tuple(compiled)


def compile_rule(rule: Rule, namespace: str | None = None) -> CompiledRule:
    """Invalid names the first thing that cannot be enforced: a condition left out would make the rule wider."""
    _only(rule, RULE_FIELDS, "rule")
    rule = rewritten(rule, namespace)
    protocol, not_protocol = _protocol(rule.protocol), _protocol(rule.not_protocol)
    sides = (_side(rule.source, protocol), _side(rule.destination, protocol))
    numbers = any(side.ports or side.not_ports for side in sides)
    names = any(side.named or side.not_named for side in sides)
    if (numbers or (names and protocol is not None)) and protocol not in WITH_PORTS:
        raise Invalid("ports need a protocol that has ports: TCP, UDP, SCTP or UDPLite")
    if (rule.icmp or rule.not_icmp) and protocol not in (ICMP, ICMPV6):
        raise Invalid("icmp needs the protocol ICMP or ICMPv6")
    if rule.ip_version == (6 if protocol == ICMP else 4) and protocol in (ICMP, ICMPV6):
        raise Invalid(f"protocol {rule.protocol} does not exist in IPv{rule.ip_version}")
    version, source = _of_family(rule.ip_version, sides)
    return CompiledRule(
        action=rule.action,
        ip_version=version,
        protocol=protocol,
        not_protocol=not_protocol,
        icmp=_icmp(rule.icmp),
        not_icmp=_icmp(rule.not_icmp),
        source=source,
        destination=sides[1],
    )


def _of_family(given: IPVersion | None, sides: tuple[Side, Side]) -> tuple[IPVersion | None, Side]:
    """The IP version that a rule is about, and its source: a list of networks, of excluded ones too, leaves out the
    versions that it has none of. A rule that this leaves nothing of keeps its place and matches nothing."""
    left: set[IPVersion] = {given} if given else {4, 6}
    for nets in (nets for side in sides for nets in (side.nets, side.not_nets) if nets):
        left &= {6 if ":" in net else 4 for net in nets}
    if not left:
        return 4, replace(sides[0], nets=("::/0",))
    return (given if len(left) == 2 else left.pop()), sides[0]


def _only(value: Value, known: frozenset[str], what: str) -> None:
    """A condition that is not among the known ones, of this program's model or of a newer one's, cannot be enforced."""
    read, others = _others(type(value), known)
    if not value.unknown and not any(read(value)):
        return
    unknown = [name for name, _ in value.unknown if name not in WITHOUT_EFFECT]
    unknown += [name for name, found in zip(others, read(value), strict=True) if found]
    if unknown:
        raise Invalid(f"{what}: {', '.join(sorted(unknown))} cannot be enforced")


@lru_cache(maxsize=64)
def _others(kind: type[Value], known: frozenset[str]) -> tuple[Callable[[Value], tuple[Any, ...]], tuple[str, ...]]:
    """How to read the fields of a struct that are not among the known ones and have an effect, and their names as
    written."""
    fields = [f for f in msgspec.structs.fields(kind) if f.name not in known and f.encode_name not in WITHOUT_EFFECT]
    getters = [attrgetter(field.name) for field in fields]
    return lambda value: tuple([get(value) for get in getters]), tuple(field.encode_name for field in fields)


def _protocol(value: Protocol | None) -> int | None:
    if value is None:
        return None
    if isinstance(value, str):
        number = PROTOCOLS.get(value.upper()) or whole(value, 255)
        if number is None:
            raise Invalid(f"unknown protocol {value!r}")
        value = number
    if not 1 <= value <= 255:
        raise Invalid(f"protocol {value} is not between 1 and 255")
    return value


def _icmp(value: Icmp | None) -> IcmpMatch | None:
    if value is None:
        return None
    _only(value, ICMP_FIELDS, "icmp")
    if value.type is None:
        raise Invalid("an icmp match needs a type")
    if not 0 <= value.type <= 254 or not 0 <= (value.code or 0) <= 255:
        raise Invalid(f"icmp type {value.type} code {value.code} is out of range")
    return IcmpMatch(value.type, value.code)


def _side(entity: EntityRule, protocol: int | None) -> Side:
    if entity is ANYBODY:
        return NO_SIDE
    _only(entity, SIDE_FIELDS, "source or destination")
    selector = _selector(entity.selector)
    return Side(
        nets=_nets(entity.nets),
        not_nets=_nets(entity.not_nets),
        selector=selector,
        not_selector=_selector(entity.not_selector),
        ports=_ports(entity.ports),
        not_ports=_ports(entity.not_ports),
        named=_named(entity.ports, protocol, selector),
        not_named=_named(entity.not_ports, protocol, selector),
    )


def _selector(text: str) -> str | None:
    return parse(text).canonical if text else None


def _nets(values: Sequence[str]) -> tuple[str, ...]:
    if not values:
        return ()
    try:
        found = collapsed(values)
    except ValueError as error:
        raise Invalid(f"net: {error}") from error
    if any("%" in value for value in values):
        raise Invalid("net: an address with a zone belongs to one interface")
    return found


def _ports(values: Sequence[Port]) -> tuple[PortRange, ...]:
    """Sorted, overlapping and neighbouring ranges joined; names left out."""
    if not values:
        return ()
    joined: list[PortRange] = []
    for low, high in sorted(_port(value) for value in values if not _is_name(value)):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return tuple(joined)


def _named(values: Sequence[Port], protocol: int | None, selector: str | None) -> tuple[NamedPort, ...]:
    """A rule without a protocol means TCP by the name of a port, as in Felix."""
    if not values:
        return ()
    names = sorted({str(value) for value in values if _is_name(value)})
    return tuple(NamedPort(name, TCP if protocol is None else protocol, selector or "all()") for name in names)


def _is_name(value: Port) -> bool:
    if isinstance(value, int):
        return False
    text = str(value)
    return PORT_NAME.fullmatch(text) is not None and not text.isdecimal()


def _port(value: Port) -> PortRange:
    parts: list[str] = str(value).split(":")
    if not all(part.isdecimal() for part in parts) or len(parts) > 2:
        raise Invalid(f"port {value!r} is no number, no range LOW:HIGH and no name")
    low, high = whole(parts[0], 65535), whole(parts[-1], 65535)
    if low is None or high is None or low > high:
        raise Invalid(f"port {value!r} is not between 0 and 65535, low before high")
    return low, high
