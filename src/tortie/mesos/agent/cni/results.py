"""What a plug-in answered, in any version of the result. Values only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import Any

import msgspec

from tortie.base.errors import Invalid
from tortie.wire import mesos as wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Dns:
    nameservers: Sequence[str] = ()
    domain: str = ""
    search: Sequence[str] = ()
    options: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """`addresses`: without prefix lengths, IPv4 first."""

    addresses: Sequence[str] = ()
    dns: Dns = Dns()


def parse(data: bytes) -> Result:
    """Invalid says what cannot be read."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"it is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise Invalid("a JSON object is needed")
    found = list(dict.fromkeys(_address(text) for text in _addresses(document)))
    return Result(addresses=sorted(found, key=lambda address: ":" in address), dns=_dns(document.get("dns")))


def _addresses(document: dict[str, Any]) -> Iterator[Any]:
    """0.1 and 0.2 have one of each family, all later versions a list."""
    for key in ("ip4", "ip6"):
        if document.get(key) is not None:
            yield _part(document[key], "ip", key)
    listed = document.get("ips")
    if listed is not None and not isinstance(listed, list):
        raise Invalid("'ips' is not a list")
    for entry in listed or []:
        yield _part(entry, "address", "ips")


def _part(entry: Any, key: str, where: str) -> Any:
    if not isinstance(entry, dict) or key not in entry:
        raise Invalid(f"'{where}' has no '{key}'")
    return entry[key]


def _address(text: Any) -> str:
    if not isinstance(text, str):
        raise Invalid(f"{text!r} is no address")
    try:
        return str(ip_interface(text).ip)
    except ValueError as error:
        raise Invalid(f"'{text}' is no address") from error


def _dns(given: Any) -> Dns:
    if not isinstance(given, dict):
        return Dns()
    domain = given.get("domain")
    return Dns(
        nameservers=_words(given, "nameservers"),
        domain=domain if isinstance(domain, str) and _is_word(domain) else "",
        search=_words(given, "search"),
        options=_words(given, "options"),
    )


def _words(given: dict[str, Any], key: str) -> Sequence[str]:
    """A line of resolv.conf holds them, so one that would begin another line is none."""
    listed = given.get(key)
    return [word for word in listed if isinstance(word, str) and _is_word(word)] if isinstance(listed, list) else []


def _is_word(text: str) -> bool:
    return bool(text) and not any(c.isspace() or c == "\0" for c in text)


def shown(asked: wire.NetworkInfo, result: Result) -> wire.NetworkInfo:
    """As statuses show the network: all as it was asked for, but the addresses."""
    addresses = [wire.IPAddress(protocol="IPv6" if ":" in a else "IPv4", ip_address=a) for a in result.addresses]
    return msgspec.structs.replace(asked, ip_addresses=addresses)
