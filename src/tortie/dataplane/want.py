"""The wanted state of one host as values: sets, chains, map elements, routes, interface settings.

Names in `Chain.uses` are those of the sets and chains that the rules mention; a chain may only be loaded after them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

TABLE = "inet tortie"
TABLE_NAME = "tortie"


@dataclass(frozen=True, slots=True)
class SetDef:
    """A named set or (with `verdict`) verdict map. `content` None: its elements change one by one while it lives;
    otherwise the set is named after its content, which never changes."""

    type: str
    interval: bool = False
    verdict: bool = False
    content: tuple[str, ...] | None = None

    @property
    def shape(self) -> str:
        """What the kernel keeps of the definition, for comparison after a restart."""
        return f"{self.type}{' interval' if self.interval else ''}{' verdict' if self.verdict else ''}"


@dataclass(frozen=True, slots=True)
class Chain:
    """Rules in nftables' own text; `base` is the hook of a base chain, `note` a name for people."""

    rules: tuple[str, ...]
    base: str = ""
    uses: frozenset[str] = frozenset()
    note: str = ""

    @property
    def mark(self) -> str:
        """Fingerprint, put as comment on every rule: so a restarted agent knows a chain without parsing rules."""
        text = "\n".join((self.base, *self.rules))
        return f"{hashlib.sha256(text.encode()).hexdigest()[:12]}/{len(self.rules)}"


@dataclass(frozen=True, slots=True)
class Have:
    """What the kernel holds of our table: shapes of sets, marks of chains, elements of sets without intervals."""

    sets: Mapping[str, str]
    chains: Mapping[str, str]
    elements: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Route:
    """One route of ours (protocol 80, main table). `kind`: unicast, onlink (by a gateway that no
    subnet of the device has), blackhole or link (on the device itself)."""

    kind: str
    device: str = ""
    via: str = ""


def host_route(address: str) -> str:
    """The destination of a route to one address."""
    return f"{address}/{128 if ':' in address else 32}"


def host_of(destination: str) -> str:
    """The address that a route to one address leads to, else nothing."""
    address, _, length = destination.partition("/")
    return address if length == ("128" if ":" in address else "32") else ""


def name_of(prefix: str, *parts: str) -> str:
    """A name for an nftables object made from its content; equal content gives the equal name."""
    text = "\x00".join(parts)
    return f"{prefix}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
