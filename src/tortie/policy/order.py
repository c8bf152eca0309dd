"""Which policies an endpoint meets, in which order: tiers by order and name, policies by order and name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from tortie.policy.values import CompiledPolicy, Direction, PolicyRef, TierRef, Tiers


@dataclass(frozen=True, slots=True)
class Tier:
    """`order` None is last."""

    order: float | None = None
    default_action: Literal["Deny", "Pass"] = "Deny"


MISSING = Tier()
"""A policy's tier without a resource: it stands behind all others and ends with a deny."""


def tiers(policies: Iterable[CompiledPolicy], known: Mapping[str, Tier], direction: Direction) -> Tiers:
    """The tiers that have a policy for this direction, each with its policies."""
    by_tier: dict[str, list[CompiledPolicy]] = {}
    for policy in policies:
        if direction in policy.directions:
            by_tier.setdefault(policy.tier, []).append(policy)
    return tuple(
        TierRef(
            name,
            tuple(PolicyRef(policy.id, policy.staged) for policy in sorted(by_tier[name], key=policy_place)),
            known.get(name, MISSING).default_action,
        )
        for name in sorted(by_tier, key=lambda name: (name not in known, _last(known.get(name, MISSING).order), name))
    )


def policy_place(policy: CompiledPolicy) -> tuple[float, str]:
    """Where a policy stands in its tier; ties are decided by `name/namespace/kind`."""
    kind, *namespace, name = policy.id.split("/")
    return _last(policy.order), "/".join([name, *(namespace or [""]), kind])


def _last(order: float | None) -> float:
    return math.inf if order is None else order
