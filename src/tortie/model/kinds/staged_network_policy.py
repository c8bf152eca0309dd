"""StagedNetworkPolicy: a NetworkPolicy that is evaluated for reports only, never enforced."""

from __future__ import annotations

from collections.abc import Iterator

from tortie.model.checks import Problem
from tortie.model.policy_parts import (
    PolicyRules,
    StagedAction,
    check_local,
    check_local_name,
    check_staged,
    staged_defaults,
)
from tortie.model.resource import Kind


class StagedNetworkPolicySpec(PolicyRules, frozen=True, kw_only=True):
    staged_action: StagedAction | None = None


def check(spec: StagedNetworkPolicySpec) -> Iterator[Problem]:
    yield from check_staged(spec, spec.staged_action)
    yield from check_local(spec)


STAGED_NETWORK_POLICY = Kind(
    name="StagedNetworkPolicy",
    plural="stagednetworkpolicies",
    spec=StagedNetworkPolicySpec,
    namespaced=True,
    check=check,
    check_whole=check_local_name,
    defaults=staged_defaults,
)
