"""What the plug-ins need from the outside, in their own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from tortie.model.ipam import Attribute
from tortie.node.ports import EndpointGate


class Gate(EndpointGate, Protocol):
    """The host's agent."""

    def missing(self, key: str, revision: int = 0) -> Sequence[str]:
        """What keeps an endpoint from being in force; empty when it is."""
        ...

    def not_ready(self) -> Sequence[str]:
        """Why this host takes no new workloads; empty when it does."""
        ...


class Addresses(Protocol):
    """Calico's IPAM for one node. Every call blocks; `now` is Unix time."""

    def auto_assign(
        self,
        handle: str,
        attributes: Mapping[str, str],
        *,
        now: float,
        pool: str | Sequence[str] | None = None,
        version: int = 4,
    ) -> IPv4Address | IPv6Address:
        """A free address, of the pools with these CIDRs when some are named. Raises Unavailable when there is none."""
        ...

    def assign(self, address: str, handle: str, attributes: Mapping[str, str], *, now: float) -> None:
        """Takes this address. Raises Conflict when somebody has it, Invalid when no pool holds it."""
        ...

    def holder(self, address: str) -> Attribute | None:
        """Who has an address; None when nobody has."""
        ...

    def release(self, address: str, handle: str, *, now: float) -> bool:
        """Frees one address; False when nobody had it. Raises Conflict when it is not this handle's."""
        ...

    def release_by_handle(self, handle: str, *, now: float) -> object:
        """Frees all that the handle holds; nothing held is no error."""
        ...
