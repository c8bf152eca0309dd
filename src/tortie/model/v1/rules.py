"""Rules of the v1 form to v3 and back."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from ipaddress import ip_network
from typing import Any

import msgspec

from tortie.base.errors import Invalid
from tortie.model.network_sets import NAMESPACE_LABEL
from tortie.model.rule import ANYBODY, EntityRule, Icmp, Protocol, Rule
from tortie.model.selector import Selector, nodes, parse
from tortie.model.v0.wire import ACTIONS, PROTOCOLS, with_tag
from tortie.model.v1.documents import fault
from tortie.model.v1.shapes import V1Rule, V1Side

OLD_NAMESPACE = "calico/k8s_ns"
TAG = r"[a-zA-Z0-9_.-]{1,128}"

V1_ACTIONS = {**ACTIONS, "pass": ACTIONS["next-tier"]}
_ACTION_WORDS = {"Allow": "allow", "Deny": "deny", "Log": "log", "Pass": "pass"}
_PROTOCOL_WORDS = {v3: word for word, v3 in PROTOCOLS.items()}
NO_PROTOCOL = "icmp without a protocol: it is taken as two rules, one for icmp and one for icmpv6"


def rules_from_v1(field: str, found: Sequence[V1Rule]) -> tuple[Rule, ...]:
    """Invalid with every fault that only the v1 form can have; the others are those of the v3 rules."""
    faults: list[str] = []
    rules: list[Rule] = []
    for number, rule in enumerate(found):
        try:
            rules += _from_v1(f"{field}[{number}]", rule)
        except Invalid as error:
            faults += error.problems
    if faults:
        raise Invalid(*faults)
    return tuple(rules)


def rules_to_v1(rules: Sequence[Rule]) -> tuple[V1Rule, ...]:
    """Invalid names what the v1 form has no field for."""
    return tuple(map(_to_v1, _joined(rules)))


def _joined(rules: Sequence[Rule]) -> Iterator[Rule]:
    """The two rules that one about ICMP without a protocol became are one again."""
    rest = list(rules)
    while rest:
        rule = rest.pop(0)
        first = rule.icmp is not None and rule.protocol == "ICMP" and not _families(rule)
        if first and rest and rest[0] == msgspec.structs.replace(rule, protocol="ICMPv6"):
            rest.pop(0)
            rule = msgspec.structs.replace(rule, protocol=None)
        yield rule


def _to_v1(rule: Rule) -> V1Rule:
    missing = [name for name, _ in (*rule.unknown, *rule.source.unknown, *rule.destination.unknown)]
    missing += [name for name, value in (("http", rule.http), ("metadata", rule.metadata)) if value is not None]
    for side in (rule.source, rule.destination):
        others = {
            "namespaceSelector": side.namespace_selector,
            "serviceAccounts": side.service_accounts,
            "services": side.services,
            "named ports": any(isinstance(p, str) and ":" not in p for p in (*side.ports, *side.not_ports)),
        }
        missing += [name for name, value in others.items() if value]
    if missing:
        raise Invalid(f"a rule uses {', '.join(missing)}, which the v1 form has no field for")
    return V1Rule(
        action=_ACTION_WORDS[rule.action],
        ip_version=_or_unset(rule.ip_version),
        protocol=_or_unset(_word(rule.protocol)),
        icmp=_or_unset(rule.icmp),
        not_protocol=_or_unset(_word(rule.not_protocol)),
        not_icmp=_or_unset(rule.not_icmp),
        source=_side_to_v1(rule.source),
        destination=_side_to_v1(rule.destination),
    )


def said_without_protocol(rules: Iterable[V1Rule]) -> bool:
    """Whether a rule says icmp and no protocol: worth a word to the person who wrote it."""
    return any(rule.icmp and not rule.protocol for rule in rules)


def _from_v1(field: str, rule: V1Rule) -> list[Rule]:
    faults = list(_faults(field, rule))
    if faults:
        raise Invalid(*faults)
    made = Rule(
        action=V1_ACTIONS[rule.action],
        ip_version=_or_none(rule.ip_version),
        protocol=_v3_protocol(_or_none(rule.protocol)),
        not_protocol=_v3_protocol(_or_none(rule.not_protocol)),
        icmp=_some(rule.icmp),
        not_icmp=_some(rule.not_icmp),
        source=_side_from_v1(rule.source),
        destination=_side_from_v1(rule.destination),
    )
    if made.icmp is None or made.protocol is not None:
        return [made]
    # Without a protocol an ICMP condition was dropped by the original's agent, and the rule matched everything.
    return [msgspec.structs.replace(made, protocol=protocol) for protocol in _icmp_protocols(made)]


def _faults(field: str, rule: V1Rule) -> Iterator[str]:
    if rule.action not in V1_ACTIONS:
        yield fault("Action", rule.action, f"{field}.action: none of allow, deny, log, pass")
    if rule.ip_version and rule.ip_version not in (4, 6):
        yield fault("IPVersion", rule.ip_version, f"{field}.ipVersion: neither 4 nor 6")
    for end, protocol in (("protocol", rule.protocol), ("notProtocol", rule.not_protocol)):
        if isinstance(protocol, str) and protocol.lower() not in PROTOCOLS:
            yield fault("Protocol", protocol, f"{field}.{end}: none of {', '.join(PROTOCOLS)}, and no number")
    if rule.not_icmp and not rule.protocol:
        yield fault("NotICMP", "", f"{field}.notICMP: needs protocol icmp or icmpv6")
    for end, side in (("source", rule.source), ("destination", rule.destination)):
        for where, tag in (("tag", side.tag), ("notTag", side.not_tag)):
            if tag and re.fullmatch(TAG, tag) is None:
                yield fault("Tag", tag, f"{field}.{end}.{where}: no tag")
        for where, text in _texts(side):
            if _network(text) is None:
                yield fault("Net", text, f"{field}.{end}.{where}: no network")


def _icmp_protocols(rule: Rule) -> list[str]:
    families = _families(rule)
    return [name for name, family in (("ICMP", 4), ("ICMPv6", 6)) if not families or family in families]


def _families(rule: Rule) -> set[int]:
    """The IP versions that a rule is bound to."""
    nets = (*rule.source.nets, *rule.source.not_nets, *rule.destination.nets, *rule.destination.not_nets)
    return {ip_network(net).version for net in nets} | ({rule.ip_version} if rule.ip_version else set())


def _some(icmp: Icmp | msgspec.UnsetType) -> Icmp | None:
    """An ICMP condition that says nothing is none."""
    return None if isinstance(icmp, msgspec.UnsetType) or icmp == Icmp() else icmp


def _texts(side: V1Side) -> list[tuple[str, str]]:
    single = [("net", side.net), ("notNet", side.not_net)]
    several = [("nets", net) for net in side.nets] + [("notNets", net) for net in side.not_nets]
    return [(where, text) for where, text in (*single, *several) if text is not None]


def _network(text: str) -> str | None:
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        return None


def _side_from_v1(side: V1Side) -> EntityRule:
    def nets(single: str | None, several: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(net for text in ((single, *several) if single else several) if (net := _network(text)))

    made = EntityRule(
        nets=nets(side.net, side.nets),
        not_nets=nets(side.not_net, side.not_nets),
        selector=with_tag(in_namespace(side.selector), side.tag),
        not_selector=with_tag(in_namespace(side.not_selector), side.not_tag, negated=True),
        ports=side.ports,
        not_ports=side.not_ports,
    )
    return ANYBODY if made == ANYBODY else made


def in_namespace(selector: str) -> str:
    """The label that told the namespace has another name now. What cannot be read stays, for the check to name."""
    if OLD_NAMESPACE not in selector:
        return selector
    try:
        node = parse(selector).node
    except Invalid:
        return selector
    renamed = nodes.map_labels(node, lambda label: NAMESPACE_LABEL if label == OLD_NAMESPACE else label)
    return Selector.of(renamed).canonical


def _side_to_v1(side: EntityRule) -> V1Side:
    selector, tag = _without_tag(side.selector)
    not_selector, not_tag = _without_tag(side.not_selector, negated=True)
    return V1Side(
        tag=tag,
        net=side.nets[0] if len(side.nets) == 1 else None,
        nets=side.nets if len(side.nets) > 1 else (),
        selector=selector,
        ports=side.ports,
        not_tag=not_tag,
        not_net=side.not_nets[0] if len(side.not_nets) == 1 else None,
        not_nets=side.not_nets if len(side.not_nets) > 1 else (),
        not_selector=not_selector,
        not_ports=side.not_ports,
    )


def _tag_of(selector: str, tags: Collection[str]) -> str:
    """The tag that a selector stands for, "" for another selector. `has(t)` stands for t where it is among the tags."""
    try:
        node = parse(selector).node
    except Invalid:
        return ""
    if isinstance(node, nodes.Equal) and node.value == "" and re.fullmatch(TAG, node.label):
        return node.label
    return node.label if isinstance(node, nodes.Has) and node.label in tags else ""


def _without_tag(selector: str, *, negated: bool = False) -> tuple[str, str]:
    """(selector, tag) that `with_tag` joins to this selector, "" for what is absent."""
    if tag := _tag_of(selector, ()):
        return "", tag
    found = re.fullmatch(rf"\((.*)\) {'[|][|]' if negated else '&&'} ({TAG}) == ''", selector, re.DOTALL)
    if found is None:
        return selector, ""
    try:
        parse(found[1])
    except Invalid:
        return selector, ""
    return found[1], found[2]


def normal_rule(rule: Rule, tags: Collection[str]) -> Rule:
    """Two rules that the v1 form writes alike have the same normal one."""
    return msgspec.structs.replace(
        rule,
        source=_normal_side(rule.source, tags),
        destination=_normal_side(rule.destination, tags),
        icmp=_some(rule.icmp or Icmp()),
    )


def _normal_side(side: EntityRule, tags: Collection[str]) -> EntityRule:
    def plain(selector: str) -> str:
        tag = _tag_of(selector, tags) if selector else ""
        return with_tag("", tag) if tag else selector

    made = msgspec.structs.replace(side, selector=plain(side.selector), not_selector=plain(side.not_selector))
    return ANYBODY if made == ANYBODY else made


def _v3_protocol(value: Protocol | None) -> Protocol | None:
    return PROTOCOLS.get(value.lower(), value) if isinstance(value, str) else value


def _word(value: Protocol | None) -> Protocol | None:
    return _PROTOCOL_WORDS.get(value, value) if isinstance(value, str) else value


def _or_none(value: Any) -> Any:
    return None if value is msgspec.UNSET else value


def _or_unset(value: Any) -> Any:
    return msgspec.UNSET if value is None else value
