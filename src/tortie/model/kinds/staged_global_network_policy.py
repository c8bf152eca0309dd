"""StagedGlobalNetworkPolicy: a GlobalNetworkPolicy that is evaluated for reports only, never enforced."""

from __future__ import annotations

from collections.abc import Iterator

from tortie.model.checks import Problem
from tortie.model.policy_parts import (
    GlobalPolicyRules,
    StagedAction,
    check_global,
    check_global_name,
    check_staged,
    staged_defaults,
)
from tortie.model.resource import Kind


class StagedGlobalNetworkPolicySpec(GlobalPolicyRules, frozen=True, kw_only=True):
    staged_action: StagedAction | None = None


def check(spec: StagedGlobalNetworkPolicySpec) -> Iterator[Problem]:
    yield from check_staged(spec, spec.staged_action)
    yield from check_global(spec)


STAGED_GLOBAL_NETWORK_POLICY = Kind(
    name="StagedGlobalNetworkPolicy",
    plural="stagedglobalnetworkpolicies",
    spec=StagedGlobalNetworkPolicySpec,
    check=check,
    check_whole=check_global_name,
    defaults=staged_defaults,
)
