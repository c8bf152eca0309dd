"""Addresses and networks as numbers, looked up without a scan."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

BITS = {4: 32, 6: 128}


@lru_cache(maxsize=65536)
def address(text: str) -> tuple[int, int]:
    """(version, number) of an address; ValueError for anything else."""
    parsed = ipaddress.ip_address(text)
    return parsed.version, int(parsed)


@lru_cache(maxsize=65536)
def network(text: str) -> tuple[int, int, int]:
    """(version, prefix length, number without its host bits) of a network."""
    parsed = ipaddress.ip_network(text, strict=False)
    return parsed.version, parsed.prefixlen, int(parsed.network_address) >> (BITS[parsed.version] - parsed.prefixlen)


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


def member(text: str) -> str:
    """A network as a set holds it: masked, an address alone without its length."""
    parsed = ipaddress.ip_network(text, strict=False)
    return str(parsed.network_address) if parsed.prefixlen == parsed.max_prefixlen else str(parsed)
