"""One request of net-modules, checked in the order and the words of the original plug-in. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import Any, TypeAlias

import msgspec

from tortie.base.errors import Invalid
from tortie.model.codec import UNREADABLE
from tortie.plugins.labels import label_key, label_value, task_notes
from tortie.plugins.profile import check_network_name

ADDRESSES_LABEL = "ipv4_addrs"
"""The label by which a task named its addresses before frameworks could: the text of a list."""
MOST_ADDRESSES = 256
_HOSTNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,243}")
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_QUOTED = r"""[uU]?(?:'[^'"\\\[\]]*'|"[^'"\\\[\]]*")"""
_LIST = re.compile(rf"\s*\[\s*(?:{_QUOTED}\s*(?:,\s*{_QUOTED}\s*)*,?)?\s*\]\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolate:
    """`groups` as they were given, `labels` and `notes` as an endpoint has them."""

    hostname: str
    container: str
    pid: int
    addresses: Sequence[str]
    groups: Sequence[str]
    labels: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleanup:
    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocate:
    """`counts`: how many of each family, beside the addresses that are `named`."""

    uid: str
    counts: Mapping[int, int]
    named: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    uid: str
    addresses: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """By `uid`, or these `addresses`."""

    uid: str = ""
    addresses: Sequence[str] = ()


Asking: TypeAlias = Isolate | Cleanup | Allocate | Reserve | Release


def read_asking(stdin: bytes) -> Asking:
    """Invalid says what is missing or wrong."""
    try:
        request = msgspec.json.decode(stdin)
    except UNREADABLE as error:
        raise Invalid(f"the request on standard input is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise Invalid("the request on standard input is not an object")
    command, args = request.get("command"), request.get("args")
    if not command:
        raise Invalid("Missing command")
    if args is None:
        raise Invalid("Missing args")
    if not isinstance(args, dict):
        raise Invalid("args: an object is needed")
    read = _READERS.get(command) if isinstance(command, str) else None
    if read is None:
        raise Invalid(f"Unknown command: {command}")
    return read(args)


def _isolate(args: Mapping[str, Any]) -> Isolate:
    container, hostname = _container(args), _hostname(args)
    pid = args.get("pid")
    if not pid:
        raise Invalid("Missing pid")
    if not isinstance(pid, int) or isinstance(pid, bool) or pid < 0:
        raise Invalid("pid must be an integer")
    addresses = _addresses(args)
    if not addresses:
        raise Invalid("Must provide at least one IPv4 or IPv6 address.")
    labels = _labels(args)
    return Isolate(
        hostname=hostname,
        container=container,
        pid=pid,
        addresses=addresses,
        groups=_groups(args),
        labels={label_key(key): label_value(value) for key, value in labels.items() if key != ADDRESSES_LABEL},
        notes=task_notes(args),
    )


def _cleanup(args: Mapping[str, Any]) -> Cleanup:
    return Cleanup(container=_container(args))


def _allocate(args: Mapping[str, Any]) -> Allocate:
    _hostname(args)
    uid = _text(args, "uid")
    counts = {4: _count(args, "num_ipv4"), 6: _count(args, "num_ipv6")}
    _groups(args)
    named = named_addresses(_labels(args).get(ADDRESSES_LABEL, ""))
    if not any(counts.values()) and not named:
        raise Invalid("Must provide at least one IPv4 or IPv6 address.")
    return Allocate(uid=uid, counts={**counts, 4: max(counts[4] - len(named), 0)}, named=named)


def _reserve(args: Mapping[str, Any]) -> Reserve:
    _hostname(args)
    uid, addresses = _text(args, "uid"), _addresses(args)
    _groups(args)
    if not addresses:
        raise Invalid("Must provide at least one IPv4 or IPv6 address.")
    return Reserve(uid=uid, addresses=addresses)


def _release(args: Mapping[str, Any]) -> Release:
    uid, ips = args.get("uid"), args.get("ips")
    if uid and ips:
        raise Invalid("Supply either uid or ips, not both.")
    if not uid and not ips:
        raise Invalid("Must supply either uid or ips.")
    return Release(uid=_text(args, "uid")) if uid else Release(addresses=_parsed(ips, "ips"))


_READERS: Mapping[str, Callable[[Mapping[str, Any]], Asking]] = {
    "isolate": _isolate,
    "cleanup": _cleanup,
    "allocate": _allocate,
    "reserve": _reserve,
    "release": _release,
}


def named_addresses(text: str) -> Sequence[str]:
    """The addresses in the text of a list, as JSON or Python writes one. It is read, never evaluated."""
    if not text.strip():
        return ()
    if not _LIST.fullmatch(text):
        raise Invalid(f"label {ADDRESSES_LABEL}: a list of addresses in quotes is needed, not {text[:80]!r}")
    return _of_family(_parsed([quoted[1] or quoted[2] for quoted in _quoted(text)], ADDRESSES_LABEL), 4)


def _quoted(text: str) -> list[tuple[str, ...]]:
    return re.findall(r"""([uU]?)(?:'([^']*)'|"([^"]*)")""", text)


def _text(args: Mapping[str, Any], name: str) -> str:
    found = args.get(name)
    if not found:
        raise Invalid(f"Missing {name}")
    if not isinstance(found, str) or "/" in found or not found.isprintable() or len(found) > 200:
        raise Invalid(f"{name}: a text without slashes of at most 200 characters is needed, not {found!r:.80}")
    return found


def _container(args: Mapping[str, Any]) -> str:
    found = _text(args, "container_id")
    if not _CONTAINER.fullmatch(found):
        raise Invalid(f"container_id {found!r}: letters, digits, '.', '_' and '-' are needed, the first no sign")
    return found


def _hostname(args: Mapping[str, Any]) -> str:
    found = _text(args, "hostname")
    if not _HOSTNAME.fullmatch(found):
        raise Invalid(f"hostname {found!r}: the name of a profile is made of it: letters, digits, '.', '_' and '-'")
    return found


def _count(args: Mapping[str, Any], name: str) -> int:
    found = args.get(name)
    if found is None:
        raise Invalid(f"Missing {name}")
    if not isinstance(found, int) or isinstance(found, bool):
        raise Invalid(f"{name} must be an integer")
    if not 0 <= found <= MOST_ADDRESSES:
        raise Invalid(f"{name}: {found} is not from 0 to {MOST_ADDRESSES}")
    return found


def _groups(args: Mapping[str, Any]) -> Sequence[str]:
    found = args.get("netgroups")
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(group, str) for group in found):
        raise Invalid("Must provide list of netgroups.")
    for group in found:
        check_network_name(group, "netgroup")
    return found


def _labels(args: Mapping[str, Any]) -> Mapping[str, str]:
    """Documented as an object, sent as a list of keys and values."""
    found = args.get("labels")
    if found is None:
        return {}
    pairs = found
    if isinstance(found, dict):
        pairs = [{"key": key, "value": value} for key, value in found.items()]
    if not isinstance(pairs, list) or not all(isinstance(pair, dict) for pair in pairs):
        raise Invalid("labels: an object, or a list of keys and values, is needed")
    labels = {}
    for pair in pairs:
        key, value = pair.get("key"), pair.get("value") or ""
        if not key or not isinstance(key, str) or not isinstance(value, str):
            raise Invalid(f"labels: a label has a key and a value that are texts, not {key!r:.80} and {value!r:.80}")
        labels[key] = value
    return labels


def _addresses(args: Mapping[str, Any]) -> Sequence[str]:
    four = _of_family(_parsed(args.get("ipv4_addrs"), "ipv4_addrs"), 4)
    return [*four, *_of_family(_parsed(args.get("ipv6_addrs"), "ipv6_addrs"), 6)]


def _parsed(given: Any, name: str) -> Sequence[str]:
    if given is None:
        return ()
    if not isinstance(given, list):
        raise Invalid(f"{name}: a list of addresses is needed")
    if len(given) > MOST_ADDRESSES:
        raise Invalid(f"{name}: more than {MOST_ADDRESSES} addresses")
    found = []
    for text in given:
        try:
            address = ip_address(text) if isinstance(text, str) else None
        except ValueError:
            address = None
        if address is None or (isinstance(address, IPv6Address) and address.scope_id):
            raise Invalid(f"IP address could not be parsed: {text!s:.80}")
        found.append(str(address))
    return list(dict.fromkeys(found))


def _of_family(addresses: Sequence[str], version: int) -> Sequence[str]:
    other = 10 - version
    if any(ip_address(address).version == other for address in addresses):
        raise Invalid(f"IPv{other} address must not be placed in IPv{version} address field.")
    return addresses
