"""Who is offered what: dominant resource fairness over roles, then over the frameworks of a role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tortie.mesos.master.cluster import Filter
from tortie.mesos.resources import Resources

MIN_CPUS = 0.01
MIN_MEM = 32.0
SHARED = ("cpus", "mem", "disk")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A framework that may be offered something; `held` is what it has, used and offered, by resource name."""

    framework_id: str
    roles: Sequence[str]
    held: Mapping[str, float]
    filters: Sequence[Filter] = ()
    allocations: int = 0
    gpus: bool = False


@dataclass(frozen=True, slots=True)
class Allotment:
    framework_id: str
    role: str
    agent_id: str
    resources: Resources


def share(held: Mapping[str, float], totals: Mapping[str, float]) -> float:
    """The largest part that it holds of any resource."""
    return max((held.get(name, 0.0) / totals[name] for name in SHARED if totals.get(name)), default=0.0)


def worth_offering(resources: Resources) -> bool:
    return resources.scalar("cpus") >= MIN_CPUS or resources.scalar("mem") >= MIN_MEM


def filtered(candidate: Candidate, agent_id: str, role: str, resources: Resources, now: float) -> bool:
    """Whether the framework refused this, or more than this, a short while ago."""
    return any(
        f.agent_id == agent_id and f.role == role and f.until > now and f.resources.holds(resources)
        for f in candidate.filters
    )


def allocate(
    free: Mapping[str, Resources], candidates: Sequence[Candidate], totals: Mapping[str, float], now: float
) -> list[Allotment]:
    """All that is free on each agent, in the order given, to the poorest framework that may have it.

    One agent's unreserved resources are in one allotment at a time. `totals`: what the cluster has, by resource name.
    """
    held = {c.framework_id: dict(c.held) for c in candidates}
    given = {c.framework_id: c.allocations for c in candidates}
    out = []
    for agent_id, available in free.items():
        left = available
        for candidate, role in _order(candidates, held, given, totals):
            part = left.of_roles("*", role)
            if not worth_offering(part) or (part.scalar("gpus") and not candidate.gpus):
                continue
            if filtered(candidate, agent_id, role, part, now):
                continue
            out.append(Allotment(candidate.framework_id, role, agent_id, part))
            left = left - part
            mine = held[candidate.framework_id]
            for name in SHARED:
                mine[name] = mine.get(name, 0.0) + part.scalar(name)
            given[candidate.framework_id] += 1
    return out


def _order(
    candidates: Sequence[Candidate],
    held: Mapping[str, Mapping[str, float]],
    given: Mapping[str, int],
    totals: Mapping[str, float],
) -> list[tuple[Candidate, str]]:
    """Roles by their share, then frameworks by theirs, then by how often they were served."""
    by_role: dict[str, dict[str, float]] = {}
    for candidate in candidates:
        for role in candidate.roles:
            mine = by_role.setdefault(role, {})
            for name in SHARED:
                mine[name] = mine.get(name, 0.0) + held[candidate.framework_id].get(name, 0.0)
    pairs = [(c, role) for c in candidates for role in c.roles]
    return sorted(
        pairs,
        key=lambda pair: (
            share(by_role[pair[1]], totals),
            pair[1],
            share(held[pair[0].framework_id], totals),
            given[pair[0].framework_id],
            pair[0].framework_id,
        ),
    )
