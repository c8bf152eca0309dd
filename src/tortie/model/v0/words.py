"""A rule as the words of the 0.19 command line, both ways.

    (allow|deny) [(tcp|udp)     [from [ports P] [tag T] [cidr C]] [to [ports P] [tag T] [cidr C]]]
                 [(icmp|icmpv6) [type N [code N]] [from [tag T] [cidr C]] [to [tag T] [cidr C]]]
                 [from [tag T] [cidr C]] [to [tag T] [cidr C]]

The order is fixed. Only `rule_text` knows more words than the grammar: what another program wrote is shown, not hidden.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

from tortie.base.errors import Invalid
from tortie.model.rule import Rule
from tortie.model.v0.wire import WireRule, from_wire, port_problem, to_wire

NAME = re.compile(r"[A-Za-z0-9_.-]+")
BAD_TAG = "Tags names can only contain numbers, letters, dots, dashes and underscores."
BAD_CIDR = "Invalid CIDR specified."
BAD_ICMP = "Invalid ICMP type or ICMP code specified."
BAD_PORTS = "Invalid SRCPORTS or DSTPORTS specified."
BAD_VERSIONS = "Invalid or unmatching IP versions for SRCCIDR/DSTCIDR."

_FAMILY = {"icmp": 4, "icmpv6": 6}


class NotARule(Invalid):
    """The words do not follow the grammar: show how it goes."""


def rule_of_words(words: Sequence[str]) -> Rule:
    """Raises NotARule when the words do not fit the grammar, Invalid with every problem when a value is wrong."""
    wire = _Reader(words).rule()
    problems = _problems(wire)
    if problems:
        raise Invalid(*problems)
    for key in ("src_ports", "dst_ports"):
        if key in wire:
            wire[key] = _ports(wire[key])
    return from_wire(wire)


def rule_text(rule: Rule) -> str:
    """The rule as the grammar writes it."""
    try:
        wire = to_wire(rule)
    except Invalid as error:
        return f"{rule.action.lower()} ({error})"
    words: list[str] = [wire["action"]]
    words += _named(wire, ("ip_version",))
    words += [str(wire[key]) if key == "protocol" else f"{key} {wire[key]}" for key in _PROTOCOL if key in wire]
    words += _named(wire, ("icmp_type", "icmp_code", "!icmp_type", "!icmp_code"))
    for word, name in (("from", "src_"), ("to", "dst_")):
        side = [text for mark in ("", "!") for text in _named(wire, tuple(f"{mark}{name}{f}" for f in _FIELDS))]
        words += [word, *side] if side else []
    return " ".join(words)


_PROTOCOL = ("protocol", "!protocol")
_FIELDS = ("ports", "tag", "selector", "net", "nets")
_WORD = {"ports": "ports", "tag": "tag", "selector": "selector", "net": "cidr", "nets": "cidr"}


def _named(wire: WireRule, keys: Sequence[str]) -> list[str]:
    """`word value` for each of the keys that the rule has."""
    found = []
    for key in keys:
        if key not in wire:
            continue
        field = key.rpartition("_")[2]
        mark = "!" if key.startswith("!") else ""
        value = wire[key]
        text = ",".join(str(item) for item in value) if isinstance(value, list) else str(value)
        word = _WORD.get(field, key.lstrip("!") if key == "ip_version" else field)
        found.append(f'{mark}{word} "{text}"' if field == "selector" else f"{mark}{word} {text}")
    return found


class _Reader:
    """Reads the words from left to right into the flat form; values stay texts, unchecked."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = list(words)

    def rule(self) -> WireRule:
        wire: WireRule = {}
        wire["action"] = self._one_of("allow", "deny")
        if wire["action"] is None:
            raise NotARule("a rule begins with allow or deny")
        protocol = self._one_of("tcp", "udp", "icmp", "icmpv6")
        if protocol:
            wire["protocol"] = protocol
        if protocol in _FAMILY and self._one_of("type"):
            wire["icmp_type"] = self._value("type")
            if self._one_of("code"):
                wire["icmp_code"] = self._value("code")
        with_ports = protocol in ("tcp", "udp")
        for word, name in (("from", "src_"), ("to", "dst_")):
            if self._one_of(word):
                self._side(wire, word, name, with_ports)
        if self._words:
            raise NotARule(f"not expected here: {self._words[0]}")
        return wire

    def _side(self, wire: WireRule, word: str, name: str, with_ports: bool) -> None:
        before = len(wire)
        for field, key in (("ports", "ports"), ("tag", "tag"), ("cidr", "net")):
            if (field != "ports" or with_ports) and self._one_of(field):
                wire[name + key] = self._value(field)
        if len(wire) == before:
            # The original took a bare "from" as no restriction at all; that would open what was meant to be narrow.
            raise NotARule(f"nothing follows {word}")

    def _one_of(self, *keywords: str) -> str | None:
        return self._words.pop(0) if self._words and self._words[0] in keywords else None

    def _value(self, word: str) -> str:
        if not self._words:
            raise NotARule(f"nothing follows {word}")
        return self._words.pop(0)


def _problems(wire: WireRule) -> list[str]:
    """Every wrong value, in the words of the original; numbers are put in place of their texts."""
    found = []
    if any(NAME.fullmatch(wire[key]) is None for key in ("src_tag", "dst_tag") if key in wire):
        found.append(BAD_TAG)
    families = {_family(wire[key]) for key in ("src_net", "dst_net") if key in wire}
    if 0 in families:
        found.append(BAD_CIDR)
    elif len(families | ({_FAMILY[wire["protocol"]]} if families and wire.get("protocol") in _FAMILY else set())) > 1:
        found.append(BAD_VERSIONS)
    for key in ("icmp_type", "icmp_code"):
        if key in wire:
            wire[key] = _number(wire[key])
            if not 0 <= wire[key] < 255 and BAD_ICMP not in found:
                found.append(BAD_ICMP)
    reasons = [why for key in ("src_ports", "dst_ports") if key in wire for why in _port_problems(wire[key])]
    return found + ([BAD_PORTS, *reasons] if reasons else [])


def _family(cidr: str) -> int:
    """4 or 6; 0 for what is no CIDR."""
    try:
        return ip_network(cidr, strict=False).version
    except ValueError:
        return 0


def _number(text: str) -> int:
    """-1 for what is no number."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else -1


def _ports(text: str) -> list[Any]:
    """Numbers, and ranges as `min:max`; what is neither stays as it is."""
    found: list[Any] = []
    for part in text.split(","):
        number = _number(part)
        found.append(number if number >= 0 else part.replace("-", ":", 1))
    return found


def _port_problems(text: str) -> list[str]:
    return [why for port in _ports(text) if (why := port_problem(port))]
