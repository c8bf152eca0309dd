"""Who may reach whom: the wanted matrix of a stage, and how what was seen compares with it. Pure.

The rules are written here a second time on purpose, from the document's text: a matrix computed by the product's own
policy engine could not disagree with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
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
    """One end of a conversation. `network` is None for a host; `listens` holds the probes that somebody answers."""

    name: str
    role: Role
    host: str
    address: str
    network: str | None = None
    listens: frozenset[Probe] = frozenset()


@dataclass(frozen=True, slots=True)
class Allow:
    """Lets in what matches; None matches everything. Sources are networks: hosts are members of none."""

    source: str | None = None
    protocol: str | None = None
    port: int | None = None

    def matches(self, source: Party, probe: Probe) -> bool:
        return (
            self.source in (None, source.network)
            and self.protocol in (None, probe.protocol)
            and self.port in (None, probe.port)
        )


Stage = Mapping[str, Sequence[Allow]]
"""What each network lets in; every network lets everything out."""


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
    """A host reaches its own workloads whatever the policy says; everybody else needs a rule of the destination."""
    local = source.role == "host" and source.host == destination.host
    rules = stage[destination.network or ""]
    if not local and not any(rule.matches(source, probe) for rule in rules):
        return Seen.DROPPED
    answered = probe.protocol == "icmp" or probe in destination.listens
    return Seen.OPEN if answered else Seen.REFUSED


def cells(stage: Stage, sources: Iterable[Party], destinations: Sequence[Party], probes: Sequence[Probe]) -> list[Cell]:
    """Every source with every other destination and every probe."""
    return [
        Cell(source, destination, probe, wanted(stage, source, destination, probe))
        for source in sources
        for destination in destinations
        if source != destination
        for probe in probes
    ]
