"""Which of this host's addresses a node speaks with: the one that was asked for, or one that is found."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface

from tortie.base.errors import Invalid, Unavailable

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
    """Every global address of this host, in the order of its interfaces. Raises Unavailable."""
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
    return list(_of(listed))


def _of(listed: Sequence[dict[str, object]]) -> Iterator[Own]:
    for link in listed:
        infos = link.get("addr_info")
        for info in infos if isinstance(infos, list) else ():
            if info.get("local"):
                yield Own(str(link.get("ifname")), f"{info['local']}/{info['prefixlen']}")


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
