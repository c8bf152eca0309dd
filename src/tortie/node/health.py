"""What the agent counts, what it says of itself, and how its tasks wake each other."""

from __future__ import annotations

import bisect
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import anyio

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


@dataclass(slots=True)
class Times:
    """How many durations fell below each bound."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect.bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    def counted(self) -> Iterator[tuple[str, int]]:
        """Bound and how many between it and the one before."""
        return zip([*map(str, BOUNDS), "+Inf"], self.counts, strict=True)


@dataclass(slots=True)
class Counts:
    """What `/metrics` shows."""

    passes: int = 0
    failures: int = 0
    repairs: int = 0
    rebuilds: int = 0
    refusals: int = 0
    transactions: int = 0
    element_changes: int = 0
    rule_changes: int = 0
    store_events: int = 0
    events_merged: int = 0
    largest_batch: int = 0
    resyncs: int = 0
    conversations_ended: int = 0
    refused: int = 0
    child_starts: int = 0
    kernel_events: int = 0
    log_errors: int = 0
    last_pass_seconds: float = 0.0
    pass_times: Times = field(default_factory=Times)
    pass_began: float | None = None


@dataclass(slots=True)
class Health:
    """What `/readiness` and `/status` say of the agent itself."""

    store_in_sync: bool = False
    store_reason: str = "not read yet"
    links_listed: bool = False
    table_reason: str = "not opened yet"
    owned: bool = False
    owner_reason: str = ""
    passed: bool = False
    conversations_reason: str = ""
    sysctl_problems: dict[str, str] = field(default_factory=dict)
    route_failures: dict[str, str] = field(default_factory=dict)
    tunnel_problems: dict[str, str] = field(default_factory=dict)
    tunnel_reason: str = ""
    """Why a tunnel of this host has no address."""
    bgp_problems: list[str] = field(default_factory=list)


class Signal:
    """Wakes everybody who waits; who comes later waits for the next time."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def set(self) -> None:
        self._event.set()
        self._event = anyio.Event()

    def next(self) -> anyio.Event:
        """Its next time, as of now: who looks at things after this, and waits for it then, misses nothing between."""
        return self._event

    async def wait(self) -> None:
        await self._event.wait()


class CountErrors(logging.Handler):
    """Counts what is logged as an error."""

    def __init__(self, counts: Counts) -> None:
        super().__init__(logging.ERROR)
        self._counts = counts

    def emit(self, record: logging.LogRecord) -> None:
        self._counts.log_errors += 1
