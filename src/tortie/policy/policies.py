"""From a policy resource to the value that says whom it is about, and its rules."""

from __future__ import annotations

from typing import Any

from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY
from tortie.model.kinds.network_policy import NETWORK_POLICY
from tortie.model.kinds.staged_global_network_policy import STAGED_GLOBAL_NETWORK_POLICY
from tortie.model.kinds.staged_kubernetes_network_policy import (
    STAGED_KUBERNETES_NETWORK_POLICY,
    as_network_policy,
)
from tortie.model.kinds.staged_network_policy import STAGED_NETWORK_POLICY
from tortie.model.kinds.tier import TierSpec
from tortie.model.resource import Kind, Resource
from tortie.policy.compile import compile_lists
from tortie.policy.namespaces import policy_selector
from tortie.policy.order import Tier
from tortie.policy.values import CompiledPolicy, Direction, Hook, RuleLists

POLICIES: tuple[Kind[Any], ...] = (
    NETWORK_POLICY,
    GLOBAL_NETWORK_POLICY,
    STAGED_NETWORK_POLICY,
    STAGED_GLOBAL_NETWORK_POLICY,
    STAGED_KUBERNETES_NETWORK_POLICY,
)
DIRECTIONS: dict[str, Direction] = {"Ingress": "ingress", "Egress": "egress"}
BOTH: frozenset[Direction] = frozenset(("ingress", "egress"))
STAGED = "Staged"
# What a staged policy announces that changes no rule: taking the enforced one away, or nothing at all.
WITHOUT_RULES = frozenset(("Delete", "Ignore"))


def policy_id(resource: Resource[Any]) -> str:
    """KIND/NAME, or KIND/NAMESPACE/NAME of a namespaced one."""
    metadata = resource.metadata
    parts = (resource.kind.name, metadata.namespace, metadata.name)
    return "/".join(part for part in parts if part is not None)


def key_of(name: str) -> str:
    """The key of the resource with this `policy_id`."""
    kind, *namespace, own = name.split("/")
    return next(known for known in POLICIES if known.name == kind).key(own, namespace[0] if namespace else None)


def compile_policy(resource: Resource[Any]) -> tuple[CompiledPolicy, RuleLists] | None:
    """None for a staged policy that brings no rules. Invalid when its selectors cannot be read."""
    spec, namespace = resource.spec, resource.metadata.namespace if resource.kind.namespaced else None
    staged = resource.kind.name.startswith(STAGED)
    if staged and spec.staged_action in WITHOUT_RULES:
        return None
    if resource.kind is STAGED_KUBERNETES_NETWORK_POLICY:
        spec = as_network_policy(resource.metadata, spec).spec
    selector = policy_selector(
        spec.selector,
        namespace=namespace,
        namespaces=getattr(spec, "namespace_selector", ""),
        accounts=spec.service_account_selector,
    )
    policy = CompiledPolicy(
        id=policy_id(resource),
        tier=spec.tier or "default",
        order=spec.order,
        selector=selector.canonical,
        directions=frozenset(DIRECTIONS[text] for text in spec.types or ()) or BOTH,
        staged=staged,
        hook=_hook(spec),
        forward=bool(getattr(spec, "apply_on_forward", False)),
    )
    return policy, compile_lists(spec.ingress, spec.egress, namespace)


def tier_of(spec: TierSpec) -> Tier:
    return Tier(spec.order, spec.default_action or "Deny")


def _hook(spec: Any) -> Hook:
    if getattr(spec, "do_not_track", False):
        return "untracked"
    return "preDNAT" if getattr(spec, "pre_dnat", False) else "normal"
