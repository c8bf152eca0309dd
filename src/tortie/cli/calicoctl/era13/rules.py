"""Rules of apiVersion v1 as rules of v3 and back, both as documents. Pure.

A tag `t` is the selector `t == ''`, and `has(t)` where t is known to be a tag. ICMP fields without a protocol meant
"everything" to the era's node by an accident; here they are two rules, one for ICMP and one for ICMPv6.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

ACTIONS = {"allow": "Allow", "deny": "Deny", "log": "Log", "pass": "Pass", "next-tier": "Pass"}
BACK = {"Allow": "allow", "Deny": "deny", "Log": "log", "Pass": "pass"}
PROTOCOLS = {"tcp": "TCP", "udp": "UDP", "icmp": "ICMP", "icmpv6": "ICMPv6", "sctp": "SCTP", "udplite": "UDPLite"}
NAMES = {v3: v1 for v1, v3 in PROTOCOLS.items()}

RULE = frozenset(["action", "ipVersion", "protocol", "icmp", "notProtocol", "notICMP", "source", "destination"])
ENTITY = frozenset(["tag", "net", "selector", "ports", "notTag", "notNet", "notSelector", "notPorts"])
_TAG = re.compile(r"\s*([A-Za-z0-9_./-]+)\s*==\s*(?:''|\"\")\s*")
_HAS = re.compile(r"\s*has\(\s*([A-Za-z0-9_./-]+)\s*\)\s*")
_BOTH = re.compile(r"\((.*)\) && ([A-Za-z0-9_./-]+) == ''")


def to_v3(rules: Any, path: str, faults: list[str]) -> list[dict[str, Any]]:
    """The rules of v3; what is wrong is added to `faults`."""
    if rules is None:
        return []
    if not isinstance(rules, list):
        faults.append(f"error with field {path} = '{rules}' (expected a list)")
        return []
    return [made for number, rule in enumerate(rules) for made in _rule(rule, f"{path}[{number}]", faults)]


def _rule(rule: Any, path: str, faults: list[str]) -> list[dict[str, Any]]:
    if not isinstance(rule, dict):
        faults.append(f"error with field {path} = '{rule}' (expected an object)")
        return []
    faults += [f"unknown field {path}.{name}" for name in rule if name not in RULE]
    action = rule.get("action")
    if action not in ACTIONS:
        faults.append(f"error with field Action = '{action or ''}' (expected allow, deny, log or pass)")
        return []
    made: dict[str, Any] = {"action": ACTIONS[action]}
    for name in ("ipVersion", "icmp", "notICMP"):
        if rule.get(name) is not None:
            made[name] = rule[name]
    for name in ("protocol", "notProtocol"):
        if rule.get(name) is not None:
            made[name] = _protocol(rule[name], faults)
    for name in ("source", "destination"):
        made[name] = _entity(rule.get(name) or {}, f"{path}.{name}", faults)
    if ("icmp" in made or "notICMP" in made) and "protocol" not in made:
        return [{**made, "protocol": name} for name in ("ICMP", "ICMPv6")]
    return [made]


def _protocol(value: Any, faults: list[str]) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = PROTOCOLS.get(value.lower()) if isinstance(value, str) else None
    if found is None:
        faults.append(f"error with field Protocol = '{value}' (expected {', '.join(PROTOCOLS)} or a number)")
    return found


def _entity(entity: Any, path: str, faults: list[str]) -> dict[str, Any]:
    if not isinstance(entity, dict):
        faults.append(f"error with field {path} = '{entity}' (expected an object)")
        return {}
    faults += [f"unknown field {path}.{name}" for name in entity if name not in ENTITY]
    made: dict[str, Any] = {}
    selector, tag = entity.get("selector"), entity.get("tag")
    if selector or tag:
        made["selector"] = f"({selector}) && {tag} == ''" if selector and tag else selector or f"{tag} == ''"
    not_selector, not_tag = entity.get("notSelector"), entity.get("notTag")
    if not_selector or not_tag:
        # Neither of the two may match, so one of them is enough.
        both = f"({not_selector}) || {not_tag} == ''"
        made["notSelector"] = both if not_selector and not_tag else not_selector or f"{not_tag} == ''"
    faults += [
        f"error with field Tag = '{name}' (not a tag)"
        for name in (tag, not_tag)
        if name and not re.fullmatch(r"[a-zA-Z0-9_.-]{1,128}", str(name))
    ]
    for v1, v3 in (("net", "nets"), ("notNet", "notNets")):
        if entity.get(v1):
            made[v3] = [entity[v1]]
    for name in ("ports", "notPorts"):
        if entity.get(name):
            made[name] = entity[name]
    return made


def to_v1(rules: Sequence[Mapping[str, Any]], tags: Collection[str]) -> list[dict[str, Any]] | None:
    """The rules of v1, None when one of them has no such form."""
    made: list[dict[str, Any]] = []
    for rule in _joined(rules):
        back = _rule_back(rule, tags)
        if back is None:
            return None
        made.append(back)
    return made


def _joined(rules: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The two rules that one ICMP rule without a protocol became are one again."""
    rest = list(rules)
    while rest:
        rule = rest.pop(0)
        if rest and "icmp" in rule and rule.get("protocol") == "ICMP" and rest[0] == {**rule, "protocol": "ICMPv6"}:
            rest.pop(0)
            rule = {name: value for name, value in rule.items() if name != "protocol"}
        yield rule


def _rule_back(rule: Mapping[str, Any], tags: Collection[str]) -> dict[str, Any] | None:
    if not rule.keys() <= RULE:
        return None
    sides = {name: _entity_back(rule.get(name) or {}, tags) for name in ("source", "destination")}
    if None in sides.values():
        return None
    made: dict[str, Any] = {"action": BACK[rule["action"]]}
    for name in ("ipVersion", "protocol", "icmp", "notProtocol", "notICMP"):
        if name in rule:
            made[name] = NAMES.get(rule[name], rule[name]) if isinstance(rule[name], str) else rule[name]
    return {**made, **sides}


def _entity_back(entity: Mapping[str, Any], tags: Collection[str]) -> dict[str, Any] | None:
    if not entity.keys() <= {"selector", "notSelector", "nets", "notNets", "ports", "notPorts"}:
        return None
    made: dict[str, Any] = {}
    if selector := entity.get("selector"):
        both = _BOTH.fullmatch(selector)
        made |= {"selector": both[1], "tag": both[2]} if both else _selector(selector, tags, "tag", "selector")
    if selector := entity.get("notSelector"):
        made |= _selector(selector, tags, "notTag", "notSelector")
    for v1, v3 in (("net", "nets"), ("notNet", "notNets")):
        if len(entity.get(v3) or ()) > 1:
            return None
        if entity.get(v3):
            made[v1] = entity[v3][0]
    for name in ("ports", "notPorts"):
        ports = entity.get(name)
        if ports and not all(isinstance(port, int) or ":" in port for port in ports):
            return None  # a named port
        if ports:
            made[name] = list(ports)
    return made


def _selector(text: str, tags: Collection[str], tag: str, selector: str) -> dict[str, str]:
    if match := _TAG.fullmatch(text):
        return {tag: match[1]}
    match = _HAS.fullmatch(text)
    return {tag: match[1]} if match and match[1] in tags else {selector: text}
