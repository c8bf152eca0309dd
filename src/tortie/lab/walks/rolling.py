"""A rollout as its status tells it, look after look: what is new, how long each host was out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

STATES = ("STARTING", "RUNNING", "FINISHED", "FAILED", "KILLED", "LOST", "STAGING", "ERROR")
"""By the number in the original's page, which wrote them so."""


@dataclass(frozen=True, slots=True)
class Span:
    """How long a host was out: from its first step's beginning to its gate's end, None while that is to come."""

    host: str
    since: float
    until: float | None


@dataclass(slots=True)
class Rolling:
    """`names`: of hosts, by their addresses. `now`: what is being done."""

    names: Mapping[str, str]
    now: str = "not begun yet"
    stopped: str = ""
    spans: dict[tuple[float, str], Span] = field(default_factory=dict)
    _state: str = ""
    _marks: dict[str, str] = field(default_factory=dict)

    def look(self, status: Mapping[str, Any]) -> list[str]:
        """Lines about what has changed since the last look. An empty status is none: nobody answered."""
        if not status:
            return []
        self._state, self.stopped = status["state"], status["stopped"]
        said = []
        for told in status["hosts"]:
            host, before = self.names.get(told["name"], told["name"]), self._marks.get(told["name"])
            self._note(status["begun"], host, told["steps"])
            if told["mark"] != before and (told["mark"] != "done" or before):
                said += _changed(host, told)
            self._marks[told["name"]] = told["mark"]
        self.now = _now(status, self.names)
        return said

    def done(self, hosts: Iterable[str]) -> bool:
        """Whether the rollout is over and has brought it to each of these."""
        there = {self.names.get(name, name) for name, mark in self._marks.items() if mark == "done"}
        return self._state == "done" and there >= set(hosts)

    def _note(self, begun: float, host: str, steps: Sequence[Mapping[str, Any]]) -> None:
        since = [step["since"] for step in steps if step["since"] is not None]
        if not since:
            return
        # A later rollout tells nothing of what an earlier one did; a step done again tells nothing of its first try.
        earlier = self.spans.get((begun, host))
        first = min(since) if earlier is None else min(*since, earlier.since)
        over = [step["until"] for step in steps]
        self.spans[begun, host] = Span(host, first, None if None in over else max(over))


def not_alone(spans: Iterable[Span]) -> list[str]:
    """Words for each two hosts that were out at once."""
    in_order = sorted(spans, key=lambda span: span.since)
    return [
        f"{later.host} began before {earlier.host} was through"
        for earlier, later in combinations(in_order, 2)
        if earlier.host != later.host and (earlier.until is None or later.since < earlier.until)
    ]


def original(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """A host's row of the original's page: the word for each of its tasks."""
    return {name: STATES[task["state"]] for name, task in tasks.items()}


def _changed(host: str, told: Mapping[str, Any]) -> list[str]:
    if told["mark"] == "rolling":
        return [f"{host}: begun"]
    if told["mark"] == "waiting":
        return []
    if told["mark"] != "done":
        return [": ".join(word for word in (host, told["mark"], told["reason"]) if word)]
    took = [f"{step['title']} {step['until'] - step['since']:.1f} s" for step in told["steps"] if step["until"]]
    return [f"{host}: done ({', '.join(took)})"]


def _now(status: Mapping[str, Any], names: Mapping[str, str]) -> str:
    done = sum(host["mark"] == "done" for host in status["hosts"])
    at = [
        f"{names.get(host['name'], host['name'])}: {step['title']}"
        for host in status["hosts"]
        for step in host["steps"]
        if step["progress"] in ("running", "undoing")
    ]
    looking = "looking at what each host lacks" if status["looking"] else ""
    what = status["stopped"] or "; ".join(at) or status["trouble"] or looking or status["state"]
    return f"{done} of {len(status['hosts'])} hosts, {what}"
