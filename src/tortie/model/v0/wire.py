"""A rule as the 0.x JSON wrote it: one flat object, `src_tag`, `dst_ports` and so on; negated keys begin with `!`.

A tag `t` is the selector `t == ''` of the v3 form; `has(t)` reads as the same tag.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any, Literal

from tortie.base.errors import Invalid
from tortie.base.numbers import whole
from tortie.model.rule import ANYBODY, EntityRule, Icmp, Port, Rule
from tortie.model.selector import nodes, parse

WireRule = dict[str, Any]

ACTIONS: dict[str, Literal["Allow", "Deny", "Log", "Pass"]] = {
    "allow": "Allow",
    "deny": "Deny",
    "log": "Log",
    "next-tier": "Pass",
}
PROTOCOLS = {"tcp": "TCP", "udp": "UDP", "icmp": "ICMP", "icmpv6": "ICMPv6", "sctp": "SCTP", "udplite": "UDPLite"}
_ACTION_WORDS = {v3: word for word, v3 in ACTIONS.items()}
_PROTOCOL_WORDS = {v3: word for word, v3 in PROTOCOLS.items()}
_WITH_PORTS = ("tcp", "udp", "sctp")
_RULE_KEYS = {"action", "ip_version", "protocol", "!protocol", "icmp_type", "icmp_code", "!icmp_type", "!icmp_code"}
_SIDE_KEYS = {
    mark + name + field
    for mark in ("", "!")
    for name in ("src_", "dst_")
    for field in ("tag", "selector", "ports", "net", "nets")
}


def selector_of_tag(tag: str) -> str:
    """The v3 selector of everything that carries the tag."""
    return f"{tag} == ''"


def tag_of_selector(selector: str) -> str | None:
    """The tag that a selector stands for, None for any other selector."""
    try:
        node = parse(selector).node
    except Invalid:
        return None
    if isinstance(node, nodes.Equal) and node.value == "":
        return node.label
    return node.label if isinstance(node, nodes.Has) else None


def with_tag(selector: str, tag: str, *, negated: bool = False) -> str:
    """The one selector of both. Two exclusions exclude what either names: negated they are joined by "or"."""
    if not (selector and tag):
        return selector_of_tag(tag) if tag else selector
    return f"({selector}) {'||' if negated else '&&'} {selector_of_tag(tag)}"


def newer_words(rule: Rule) -> list[str]:
    """What the rule says that only v3 has a field for."""
    missing = [name for name, _ in (*rule.unknown, *rule.source.unknown, *rule.destination.unknown)]
    missing += [name for name, value in (("http", rule.http), ("metadata", rule.metadata)) if value is not None]
    for side in (rule.source, rule.destination):
        newer = {
            "namespaceSelector": side.namespace_selector,
            "serviceAccounts": side.service_accounts,
            "services": side.services,
        }
        missing += [name for name, value in newer.items() if value]
    return missing


def to_wire(rule: Rule) -> WireRule:
    """The rule's flat form. Invalid when it says something that the form has no key for."""
    missing = newer_words(rule)
    if missing:
        raise Invalid(f"the rule uses {', '.join(missing)}, which this grammar has no words for")
    wire: WireRule = {"action": _ACTION_WORDS[rule.action]}
    if rule.ip_version is not None:
        wire["ip_version"] = rule.ip_version
    for mark, protocol, icmp in (("", rule.protocol, rule.icmp), ("!", rule.not_protocol, rule.not_icmp)):
        if protocol is not None:
            wire[f"{mark}protocol"] = _PROTOCOL_WORDS.get(str(protocol), protocol)
        if icmp is not None and icmp.type is not None:
            wire[f"{mark}icmp_type"] = icmp.type
        if icmp is not None and icmp.code is not None:
            wire[f"{mark}icmp_code"] = icmp.code
    for name, side in (("src_", rule.source), ("dst_", rule.destination)):
        wire.update(_side_to_wire("", name, side.selector, side.nets, side.ports))
        wire.update(_side_to_wire("!", name, side.not_selector, side.not_nets, side.not_ports))
    return wire


def from_wire(wire: Mapping[str, Any]) -> Rule:
    """The rule in the v3 form. Invalid lists everything that is wrong with the flat one."""
    problems = list(_problems(wire))
    if problems:
        raise Invalid(*problems)
    return Rule(
        action=ACTIONS[wire["action"]],
        ip_version=wire.get("ip_version"),
        protocol=PROTOCOLS.get(wire.get("protocol", ""), wire.get("protocol")),
        not_protocol=PROTOCOLS.get(wire.get("!protocol", ""), wire.get("!protocol")),
        icmp=_icmp(wire, ""),
        not_icmp=_icmp(wire, "!"),
        source=_side(wire, "src_"),
        destination=_side(wire, "dst_"),
    )


