"""The tunnels that there may be between hosts, the interfaces that they go by, how much fits into a packet. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Interface, ip_interface
from typing import Literal

from tortie.base.errors import Invalid

VXLAN, VXLAN6, IPIP = "vxlan.calico", "vxlan-v6.calico", "tunl0"
VXLAN_ID, VXLAN_PORT = 4096, 4789
ETHERNET_MTU = 1500

Version = Literal[4, 6]
Encapsulation = Literal["", "vxlan", "ipip"]
Tunnel = Literal["vxlan", "vxlan-v6", "ipip"]
LEAST: Mapping[Version, int] = {4: 68, 6: 1280}
"""An interface that takes less has no address of that family."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a tunnel is: its interface's name and kind, the family of the hosts and of what it carries, the bytes that
    it puts around a packet, the setting that says how large its packets are."""

    device: str
    kind: Literal["vxlan", "ipip"]
    version: Version
    overhead: int
    setting: str


TUNNELS: Mapping[Tunnel, Shape] = {
    "vxlan": Shape(VXLAN, "vxlan", 4, 50, "vxlanMTU"),
    "vxlan-v6": Shape(VXLAN6, "vxlan", 6, 70, "vxlanMTUV6"),
    "ipip": Shape(IPIP, "ipip", 4, 20, "ipipMTU"),
}
KINDS: Mapping[str, Literal["vxlan", "ipip"]] = {shape.device: shape.kind for shape in TUNNELS.values()}
"""Every tunnel's interface, and its kind."""


def tunnel_of(encapsulation: Encapsulation, version: int) -> Tunnel | None:
    """The tunnel by which packets of a family travel; IPIP has room for IPv4 only."""
    return next((n for n, shape in TUNNELS.items() if (shape.kind, shape.version) == (encapsulation, version)), None)


def tunnel_mac(node: str, version: Version = 4) -> str:
    """The MAC of a node's VXLAN interface when its Node names none."""
    name = node if version == 4 else f"{node}-v6"
    return ":".join(f"{byte:02x}" for byte in b"\x66" + hashlib.sha1(name.encode(), usedforsecurity=False).digest()[:5])


@dataclass(frozen=True, slots=True)
class TunnelSettings:
    """What settings say of tunnels. `sizes`: the MTU of each, 0 or absent: what fits; `pattern`: the interfaces whose
    MTU counts, empty: the one with this host's address. `problems`: what was set and cannot be."""

    sizes: Mapping[Tunnel, int] = field(default_factory=dict)
    pattern: str = ""
    vni: int = VXLAN_ID
    port: int = VXLAN_PORT
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """An interface of this host, with its addresses without masks."""

    addresses: Collection[str] = ()
    mtu: int = ETHERNET_MTU
    up: bool = True


@dataclass(frozen=True, slots=True)
class Uplink:
    """This host's address with the subnet's mask, the interface that has it (None: none), its MTU."""

    address: str
    device: str | None
    mtu: int = ETHERNET_MTU


@dataclass(frozen=True, slots=True)
class Device:
    """A tunnel's interface on this host; `address` is its own one, `parent` and `local` are the uplink's."""

    name: str
    kind: Literal["vxlan", "ipip"]
    address: str
    local: str
    parent: str
    mtu: int
    mac: str = ""
    vni: int = VXLAN_ID
    port: int = VXLAN_PORT

    @property
    def version(self) -> Version:
        return 6 if ":" in self.local else 4


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The far end of a VXLAN tunnel: its MAC, and the host behind it."""

    mac: str
    host: str


def parse_six(text: str) -> IPv6Interface:
    """An IPv6 address by which other hosts reach this one, with a mask or without. Raises Invalid."""
    try:
        found = IPv6Interface(text)
    except ValueError:
        raise Invalid(f"{text[:60]!r} is not an IPv6 address") from None
    address = found.ip
    if address.is_link_local or found.scope_id:
        raise Invalid(f"{text} is an address of one link only: other hosts need a global or a unique local one")
    if address.is_multicast or address.is_loopback or address.is_unspecified or address.ipv4_mapped:
        raise Invalid(f"{text} is not an address of one host")
    return found


def parse_pattern(text: str) -> re.Pattern[str] | None:
    """Of interfaces' names, None for an empty one. Raises Invalid."""
    try:
        return re.compile(text) if text else None
    except (re.error, RecursionError, OverflowError) as error:
        raise Invalid(f"mtuIfacePattern {text!r}: {error}") from error


def uplink_of(address: str, links: Mapping[str, Link]) -> Uplink:
    """The interface that has the address, which carries its subnet's mask."""
    own = str(ip_interface(address).ip)
    for name, link in links.items():
        if own in link.addresses:
            return Uplink(address, name, link.mtu)
    return Uplink(address, None)


@dataclass(frozen=True, slots=True)
class Room:
    """How large packets between hosts may be: by family without a tunnel, in each tunnel that can be. `refused`: why
    another tunnel cannot be; `problems`: settings that were not followed."""

    hosts: Mapping[Version, int] = field(default_factory=dict)
    tunnels: Mapping[Tunnel, int] = field(default_factory=dict)
    refused: Mapping[Tunnel, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def measure(
    uplinks: Mapping[Version, Uplink], links: Mapping[str, Link], settings: TunnelSettings, used: Collection[Tunnel]
) -> Room:
    """The room for packets on the uplinks, or where the settings' pattern says; of the tunnels in use only."""
    problems = list(settings.problems)
    counted = _counted(links, settings.pattern, problems)
    least = min(counted.values(), default=None)
    hosts: dict[Version, int] = {v: uplink.mtu if least is None else least for v, uplink in uplinks.items()}
    tunnels: dict[Tunnel, int] = {}
    refused: dict[Tunnel, str] = {}
    for tunnel in sorted(used):
        shape = TUNNELS[tunnel]
        if shape.version not in hosts:
            continue
        fits = hosts[shape.version] - shape.overhead
        if fits < LEAST[shape.version]:
            refused[tunnel] = (
                f"{shape.device} would take {fits} bytes of the {hosts[shape.version]} that this host's interface"
                f" takes: IPv{shape.version} needs {LEAST[shape.version]}"
            )
            continue
        asked = settings.sizes.get(tunnel) or fits
        problems += _faults(shape, asked, fits)
        tunnels[tunnel] = asked if LEAST[shape.version] <= asked <= fits else fits
    return Room(hosts, tunnels, refused, tuple(problems))


def _counted(links: Mapping[str, Link], pattern: str, problems: list[str]) -> dict[str, int]:
    """The interfaces whose MTU counts instead of the uplinks' own."""
    try:
        compiled = parse_pattern(pattern)
    except Invalid as error:
        problems.append(str(error))
        return {}
    if compiled is None:
        return {}
    found = {name: link.mtu for name, link in links.items() if link.up and compiled.search(name)}
    if links and not found:
        problems.append(f"mtuIfacePattern {pattern!r}: no interface that is up has such a name")
    return found


def _faults(shape: Shape, asked: int, fits: int) -> Iterator[str]:
    if asked > fits:
        yield f"{shape.setting} {asked} is more than fits with {shape.overhead} bytes around it: it is {fits}"
    if asked < LEAST[shape.version]:
        yield f"{shape.setting} {asked} is less than IPv{shape.version}'s least {LEAST[shape.version]}: it is {fits}"
