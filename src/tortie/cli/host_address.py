"""Which of this host's addresses a node speaks with: the one that was asked for, or one that is found."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, ip_address, ip_interface

from tortie.base.errors import Invalid, Unavailable
from tortie.dataplane.tunnels import parse_six

OTHERS = re.compile(r"lo$|docker|cbr|br-|virbr|lxcbr|veth|cali|tunl|vxlan|flannel|cni|kube")
"""Interfaces that are no way to other hosts."""
SECONDS = 10
METHODS = "first-found, can-reach=DEST, interface=REGEX"


@dataclass(frozen=True, slots=True)
class Own:
    """An address of this host with the length of its subnet."""

    interface: str
    network: str

    @property
    def address(self) -> str:
        return self.network.partition("/")[0]


def own_addresses(version: int = 4) -> list[Own]:
    """Every global address of this host, in the order of its interfaces; those of IPv6 that will go, last. Raises
    Unavailable."""
    try:
        done = subprocess.run(
            ["ip", "-json", f"-{version}", "address", "show", "scope", "global"],
            capture_output=True,
            timeout=SECONDS,
            check=True,
        )
        listed = json.loads(done.stdout or b"[]")
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise Unavailable(f"the addresses of this host: {error}") from error
    return of_listing(listed)


def of_listing(listed: Sequence[dict[str, object]]) -> list[Own]:
    """From what `ip -json address` says."""
    lasting, passing = list[Own](), list[Own]()
    for link in listed:
        infos = link.get("addr_info")
        for info in infos if isinstance(infos, list) else ():
            if info.get("local"):
                kind = passing if info.get("temporary") or info.get("deprecated") else lasting
                kind.append(Own(str(link.get("ifname")), f"{info['local']}/{info['prefixlen']}"))
    return [*lasting, *passing]


def with_mask(text: str, own: Sequence[Own]) -> tuple[str, bool]:
    """(the address with its subnet's length, is it one of this host's). Raises ValueError for what is no address."""
    given = ip_interface(text)
    for found in own:
        if ip_address(found.address) == given.ip:
            return (str(given) if "/" in text else found.network), True
    return str(given), False


def found(method: str, own: Sequence[Own], version: int = 4) -> str:
    """The address that a method finds, with its subnet's length; an empty text when there is none. Raises Invalid."""
    name, _, argument = method.partition("=")
    usable = [item for item in own if not OTHERS.match(item.interface)]
    if method == "first-found":
        return next((item.network for item in usable), "")
    if name == "interface" and argument:
        try:
            pattern = re.compile(argument)
        except re.error as error:
            raise Invalid(f"interface={argument}: {error}") from error
        return next((item.network for item in own if pattern.search(item.interface)), "")
    if name == "can-reach" and argument:
        source = _source(argument, version)
        return next((item.network for item in own if item.address == source), "")
    raise Invalid(f"unknown way to find an address: {method!r}; there are {METHODS}")


def _source(destination: str, version: int) -> str:
    """Where packets to the destination would come from: the kernel tells without sending one."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((destination, 53))
            return str(sock.getsockname()[0])
    except OSError as error:
        raise Invalid(f"can-reach={destination}: {error.strerror or error}") from error


def chosen(given: str | None, method: str) -> str:
    """The address that was given, with its mask; else the one that the method finds. Invalid when there is none."""
    if given and given != "autodetect":
        return given
    address = found(method, own_addresses())
    if not address:
        raise Invalid(f"no IPv4 address of this host by {method}: give --address, or another --ip-autodetection-method")
    return address


def chosen6(given: str | None, method: str) -> str | None:
    """As `chosen`; empty for `none`. Without a word the Node's own one counts."""
    if given != "autodetect":
        return "" if given == "none" else given or None
    address = found(method, own_addresses(6), 6)
    if not address:
        raise Invalid(f"no IPv6 address of this host by {method}: give --address6, or leave IPv6 out with none")
    return address


def faults(address: str) -> list[str]:
    """What is wrong with an IPv4 address with its subnet's mask."""
    try:
        parsed = IPv4Interface(address)
    except ValueError:
        return [f"--address {address}: not an IPv4 address with a mask"]
    if "/" not in address or parsed.network.prefixlen == 32:
        return [f"--address {address}: the mask of the host's subnet is missing, as in {parsed.ip}/24"]
    return []


def faults6(address: str) -> list[str]:
    """What is wrong with an IPv6 address with its subnet's mask."""
    try:
        parsed = parse_six(address)
    except Invalid as error:
        return [f"--address6 {error}"]
    if "/" not in address:
        return [f"--address6 {address}: the mask of the host's subnet is missing, as in {parsed.ip}/64"]
    return []
