"""Addresses and networks as numbers, looked up without a scan."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Container, Iterable, Iterator
from functools import lru_cache

BITS = {4: 32, 6: 128}
OCTET = "(0|[1-9][0-9]{0,2})"
PLAIN = re.compile(rf"{OCTET}\.{OCTET}\.{OCTET}\.{OCTET}(?:/([0-9]{{1,2}}))?")
Net = tuple[int, int]
"""First address and length of its prefix, as numbers; its family is known from elsewhere."""


@lru_cache(maxsize=65536)
def address(text: str) -> tuple[int, int]:
    """(version, number) of an address; ValueError for anything else."""
    parsed = ipaddress.ip_address(text)
    return parsed.version, int(parsed)


@lru_cache(maxsize=65536)
def network(text: str) -> tuple[int, int, int]:
    """(version, prefix length, number without its host bits) of a network."""
    version, first, length = read(text)
    return version, length, first >> (BITS[version] - length)


def read(text: str) -> tuple[int, int, int]:
    """(version, first address, prefix length) of a network as people write it, with host bits or a mask too.
    ValueError for anything else."""
    # As good as all of a list of 100,000 is written like this.
    if (found := PLAIN.fullmatch(text)) is not None:
        a, b, c, d, length = map(int, found.groups("32"))
        if max(a, b, c, d) < 256 and length <= 32:
            return 4, (a << 24 | b << 16 | c << 8 | d) >> (32 - length) << (32 - length), length
    parsed = ipaddress.ip_network(text, strict=False)
    return parsed.version, int(parsed.network_address), parsed.prefixlen


def write(version: int, net: Net) -> str:
    """A network in the one way that it is written here, with its length."""
    return f"{_text(version, net[0])}/{net[1]}"


def _text(version: int, number: int) -> str:
    if version == 4:
        return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    return str(ipaddress.IPv6Address(number))


def member(text: str) -> str:
    """A network as a set holds it: masked, an address alone without its length."""
    version, first, length = read(text)
    return _text(version, first) if length == BITS[version] else write(version, (first, length))


def members(texts: Iterable[str], known: Container[str] = ()) -> Iterator[str]:
    """As `member`, each; what is no network is left out. `known`: some that are written in this way already, as most of
    a long list are that has changed a little."""
    for text in texts:
        if text in known:
            yield text
            continue
        try:
            yield member(text)
        except ValueError:
            continue


def collapsed(texts: Iterable[str]) -> tuple[str, ...]:
    """The fewest networks that hold the same addresses, IPv4 first, each family sorted."""
    held: dict[int, set[Net]] = {4: set(), 6: set()}
    for text in texts:
        version, first, length = read(text)
        held[version].add((first, length))
    return tuple([write(version, net) for version in held for net in _joined(sorted(held[version]), BITS[version])])


def _joined(nets: Iterable[Net], bits: int) -> list[Net]:
    """Of sorted ones: what lies in another is left out, two halves become a whole."""
    found: list[Net] = []
    end = -1
    for net in nets:
        if net[0] <= end:
            continue
        end = net[0] + (1 << (bits - net[1])) - 1
        whole = net
        while found and found[-1][1] == whole[1] and found[-1][0] ^ whole[0] == 1 << (bits - whole[1]):
            whole = found.pop()[0], whole[1] - 1
        found.append(whole)
    return found


def within(text: str, nets: Iterable[str]) -> bool:
    """Whether an address is in one of a few networks."""
    version, number = address(text)
    for net in nets:
        of, length, prefix = network(net)
        if of == version and number >> (BITS[of] - length) == prefix:
            return True
    return False


class NetTable:
    """Many networks: a look-up asks once for each prefix length that is there."""

    def __init__(self) -> None:
        self._lengths: dict[tuple[int, int], set[int]] = {}

    def __bool__(self) -> bool:
        return bool(self._lengths)

    def add(self, text: str) -> None:
        version, length, prefix = network(text)
        self._lengths.setdefault((version, length), set()).add(prefix)

    def discard(self, text: str) -> None:
        version, length, prefix = network(text)
        held = self._lengths.get((version, length), set())
        held.discard(prefix)
        if not held:
            self._lengths.pop((version, length), None)

    def has(self, text: str) -> bool:
        version, number = address(text)
        return any(
            of == version and number >> (BITS[of] - length) in held for (of, length), held in self._lengths.items()
        )
