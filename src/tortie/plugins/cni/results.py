"""A successful answer in the shape of each version of the protocol. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_interface
from typing import Any

import msgspec

from tortie.plugins.cni.call import VERSIONS
from tortie.plugins.cni.failures import NOT_DECODED, CniError

FLAT = ("0.1.0", "0.2.0")
"""One address per family, no interfaces: all that Mesos understands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """`sandbox`: the runtime's own words for the container's network namespace; empty on the host."""

    name: str
    mac: str = ""
    sandbox: str = ""
    mtu: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """`addresses` with their masks; `interface`: the index in `interfaces` that they are on, None for IPAM alone."""

    addresses: Sequence[str]
    interfaces: Sequence[Interface] = ()
    interface: int | None = None
    dns: Mapping[str, Any] = field(default_factory=dict)


def shaped(result: Result, version: str) -> dict[str, Any]:
    """The answer as this version has it."""
    if version in FLAT:
        return {"cniVersion": version, **_flat(result), "dns": dict(result.dns)}
    shown: dict[str, Any] = {"cniVersion": version}
    if result.interfaces:
        shown["interfaces"] = [_interface(interface, version) for interface in result.interfaces]
    shown["ips"] = [_address(address, result.interface, version) for address in result.addresses]
    return {**shown, "dns": dict(result.dns)}


def chained(mine: Mapping[str, Any], previous: Mapping[str, Any] | None, version: str) -> dict[str, Any]:
    """Behind another plug-in of a list: what that one made comes first, what we made is added."""
    if previous is None:
        return dict(mine)
    if version in FLAT:
        raise CniError(NOT_DECODED, "prevResult", f"version {version} knows no lists of plug-ins")
    before = previous.get("interfaces") or []
    ips = [
        {**ip, "interface": ip["interface"] + len(before)} if "interface" in ip else ip for ip in mine.get("ips", [])
    ]
    return {
        **previous,
        "cniVersion": version,
        "interfaces": [*before, *mine.get("interfaces", [])],
        "ips": [*(previous.get("ips") or []), *ips],
    }


def encoded(shown: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(shown)


def addresses_of(raw: Mapping[str, Any]) -> list[str]:
    """The addresses with masks that another plug-in's answer gives, whichever version it is of."""
    found = [raw[family].get("ip") for family in ("ip4", "ip6") if isinstance(raw.get(family), dict)]
    ips = raw.get("ips") or []
    found += [ip.get("address") for ip in ips if isinstance(ip, dict)] if isinstance(ips, list) else []
    try:
        return [str(ip_interface(text)) for text in found]
    except (ValueError, TypeError) as error:
        raise CniError(NOT_DECODED, "the IPAM plug-in answered an address that makes no sense", str(error)) from error


def _flat(result: Result) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for address in result.addresses:
        shown.setdefault("ip6" if ":" in address else "ip4", {"ip": address})
    return shown


def _interface(interface: Interface, version: str) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": interface.name}
    if interface.mac:
        shown["mac"] = interface.mac
    if interface.mtu and version == VERSIONS[-1]:
        shown["mtu"] = interface.mtu
    if interface.sandbox:
        shown["sandbox"] = interface.sandbox
    return shown


def _address(address: str, interface: int | None, version: str) -> dict[str, Any]:
    shown: dict[str, Any] = {"address": address}
    if VERSIONS.index(version) < VERSIONS.index("1.0.0"):
        shown = {"version": "6" if ":" in address else "4", **shown}
    if interface is not None:
        shown["interface"] = interface
    return shown
