"""GlobalNetworkPolicy: rules for the endpoints of all namespaces, and for hosts, that its selector picks."""

from __future__ import annotations

from tortie.model.policy_parts import GlobalPolicyRules, check_global, check_global_name, defaults
from tortie.model.resource import Kind


class GlobalNetworkPolicySpec(GlobalPolicyRules, frozen=True, kw_only=True):
    """The fields of `GlobalPolicyRules`."""


GLOBAL_NETWORK_POLICY = Kind(
    name="GlobalNetworkPolicy",
    plural="globalnetworkpolicies",
    spec=GlobalNetworkPolicySpec,
    check=check_global,
    check_whole=check_global_name,
    defaults=defaults,
)
