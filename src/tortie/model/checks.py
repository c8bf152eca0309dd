"""What the values of resources must look like: each check yields every fault, with the field's name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Interface, IPv6Interface, ip_interface, ip_network
from typing import TYPE_CHECKING

import msgspec

from tortie.base.errors import Invalid
from tortie.model.selector import parse

if TYPE_CHECKING:
    from tortie.model.rule import EntityRule, Icmp, Port, Protocol, Rule

# Texts, not compiled: a command that only reads never needs them, and `re` remembers those that are used.
SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
LOOSE_NAME = r"[A-Za-z0-9_.-]+"
LABEL_KEY = r"[A-Za-z0-9_./-]{1,512}"
QUALIFIED_KEY = r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
LABEL_VALUE = r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?"
INTERFACE = r"[A-Za-z0-9_.-]{1,15}"
MAC = r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}"
PORT_NAME = r"[A-Za-z0-9_.-]{1,128}"

PROTOCOLS = ("TCP", "UDP", "ICMP", "ICMPv6", "SCTP", "UDPLite")
WITH_PORTS = ("TCP", "UDP", "SCTP", 6, 17, 132)
MAX_NAME = 253
MAX_SELECTOR = 1024
MAX_RULES, MAX_NETS, MAX_PORTS = 1024, 256, 50


class Problem(msgspec.Struct, frozen=True):
    """One fault of a resource: the field's path and what is wrong with it."""

    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


def name(field: str, value: str, pattern: str = SUBDOMAIN) -> Iterator[Problem]:
    if len(value) > MAX_NAME or re.fullmatch(pattern, value) is None:
        kind = (
            "lower-case letters, digits, '-' and '.'" if pattern == SUBDOMAIN else "letters, digits, '_', '.' and '-'"
        )
        yield Problem(field, f"{value!r} is no name: up to {MAX_NAME} {kind}")


def labels(field: str, found: Mapping[str, str]) -> Iterator[Problem]:
    """Labels that a person gives a resource."""
    for key, value in found.items():
        if re.fullmatch(QUALIFIED_KEY, key) is None:
            yield Problem(f"{field}.{key}", "is no label key")
        if re.fullmatch(LABEL_VALUE, value) is None:
            yield Problem(f"{field}.{key}", f"{value!r} is no label value")


def cidr(field: str, text: str, *, plain: bool = False) -> Iterator[Problem]:
    """A network with its length and without host bits; `plain`: an address alone will do."""
    if "/" not in text and not plain:
        yield Problem(field, f"{text!r} has no /length")
        return
    try:
        ip_network(text)
    except ValueError as error:
        yield Problem(field, str(error))


def interface_address(field: str, text: str | None, version: int) -> Iterator[Problem]:
    """An address, with or without the length of its subnet."""
    if text is None:
        return
    try:
        found: IPv4Interface | IPv6Interface = ip_interface(text)
    except ValueError as error:
        yield Problem(field, str(error))
        return
    if found.version != version:
        yield Problem(field, f"{text} is no IPv{version} address")


def host_address(field: str, text: str) -> Iterator[Problem]:
    """One address: plain, or with /32 or /128."""
    try:
        network = ip_network(text)
    except ValueError as error:
        yield Problem(field, str(error))
        return
    if network.num_addresses != 1:
        yield Problem(field, f"{text} is more than one address")


def as_number(field: str, value: int | None) -> Iterator[Problem]:
    if value is not None and not 0 <= value <= 0xFFFFFFFF:
        yield Problem(field, f"{value} is not between 0 and 4294967295")


def interface(field: str, text: str) -> Iterator[Problem]:
    if re.fullmatch(INTERFACE, text) is None:
        yield Problem(field, f"{text!r} is no interface name: up to 15 letters, digits, '_', '.' and '-'")


def mac(field: str, text: str) -> Iterator[Problem]:
    if re.fullmatch(MAC, text) is None:
        yield Problem(field, f"{text!r} is no MAC address")


def inherited_label(field: str, key: str, value: str) -> Iterator[Problem]:
    if re.fullmatch(LABEL_KEY, key) is None:
        yield Problem(f"{field}.{key}", "is no label key")
    if re.fullmatch(LABEL_VALUE, value) is None:
        yield Problem(f"{field}.{key}", f"{value!r} is no label value")


