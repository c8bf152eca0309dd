"""What the values of resources must look like: each check yields every fault, with the field's name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING

import msgspec

from tortie.base.errors import Invalid
from tortie.base.numbers import whole
from tortie.model.selector import parse
from tortie.model.selector.nodes import And, Global, Node, Not, Or

if TYPE_CHECKING:
    from tortie.model.rule import Port, Protocol

# Texts, not compiled: a command that only reads never needs them, and `re` remembers those that are used.
SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
LOOSE_NAME = r"[A-Za-z0-9_.-]+"
LABEL_KEY = r"[A-Za-z0-9_./-]{1,512}"
QUALIFIED_KEY = r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
LABEL_VALUE = r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?"
INTERFACE = r"[A-Za-z0-9_.-]{1,15}"
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = r"([0-9]+(?:[.][0-9]*)?|[.][0-9]+)(h|ms|us|µs|ns|m|s)"
MAC = r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}"
PORT_NAME = r"[A-Za-z0-9_.-]{1,128}"

DNS_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
CONTAINER_ID = r"[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?"
PROTOCOLS = ("TCP", "UDP", "ICMP", "ICMPv6", "SCTP", "UDPLite")
SEVERITIES = ("Trace", "Debug", "Info", "Warning", "Error", "Fatal")
MAX_NAME = 253
MAX_SELECTOR = 1024
MAX_ANNOTATIONS = 256 * 1024


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
    if "/" in text and not re.fullmatch("[0-9]{1,3}", text.rpartition("/")[2]):
        yield Problem(field, f"{text!r}: the length is no number")
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


def address(field: str, text: str | None, version: int | None = None) -> Iterator[Problem]:
    """One address without a length; an absent one is no fault."""
    if not text:
        return
    try:
        found = ip_address(text)
    except ValueError as error:
        yield Problem(field, str(error))
        return
    if version is not None and found.version != version:
        yield Problem(field, f"{text} is no IPv{version} address")


def address_and_port(field: str, text: str) -> Iterator[Problem]:
    """An address, or `address:port` with an IPv6 address in brackets."""
    found = re.fullmatch(r"(?:\[(?P<six>[^]]*)\]|(?P<four>[^:]*)):(?P<port>[0-9]{1,5})", text)
    if found is None:
        yield from address(field, text)
        return
    yield from address(field, found["six"], 6) if found["six"] is not None else address(field, found["four"] or "-", 4)
    yield from between(field, int(found["port"]), 1, 65535)


def seconds_of(duration: str) -> float | None:
    """Of a duration as Go's programs write one: `90s`, `1m30s`, `0.5s`, and a bare 0; None for another text."""
    if duration == "0":
        return 0.0
    if not re.fullmatch(f"({_PART})+", duration):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, duration))


def duration(field: str, text: str | None) -> Iterator[Problem]:
    """An empty one is no fault."""
    if text and seconds_of(text) is None:
        yield Problem(field, f"{text!r} is no duration, such as 90s or 1m30s")


def as_number(field: str, value: int | str | None) -> Iterator[Problem]:
    """A number, or two of 16 bits with a dot."""
    if isinstance(value, str):
        parts = value.split(".")
        sound = len(parts) <= 2 and all(part.isascii() and part.isdigit() for part in parts)
        limit = 0xFFFF if len(parts) == 2 else 0xFFFFFFFF
        if not sound or any(len(part) > 10 or int(part) > limit for part in parts):
            yield Problem(field, f"{value!r} is no AS number")
    elif value is not None and not 0 <= value <= 0xFFFFFFFF:
        yield Problem(field, f"{value} is not between 0 and 4294967295")


def community(field: str, text: str) -> Iterator[Problem]:
    """`aa:nn` of 16 bits each, or `aa:nn:mm` of 32 bits each."""
    parts = text.split(":")
    limit = {2: 0xFFFF, 3: 0xFFFFFFFF}.get(len(parts), -1)
    if any(re.fullmatch("[0-9]{1,10}", part) is None or int(part) > limit for part in parts):
        yield Problem(field, f"{text!r} is no community: aa:nn or aa:nn:mm")


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


def selector(field: str, text: str, *, or_global: bool = False) -> Iterator[Problem]:
    """An expression over labels; `or_global`: the namespaceSelector of a rule, where `global()` has a meaning."""
    if len(text) > MAX_SELECTOR:
        yield Problem(field, f"is longer than {MAX_SELECTOR} characters")
        return
    try:
        node = parse(text).node
    except Invalid as error:
        yield Problem(field, str(error))
        return
    if not or_global and _says_global(node):
        yield Problem(field, "global() can only be used in the namespaceSelector of a rule")


def _says_global(node: Node) -> bool:
    if isinstance(node, And | Or):
        return any(_says_global(operand) for operand in node.operands)
    return _says_global(node.operand) if isinstance(node, Not) else isinstance(node, Global)


def one_of(field: str, value: object, choices: tuple[str, ...]) -> Iterator[Problem]:
    """A value that may be absent, or one of the choices."""
    if value is not None and value not in choices:
        yield Problem(field, f"{value!r} is none of {', '.join(choices)}")


def between(field: str, value: float | None, low: int, high: int) -> Iterator[Problem]:
    if value is not None and not low <= value <= high:
        yield Problem(field, f"{value} is not between {low} and {high}")


def annotation_map(field: str, found: Mapping[str, str]) -> Iterator[Problem]:
    for key in found:
        if re.fullmatch(QUALIFIED_KEY, key, re.IGNORECASE) is None:
            yield Problem(f"{field}.{key}", "is no key of an annotation")
    yield from annotation_size(field, found)


def annotation_size(field: str, found: Mapping[str, str]) -> Iterator[Problem]:
    if sum(len(key.encode()) + len(value.encode()) for key, value in found.items()) > MAX_ANNOTATIONS:
        yield Problem(field, f"holds more than {MAX_ANNOTATIONS} bytes")


def port(field: str, value: Port, *, named: bool = True) -> Iterator[Problem]:
    """A number, a range `a:b`, or a name."""
    if isinstance(value, int):
        if not 1 <= value <= 65535:
            yield Problem(field, f"port {value} is not between 1 and 65535")
        return
    low, colon, high = value.partition(":")
    if colon and low.isascii() and low.isdigit() and high.isascii() and high.isdigit():
        first, last = whole(low, 65535), whole(high, 65535)
        if not first or not last:
            yield Problem(field, f"port range {value} is not between 1 and 65535")
        elif first > last:
            yield Problem(field, f"port range {value}: the first is greater than the last")
    elif not named or re.fullmatch(PORT_NAME, value) is None:
        yield Problem(field, f"{value!r} is neither port, range nor name of a port")


def protocol(field: str, value: Protocol | None) -> Iterator[Problem]:
    if isinstance(value, int) and not 1 <= value <= 255:
        yield Problem(field, f"protocol {value} is not between 1 and 255")
    elif isinstance(value, str) and value not in PROTOCOLS:
        yield Problem(field, f"protocol {value!r} is none of {', '.join(PROTOCOLS)}")
