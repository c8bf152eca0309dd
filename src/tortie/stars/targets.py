"""What one probe knows of its targets: values in, values out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

MAX_CHANGES = 50


@dataclass(frozen=True, slots=True)
class Target:
    url: str
    reachable: bool = False
    probed: bool = False
    error: str | None = None
    detail: str = ""
    latency: float | None = None
    status: int = 0
    at: float = 0.0  # when the last probe ended
    since: float = 0.0  # when the present state was first seen


@dataclass(frozen=True, slots=True)
class Result:
    error: str | None
    detail: str = ""
    latency: float | None = None
    status: int = 0


@dataclass(frozen=True, slots=True)
class Targets:
    """All targets of a probe and the latest changes, oldest first."""

    targets: dict[str, Target]
    changes: tuple[tuple[float, str, bool], ...] = ()


def start(urls: Iterable[str], now: float) -> Targets:
    """Every target starts unreachable; duplicates are one."""
    return Targets({url: Target(url, since=now) for url in urls})


def record(state: Targets, url: str, result: Result, now: float) -> Targets:
    """The state after one probe of `url`."""
    old = state.targets[url]
    reachable = result.error is None
    changed = reachable != old.reachable
    new = replace(
        old,
        reachable=reachable,
        probed=True,
        error=result.error,
        detail=result.detail,
        latency=result.latency,
        status=result.status,
        at=now,
        since=now if changed or not old.probed else old.since,
    )
    changes = (*state.changes, (now, url, reachable))[-MAX_CHANGES:] if changed else state.changes
    return Targets({**state.targets, url: new}, changes)


def status(state: Targets) -> dict[str, Any]:
    """The body of GET /status, exactly the original's shape."""
    rows = [{"reachable": t.reachable, "url": t.url} for t in state.targets.values()]
    return {"status": {"targets": rows}}


def details(state: Targets, now: float, period: float) -> dict[str, Any]:
    """The body of GET /v1/status. Times are ages in seconds, so readers need no common clock."""
    return {
        "period": period,
        "targets": [
            {
                "url": t.url,
                "reachable": t.reachable,
                "probed": t.probed,
                "error": t.error,
                "detail": t.detail,
                "latencyMs": None if t.latency is None else round(t.latency * 1000, 2),
                "statusCode": t.status or None,
                "age": round(now - t.at, 3) if t.probed else None,
                "sinceAge": round(now - t.since, 3),
            }
            for t in state.targets.values()
        ],
        "changes": [
            {"age": round(now - at, 3), "url": url, "reachable": reachable} for at, url, reachable in state.changes
        ],
    }
