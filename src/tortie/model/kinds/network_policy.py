"""NetworkPolicy: rules for the endpoints of one namespace that its selector picks."""

from __future__ import annotations

from tortie.model.policy_parts import PolicyRules, check_local, check_local_name, defaults
from tortie.model.resource import Kind


class NetworkPolicySpec(PolicyRules, frozen=True, kw_only=True):
    """The fields of `PolicyRules`."""


NETWORK_POLICY = Kind(
    name="NetworkPolicy",
    plural="networkpolicies",
    spec=NetworkPolicySpec,
    namespaced=True,
    check=check_local,
    check_whole=check_local_name,
    defaults=defaults,
)
