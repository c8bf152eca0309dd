"""Questions about flows and their answers as JSON values, in the words of Whisker's REST. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from tortie.base.errors import Invalid
from tortie.node.flows.book import FlowKey, Interval, PolicyHit, Sums
from tortie.policy.values import Action

PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp", 136: "udplite"}


class Match(msgspec.Struct, forbid_unknown_fields=True):
    """A text that has to be the same, or a part, whatever its case."""

    value: str
    type: Literal["Exact", "Fuzzy"] = "Exact"

    def matches(self, text: str) -> bool:
        return self.value == text if self.type == "Exact" else self.value.lower() in text.lower()


class PortMatch(msgspec.Struct, forbid_unknown_fields=True):
    value: int
    type: Literal["Exact"] = "Exact"


class PolicyMatch(msgspec.Struct, forbid_unknown_fields=True):
    """Fields that are absent match every policy."""

    kind: str | None = None
    tier: Match | None = None
    namespace: Match | None = None
    name: Match | None = None
    action: Action | None = None

    def matches(self, hit: PolicyHit) -> bool:
        texts = ((self.tier, hit.tier), (self.namespace, hit.namespace), (self.name, hit.name))
        same = all(match is None or match.matches(text) for match, text in texts)
        return same and self.kind in (None, hit.kind) and self.action in (None, hit.action)


class Filters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of each list must match, of each list that is not empty."""

    source_names: tuple[Match, ...] = ()
    source_namespaces: tuple[Match, ...] = ()
    dest_names: tuple[Match, ...] = ()
    dest_namespaces: tuple[Match, ...] = ()
    protocols: tuple[Match, ...] = ()
    dest_ports: tuple[PortMatch, ...] = ()
    actions: tuple[Action, ...] = ()
    pending_actions: tuple[Action, ...] = ()
    policies: tuple[PolicyMatch, ...] = ()
    reporter: Literal["Src", "Dst", ""] = ""

    def matches(self, key: FlowKey) -> bool:
        texts = (
            (self.source_names, key.source.name),
            (self.source_namespaces, key.source.namespace),
            (self.dest_names, key.destination.name),
            (self.dest_namespaces, key.destination.namespace),
            (self.protocols, protocol_name(key.protocol)),
        )
        return (
            all(not wanted or any(match.matches(text) for match in wanted) for wanted, text in texts)
            and (not self.dest_ports or key.port in [port.value for port in self.dest_ports])
            and (not self.actions or key.action in self.actions)
            and (not self.pending_actions or any(hit.action in self.pending_actions for hit in key.pending))
            and (not self.policies or self._meets(key))
            and self.reporter in ("", key.reporter)
        )

    def _meets(self, key: FlowKey) -> bool:
        return any(match.matches(hit) for match in self.policies for hit in (*key.enforced, *key.pending))


class Question(msgspec.Struct, frozen=True):
    """`since`, `before`: unix seconds."""

    since: float | None = None
    before: float | None = None
    sort: str = "Time"
    filters: Filters = Filters()
    watch: bool = False


SORTS: dict[str, Callable[[FlowKey], str]] = {
    "SourceName": lambda key: key.source.name,
    "SourceNamespace": lambda key: key.source.namespace,
    "SourceType": lambda key: key.source.type,
    "DestName": lambda key: key.destination.name,
    "DestNamespace": lambda key: key.destination.namespace,
    "DestType": lambda key: key.destination.type,
}
PARAMETERS = ("watch", "startTimeGte", "startTimeLt", "sortBy", "filters")


def question(parameters: Mapping[str, str], now: float) -> Question:
    """Times below 1 are seconds from now on: -60, a minute ago. Invalid lists every mistake."""
    faults: list[str] = []
    if unknown := parameters.keys() - set(PARAMETERS):
        faults.append(f"unknown parameter {', '.join(sorted(unknown))}: there are {', '.join(PARAMETERS)}")
    watch = parameters.get("watch", "false")
    if watch not in ("true", "false"):
        faults.append(f"watch {watch!r}: true or false is needed")
    sort = parameters.get("sortBy") or "Time"
    if sort != "Time" and sort not in SORTS:
        faults.append(f"sortBy {sort!r}: one of Time, {', '.join(SORTS)} is needed")
    since = _time(parameters, "startTimeGte", now, faults)
    before = _time(parameters, "startTimeLt", now, faults)
    filters = Filters()
    try:
        filters = msgspec.json.decode(parameters.get("filters") or "{}", type=Filters)
    except msgspec.DecodeError as error:
        faults.append(f"filters: {error}")
    if faults:
        raise Invalid(*faults)
    return Question(since, before, sort, filters, watch == "true")


