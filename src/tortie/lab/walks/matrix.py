"""Who may reach whom: the wanted matrix of a stage, and how what was seen compares with it. Pure.

The rules are written here a second time on purpose, from the document's text: a matrix computed by the product's own
policy engine could not disagree with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

Role = Literal["app", "peer", "host"]


class Seen(Enum):
    """What a client meets. A closed port on an allowed path refuses; a path that policy forbids stays silent."""

    OPEN = "open"
    REFUSED = "refused"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, order=True)
class Probe:
    """One kind of packet to try; `port` is 0 for icmp."""

    protocol: Literal["tcp", "udp", "icmp"]
    port: int = 0

    def __str__(self) -> str:
        return f"{self.protocol}/{self.port}" if self.port else self.protocol


@dataclass(frozen=True, slots=True)
class Party:
    """One end of a conversation. `network` is None for a host; `listens` holds the probes that somebody answers;
    `own`: an address that every host has, so that only its own containers can mean this one."""

    name: str
    role: Role
    host: str
    address: str
    network: str | None = None
    listens: frozenset[Probe] = frozenset()
    own: bool = False


@dataclass(frozen=True, slots=True)
class Allow:
    """Lets pass what matches; None matches everything. `peer` is the network of the other side, hosts are members of
    none; `cidr` holds its address."""

    peer: str | None = None
    protocol: str | None = None
    port: int | None = None
    cidr: str | None = None

    def matches(self, other: Party, probe: Probe) -> bool:
        return (
            self.peer in (None, other.network)
            and self.protocol in (None, probe.protocol)
            and self.port in (None, probe.port)
            and (self.cidr is None or IPv4Address(other.address) in IPv4Network(self.cidr))
        )


@dataclass(frozen=True, slots=True)
class Stage:
    """What each network lets in and out; one that is not in `outbound` lets everything out."""

    inbound: Mapping[str, Sequence[Allow]]
    outbound: Mapping[str, Sequence[Allow]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Probing:
    """What is tried in a document's lab. `listens`: what the apps of each network answer; `to_hosts`: what containers
    try on the hosts themselves, nothing when the document says nothing about them."""

    listens: Mapping[str, frozenset[Probe]]
    probes: Sequence[Probe]
    to_hosts: Sequence[Probe] = ()

    @property
    def networks(self) -> list[str]:
        return list(self.listens)


OWN_HOST_SERVICES = frozenset({Probe("udp", 53), Probe("udp", 67)})
"""What a workload may ask of the host it runs on before its own policy is looked at."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One probe from one party to another, with what the stage wants and what was seen."""

    source: Party
    destination: Party
    probe: Probe
    wanted: Seen
    seen: Seen | None = None

    @property
    def holds(self) -> bool:
        return self.seen is self.wanted


def wanted(stage: Stage, source: Party, destination: Party, probe: Probe) -> Seen:
    """What leaves its source and enters its destination is answered, or refused where nobody listens."""
    if not _leaves(stage, source, destination, probe) or not _enters(stage, source, destination, probe):
        return Seen.DROPPED
    answered = probe.protocol == "icmp" or probe in destination.listens
    return Seen.OPEN if answered else Seen.REFUSED


def _leaves(stage: Stage, source: Party, destination: Party, probe: Probe) -> bool:
    rules = stage.outbound.get(source.network or "")
    if source.role == "host" or rules is None:
        return True
    own_host = destination.role == "host" and destination.host == source.host
    return (own_host and probe in OWN_HOST_SERVICES) or any(rule.matches(destination, probe) for rule in rules)


def _enters(stage: Stage, source: Party, destination: Party, probe: Probe) -> bool:
    """A host takes everything, and reaches its own workloads whatever the policy says; everybody else needs a rule."""
    if destination.role == "host" or (source.role == "host" and source.host == destination.host):
        return True
    return any(rule.matches(source, probe) for rule in stage.inbound[destination.network or ""])


def cells(stage: Stage, sources: Iterable[Party], destinations: Sequence[Party], probing: Probing) -> list[Cell]:
    """Every source with every other destination and every probe. Hosts do not try each other; an address that each
    host has for itself is tried from its own containers."""
    return [
        Cell(source, destination, probe, wanted(stage, source, destination, probe))
        for source in sources
        for destination in destinations
        if source != destination and _tried(source, destination)
        for probe in (probing.to_hosts if destination.role == "host" else probing.probes)
    ]


def _tried(source: Party, destination: Party) -> bool:
    if destination.role != "host":
        return True
    return source.role != "host" and (not destination.own or source.host == destination.host)
