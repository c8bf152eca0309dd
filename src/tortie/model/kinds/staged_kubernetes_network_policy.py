"""StagedKubernetesNetworkPolicy: a Kubernetes NetworkPolicy that is evaluated for reports only, never enforced."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from tortie.base.errors import Invalid
from tortie.model.checks import Problem
from tortie.model.codec import Value, to_builtins
from tortie.model.kinds.network_policy import NetworkPolicySpec
from tortie.model.policy_parts import DEFAULT_TIER, PolicyType, StagedAction, check_staged, with_tier_label
from tortie.model.resource import Kind, Metadata, Resource


class StagedKubernetesNetworkPolicySpec(Value, frozen=True, kw_only=True):
    """The fields of the Kubernetes policy, in its own shape; `None` is not the same as an empty selector there."""

    staged_action: StagedAction | None = None
    pod_selector: dict[str, Any] | None = None
    ingress: tuple[dict[str, Any], ...] = ()
    egress: tuple[dict[str, Any], ...] = ()
    policy_types: tuple[PolicyType, ...] = ()


def check(spec: StagedKubernetesNetworkPolicySpec) -> Iterator[Problem]:
    yield from check_staged(spec, spec.staged_action)
    if len(set(spec.policy_types)) < len(spec.policy_types):
        yield Problem("spec.policyTypes", "names one type twice")
    try:
        as_network_policy(Metadata(name="x"), spec)
    except Invalid as error:
        yield from (Problem("spec", problem) for problem in error.problems)


def as_network_policy(metadata: Metadata, spec: StagedKubernetesNetworkPolicySpec) -> Resource[NetworkPolicySpec]:
    """What it would be if it were enforced. Invalid says what is wrong with it."""
    # Here and not above: most commands have nothing to do with Kubernetes.
    from tortie.model.kubernetes import network_policy

    fields = {name: value for name, value in to_builtins(spec).items() if name != "stagedAction"}
    return network_policy({"metadata": {"name": metadata.name, "namespace": metadata.namespace}, "spec": fields})


def defaults(
    metadata: Metadata, spec: StagedKubernetesNetworkPolicySpec
) -> tuple[Metadata, StagedKubernetesNetworkPolicySpec]:
    filled = msgspec.structs.replace(spec, staged_action=spec.staged_action or "Set")
    return with_tier_label(metadata, DEFAULT_TIER), filled


STAGED_KUBERNETES_NETWORK_POLICY = Kind(
    name="StagedKubernetesNetworkPolicy",
    plural="stagedkubernetesnetworkpolicies",
    spec=StagedKubernetesNetworkPolicySpec,
    namespaced=True,
    check=check,
    defaults=defaults,
)