def _time(parameters: Mapping[str, str], name: str, now: float, faults: list[str]) -> float | None:
    text = parameters.get(name)
    if not text:
        return None
    try:
        number = int(text)
    except ValueError:
        faults.append(f"{name} {text!r}: seconds are needed")
        return None
    return number if number > 0 else now + number


def flows(intervals: Iterable[Interval], asked: Question) -> list[dict[str, Any]]:
    """Each flow once, over all of the intervals; the newest first unless another order is asked for."""
    times: dict[FlowKey, tuple[int, int]] = {}
    totals: dict[FlowKey, Sums] = {}
    for interval in intervals:
        for key, sums in interval.flows.items():
            if asked.filters.matches(key):
                first, _ = times.get(key, (interval.start, 0))
                times[key] = (first, interval.start + interval.seconds)
                totals.setdefault(key, Sums()).add(sums)
    # Of one interval the one that came last is the newest.
    order = sorted(times, key=lambda key: (totals[key].last, times[key]))[::-1]
    if asked.sort != "Time":
        order.sort(key=SORTS[asked.sort])
    return [shown(key, totals[key], *times[key]) for key in order]


def shown(key: FlowKey, sums: Sums, start: int, end: int) -> dict[str, Any]:
    """One flow."""
    return {
        "start_time": start,
        "end_time": end,
        "last_time": sums.last,
        "action": key.action,
        "reporter": key.reporter,
        "source_name": key.source.name,
        "source_namespace": key.source.namespace,
        "source_type": key.source.type,
        "source_labels": list(sums.source_labels),
        "dest_name": key.destination.name,
        "dest_namespace": key.destination.namespace,
        "dest_type": key.destination.type,
        "dest_labels": list(sums.destination_labels),
        "protocol": protocol_name(key.protocol),
        "dest_port": key.port,
        "policies": {"enforced": list(map(_hit, key.enforced)), "pending": list(map(_hit, key.pending))},
        "packets_in": sums.packets_in,
        "packets_out": sums.packets_out,
        "bytes_in": sums.bytes_in,
        "bytes_out": sums.bytes_out,
        "num_connections_started": sums.started,
        "num_connections_completed": sums.completed,
    }


def _hit(hit: PolicyHit) -> dict[str, Any]:
    trigger = None
    if hit.trigger is not None:
        kind, namespace, name = hit.trigger
        trigger = {"kind": kind, "namespace": namespace, "name": name, "tier": hit.tier}
    return {
        "kind": hit.kind,
        "namespace": hit.namespace,
        "name": hit.name,
        "tier": hit.tier,
        "action": hit.action,
        "policy_index": hit.index,
        "rule_index": hit.rule,
        "trigger": trigger,
    }


def protocol_name(number: int) -> str:
    return PROTOCOLS.get(number, str(number) if number else "")


HINTS: dict[str, Callable[[FlowKey], Iterator[str]]] = {
    "SourceName": lambda key: iter((key.source.name,)),
    "SourceNamespace": lambda key: iter((key.source.namespace,)),
    "DestName": lambda key: iter((key.destination.name,)),
    "DestNamespace": lambda key: iter((key.destination.namespace,)),
    "PolicyTier": lambda key: (hit.tier for hit in (*key.enforced, *key.pending)),
    "PolicyName": lambda key: (hit.name for hit in (*key.enforced, *key.pending)),
}


def hints(intervals: Iterable[Interval], kind: str) -> list[dict[str, str]]:
    """The values that a filter could have. Invalid when there is no such filter."""
    if kind not in HINTS:
        raise Invalid(f"type {kind!r}: one of {', '.join(HINTS)} is needed")
    found = {value for interval in intervals for key in interval.flows for value in HINTS[kind](key) if value}
    return [{"value": value} for value in sorted(found)]
