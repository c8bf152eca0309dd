"""Flows added up by interval: bounded in memory whatever comes. Pure.

Flows that differ in their port only are told apart up to so many in an interval, so that who tries all ports takes no
room from others; what is beyond has no port. An interval has so many different flows; what is beyond goes into one
flow of nobody for each direction and action. So many flows are kept in all; whole intervals go, the oldest first.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from tortie.node.flows.directory import End, Labels
from tortie.policy.values import Action

SECONDS = 15
INTERVALS = 240
OF_INTERVAL = 1000
PORTS = 64
IN_ALL = 20_000
OTHERS = End("Network", "(others)")
Reporter = Literal["Src", "Dst"]


@dataclass(frozen=True, slots=True)
class PolicyHit:
    """A rule that a flow met. `index`: its turn among these; `rule` -1: the end of the tier or of the profiles.
    `trigger`: at the end of a tier, kind, namespace and name of the last policy that made the tier be asked."""

    kind: str
    namespace: str
    name: str
    tier: str
    action: Action
    index: int
    rule: int
    trigger: tuple[str, str, str] | None = None


@dataclass(frozen=True, slots=True)
class FlowKey:
    """What makes two conversations the same flow: all but their source port."""

    reporter: Reporter
    action: Action
    source: End
    destination: End
    protocol: int
    port: int
    enforced: tuple[PolicyHit, ...] = ()
    pending: tuple[PolicyHit, ...] = ()


@dataclass(slots=True)
class Sums:
    """`out`: what left the reporting side, `in`: what came to it. `last`: when something was added (unix seconds)."""

    packets_out: int = 0
    bytes_out: int = 0
    packets_in: int = 0
    bytes_in: int = 0
    started: int = 0
    completed: int = 0
    source_labels: Labels = ()
    destination_labels: Labels = ()
    last: int = 0

    def add(self, more: Sums) -> None:
        self.packets_out += more.packets_out
        self.bytes_out += more.bytes_out
        self.packets_in += more.packets_in
        self.bytes_in += more.bytes_in
        self.started += more.started
        self.completed += more.completed
        self.last = max(self.last, more.last)
        self.source_labels = more.source_labels or self.source_labels
        self.destination_labels = more.destination_labels or self.destination_labels


@dataclass(slots=True)
class Interval:
    """From `start` (unix seconds) on, for `seconds`."""

    start: int
    seconds: int = SECONDS
    flows: dict[FlowKey, Sums] = field(default_factory=dict)
    ports: Counter[FlowKey] = field(default_factory=Counter)
    overflown: int = 0

    def add(self, key: FlowKey, sums: Sums, limit: int) -> None:
        place = key if key in self.flows else self._place(key, limit)
        if place != key:
            self.overflown += 1
        if place.source is OTHERS:
            sums = replace(sums, source_labels=(), destination_labels=())
        self.flows.setdefault(place, Sums()).add(sums)

    def _place(self, key: FlowKey, limit: int) -> FlowKey:
        """Where a flow that is new goes."""
        anywhere = replace(key, port=0)
        if self.ports[anywhere] >= PORTS:
            key = anywhere
        if key in self.flows:
            return key
        if len(self.flows) >= limit:
            return FlowKey(key.reporter, key.action, OTHERS, OTHERS, 0, 0)
        self.ports[anywhere] += 1
        return key


class Book:
    """`overflown`: how many additions found no place of their own."""

    def __init__(self, *, of_interval: int = OF_INTERVAL, in_all: int = IN_ALL, intervals: int = INTERVALS) -> None:
        self._of_interval = of_interval
        self._in_all = in_all
        self._most = intervals
        self._intervals: deque[Interval] = deque()
        self._fresh: Interval | None = None
        self.overflown = 0

    def add(self, key: FlowKey, sums: Sums, now: float) -> None:
        """A clock that goes back adds to the latest interval."""
        sums.last = int(now)
        start = int(now) // SECONDS * SECONDS
        if not self._intervals or start > self._intervals[-1].start:
            self._intervals.append(Interval(start))
            self._shrink()
        latest = self._intervals[-1]
        before = latest.overflown
        latest.add(key, sums, self._of_interval)
        self.overflown += latest.overflown - before
        if self._fresh is None:
            self._fresh = Interval(int(now), 1)
        self._fresh.add(key, sums, self._of_interval)

    def take_fresh(self) -> Interval | None:
        """What was added since it was last taken; None: nothing."""
        found, self._fresh = self._fresh, None
        return found

    def _shrink(self) -> None:
        """A new interval begins: room for one that is full."""
        room = self._in_all - self._of_interval
        held = sum(len(interval.flows) for interval in self._intervals)
        while len(self._intervals) > 1 and (held > room or len(self._intervals) > self._most):
            held -= len(self._intervals.popleft().flows)

    def intervals(self, since: float = 0, before: float = float("inf")) -> Iterator[Interval]:
        """Those that begin in this time, the oldest first."""
        return (found for found in self._intervals if since <= found.start < before)

    def __len__(self) -> int:
        """Flows that are held."""
        return sum(len(interval.flows) for interval in self._intervals)
