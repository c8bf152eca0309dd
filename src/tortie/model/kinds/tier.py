"""Tier: a group of policies, evaluated in its order before the tiers after it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import msgspec

from tortie.model import checks
from tortie.model.checks import Problem
from tortie.model.codec import Value
from tortie.model.resource import Kind, Metadata, Resource


class TierSpec(Value, frozen=True, kw_only=True):
    """`default_action`: what becomes of a packet that the tier's policies were about and did not decide."""

    order: int | float | None = None
    default_action: Literal["Deny", "Pass"] | None = None


BUILT_IN = {
    "kube-admin": TierSpec(order=1000, default_action="Pass"),
    "default": TierSpec(order=1_000_000, default_action="Deny"),
    "kube-baseline": TierSpec(order=10_000_000, default_action="Pass"),
}
"""The tiers that every store has; they cannot be removed or changed."""


def check_whole(tier: Resource[TierSpec]) -> Iterator[Problem]:
    if re.fullmatch(checks.DNS_LABEL, tier.name) is None:
        yield Problem("metadata.name", f"{tier.name!r} is no name of a tier: one label of up to 63 characters")
    fixed = BUILT_IN.get(tier.name)
    if fixed is None:
        return
    if tier.spec.order != fixed.order:
        yield Problem("spec.order", f"{tier.name} tier order must be {fixed.order}")
    if (tier.spec.default_action or "Deny") != fixed.default_action:
        yield Problem("spec.defaultAction", f"{tier.name} tier default action must be {fixed.default_action}")


def defaults(metadata: Metadata, spec: TierSpec) -> tuple[Metadata, TierSpec]:
    """A built-in tier without an order has its own."""
    fixed = BUILT_IN.get(metadata.name, TierSpec(default_action="Deny"))
    order = fixed.order if spec.order is None else spec.order
    action = spec.default_action or fixed.default_action
    return metadata, msgspec.structs.replace(spec, order=order, default_action=action)


TIER = Kind(name="Tier", plural="tiers", spec=TierSpec, check_whole=check_whole, defaults=defaults)