def selector(field: str, text: str) -> Iterator[Problem]:
    if len(text) > MAX_SELECTOR:
        yield Problem(field, f"is longer than {MAX_SELECTOR} characters")
        return
    try:
        parse(text)
    except Invalid as error:
        yield Problem(field, str(error))


def port(field: str, value: Port, *, named: bool = True) -> Iterator[Problem]:
    """A number, a range `a:b`, or a name."""
    if isinstance(value, int):
        if not 0 <= value <= 65535:
            yield Problem(field, f"port {value} is not between 0 and 65535")
        return
    low, colon, high = value.partition(":")
    if colon and low.isascii() and low.isdigit() and high.isascii() and high.isdigit():
        if int(low) > int(high):
            yield Problem(field, f"port range {value}: the first is greater than the last")
        elif int(high) > 65535:
            yield Problem(field, f"port range {value} is not between 0 and 65535")
    elif not named or re.fullmatch(PORT_NAME, value) is None:
        yield Problem(field, f"{value!r} is neither port, range nor name of a port")


def protocol(field: str, value: Protocol | None) -> Iterator[Problem]:
    if isinstance(value, int) and not 1 <= value <= 255:
        yield Problem(field, f"protocol {value} is not between 1 and 255")
    elif isinstance(value, str) and value not in PROTOCOLS:
        yield Problem(field, f"protocol {value!r} is none of {', '.join(PROTOCOLS)}")


def rules(field: str, found: tuple[Rule, ...]) -> Iterator[Problem]:
    if len(found) > MAX_RULES:
        yield Problem(field, f"has more than {MAX_RULES} rules")
    for number, item in enumerate(found):
        yield from rule(f"{field}[{number}]", item)


def rule(field: str, found: Rule) -> Iterator[Problem]:
    yield from protocol(f"{field}.protocol", found.protocol)
    yield from protocol(f"{field}.notProtocol", found.not_protocol)
    for end, icmp in (("icmp", found.icmp), ("notICMP", found.not_icmp)):
        if icmp is not None:
            yield from _icmp(f"{field}.{end}", icmp, found.protocol)
    for end, side in (("source", found.source), ("destination", found.destination)):
        yield from _entity(f"{field}.{end}", side, found.protocol)
    nets = (
        *found.source.nets,
        *found.source.not_nets,
        *found.destination.nets,
        *found.destination.not_nets,
    )
    families = set(_families(nets)) | ({found.ip_version} if found.ip_version else set())
    if len(families) > 1:
        yield Problem(field, "mixes IPv4 and IPv6")


def _entity(field: str, side: EntityRule, over: Protocol | None) -> Iterator[Problem]:
    for end, nets in (("nets", side.nets), ("notNets", side.not_nets)):
        if len(nets) > MAX_NETS:
            yield Problem(f"{field}.{end}", f"has more than {MAX_NETS} networks")
        for net in nets:
            yield from cidr(f"{field}.{end}", net)
    for end, text in (
        ("selector", side.selector),
        ("notSelector", side.not_selector),
        ("namespaceSelector", side.namespace_selector),
    ):
        yield from selector(f"{field}.{end}", text)
    for end, ports in (("ports", side.ports), ("notPorts", side.not_ports)):
        if len(ports) > MAX_PORTS:
            yield Problem(f"{field}.{end}", f"has more than {MAX_PORTS} ports")
        for item in ports:
            yield from port(f"{field}.{end}", item)
        if over not in WITH_PORTS and any(not _named(item) for item in ports):
            yield Problem(f"{field}.{end}", "numeric ports need protocol TCP, UDP or SCTP")


def _icmp(field: str, icmp: Icmp, over: Protocol | None) -> Iterator[Problem]:
    if over not in ("ICMP", "ICMPv6", 1, 58):
        yield Problem(field, "needs protocol ICMP or ICMPv6")
    if icmp.type is not None and not 0 <= icmp.type <= 254:
        yield Problem(f"{field}.type", f"{icmp.type} is not between 0 and 254")
    if icmp.code is not None and icmp.type is None:
        yield Problem(f"{field}.code", "needs a type")
    if icmp.code is not None and not 0 <= icmp.code <= 255:
        yield Problem(f"{field}.code", f"{icmp.code} is not between 0 and 255")


def _named(value: Port) -> bool:
    return isinstance(value, str) and ":" not in value


def _families(nets: Iterable[str]) -> Iterator[int]:
    """IP versions of the networks that parse."""
    for net in nets:
        try:
            yield ip_network(net, strict=False).version
        except ValueError:
            continue
