"""What the driver needs from the outside, in its own words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol


class Addresses(Protocol):
    """Calico's IPAM for one node. Every call blocks; `now` is Unix time."""

    def auto_assign(
        self, handle: str, attributes: Mapping[str, str], *, now: float, pool: str | None = None
    ) -> IPv4Address | IPv6Address:
        """A free address, of the pool with this CIDR when one is named. Raises Unavailable when there is none."""
        ...

    def assign(self, address: str, handle: str, attributes: Mapping[str, str], *, now: float) -> None:
        """Takes this address. Raises Conflict when somebody has it, Invalid when no pool holds it."""
        ...

    def release_by_handle(self, handle: str, *, now: float) -> object:
        """Frees all that the handle holds; nothing held is no error."""
        ...


class Links(Protocol):
    """The pairs of interfaces in the host's namespace. Every call blocks."""

    def create_pair(self, host: str, peer: str, peer_mac: str, mtu: int | None = None) -> None: ...

    def delete(self, name: str) -> bool:
        """False when it was not there."""
        ...

    def names(self) -> Mapping[str, int]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalNetwork:
    """A network as this host's engine has it. `subnet` is what the user typed, None for any pool."""

    id: str
    name: str
    driver: str
    subnet: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    ipv6: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    id: str
    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkEvent:
    """`action`: create, destroy, connect or disconnect. An `up` opens every stream: the engine answers now."""

    action: str
    network_id: str = ""
    name: str = ""
    driver: str = ""


class Engine(Protocol):
    """The host's container engine. Raises Unavailable when it does not answer."""

    async def network_name(self, network_id: str) -> str:
        """Raises NotFound."""
        ...

    async def container_of(self, network_id: str, endpoint_id: str) -> Container | None:
        """The container that is joining with this endpoint; None when the engine lists none."""
        ...

    async def networks(self) -> Sequence[LocalNetwork]: ...

    async def create_network(self, name: str, subnet: str | None, labels: Mapping[str, str], *, ipv6: bool) -> str:
        """The new network's id. Raises Conflict when the name is taken: never makes a twin."""
        ...

    async def remove_network(self, network_id: str) -> None:
        """An absent one is fine. Raises Conflict while it has active endpoints."""
        ...

    async def endpoint_ids(self) -> Collection[str]:
        """The ids of every endpoint that a container of this engine has now."""
        ...

    async def container_ids(self) -> Collection[str]:
        """The ids of every container of this engine, whether it runs or not."""
        ...

    def events(self) -> AsyncIterator[NetworkEvent]: ...