def port_problem(port: Any) -> str | None:
    """What is wrong with a port or a range `min:max`."""
    if isinstance(port, int) and not isinstance(port, bool):
        return None if 0 <= port <= 65535 else f"Port ({port}) out-of-range."
    low, colon, high = str(port).partition(":")
    if not (colon and low.isascii() and low.isdigit() and high.isascii() and high.isdigit()):
        return f"Ports: '{port}' are invalid; expecting a comma-separated list of ports and port ranges."
    first, last = whole(low, 65535), whole(high, 65535)
    if last is None:
        return f"Port maximum ({high}) out-of-range."
    return None if first is not None and first <= last else f"Port range minimum ({low}) > maximum ({high})."


def _side_to_wire(mark: str, name: str, selector: str, nets: tuple[str, ...], ports: tuple[Port, ...]) -> WireRule:
    wire: WireRule = {}
    tag = tag_of_selector(selector) if selector else None
    if tag is not None:
        wire[f"{mark}{name}tag"] = tag
    elif selector:
        wire[f"{mark}{name}selector"] = selector
    if len(nets) == 1:
        wire[f"{mark}{name}net"] = nets[0]
    elif nets:
        wire[f"{mark}{name}nets"] = list(nets)
    if ports:
        wire[f"{mark}{name}ports"] = list(ports)
    return wire


def _side(wire: Mapping[str, Any], name: str) -> EntityRule:
    def selector(mark: str) -> str:
        tag, text = wire.get(f"{mark}{name}tag") or "", str(wire.get(f"{mark}{name}selector") or "")
        return with_tag(text, tag, negated=bool(mark))

    def nets(mark: str) -> tuple[str, ...]:
        single, several = wire.get(f"{mark}{name}net"), wire.get(f"{mark}{name}nets", ())
        return tuple(str(ip_network(net, strict=False)) for net in ([single] if single else []) + list(several))

    side = EntityRule(
        selector=selector(""),
        not_selector=selector("!"),
        nets=nets(""),
        not_nets=nets("!"),
        ports=tuple(wire.get(f"{name}ports", ())),
        not_ports=tuple(wire.get(f"!{name}ports", ())),
    )
    return ANYBODY if side == ANYBODY else side


def _icmp(wire: Mapping[str, Any], mark: str) -> Icmp | None:
    kind, code = wire.get(f"{mark}icmp_type"), wire.get(f"{mark}icmp_code")
    return None if kind is None and code is None else Icmp(type=kind, code=code)


def _problems(wire: Mapping[str, Any]) -> list[str]:
    found = [f"unknown key '{key}'" for key in wire if key not in _RULE_KEYS | _SIDE_KEYS]
    if not _among(wire.get("action"), ACTIONS):
        found.append(f"action {wire.get('action')!r} is none of {', '.join(ACTIONS)}")
    if not _whole(version := wire.get("ip_version", 4)) or version not in (4, 6):
        found.append(f"ip_version {wire['ip_version']!r} is neither 4 nor 6")
    for key in ("protocol", "!protocol"):
        protocol = wire.get(key, 1)
        if not _among(protocol, PROTOCOLS) and not (_whole(protocol) and 1 <= protocol <= 255):
            found.append(f"{key} {protocol!r} is none of {', '.join(PROTOCOLS)}")
    for mark in ("", "!"):
        found += _icmp_problems(wire, mark)
    for key in sorted(_SIDE_KEYS & wire.keys()):
        found += _side_problems(key, wire[key])
    protocol = wire.get("protocol")
    if protocol not in _WITH_PORTS and any(key.endswith("ports") for key in wire):
        found.append(f"Ports are not valid with protocol '{protocol}'")
    return found


def _icmp_problems(wire: Mapping[str, Any], mark: str) -> list[str]:
    kind, code = wire.get(f"{mark}icmp_type"), wire.get(f"{mark}icmp_code")
    if kind is None and code is None:
        return []
    if kind is None or not _whole(kind) or not 0 <= kind < 255 or (code is not None and not _whole(code)):
        return ["Invalid ICMP type or ICMP code specified."]
    if code is not None and not 0 <= code <= 255:
        return ["Invalid ICMP type or ICMP code specified."]
    if wire.get("protocol") not in ("icmp", "icmpv6"):
        return [f"{mark}icmp_type needs protocol icmp or icmpv6"]
    return []


def _side_problems(key: str, value: Any) -> list[str]:
    field = key.rpartition("_")[2]
    if field in ("ports", "nets"):
        if not isinstance(value, list | tuple):
            return [f"{key} is not a list"]
        return [why for item in value if (why := port_problem(item) if field == "ports" else _net_problem(item))]
    if not isinstance(value, str):
        return [f"{key} is not a text"]
    if field == "net":
        return [why] if (why := _net_problem(value)) else []
    try:
        parse(value if field == "selector" else selector_of_tag(value))
    except Invalid as error:
        return [f"{key}: {error}"]
    return []


def _net_problem(value: Any) -> str | None:
    try:
        ip_network(value if isinstance(value, str) else "", strict=False)
    except ValueError:
        return f"Invalid CIDR specified: {value}"
    return None


def _among(value: Any, known: Mapping[str, Any]) -> bool:
    return isinstance(value, str) and value in known


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
