"""Which documents are Kubernetes objects that have a meaning for policy, and what they become."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tortie.base.errors import Invalid
from tortie.model.kubernetes import account_profile, namespace_profile, network_policy
from tortie.model.kubernetes_pods import pod_to_endpoint
from tortie.model.resource import Resource

CORE, NETWORKING = "v1", "networking.k8s.io/v1"
_FORMS: dict[tuple[str, str], Callable[[Any], Resource[Any] | None]] = {
    (CORE, "Namespace"): namespace_profile,
    (CORE, "ServiceAccount"): account_profile,
    (CORE, "Pod"): pod_to_endpoint,
    (NETWORKING, "NetworkPolicy"): network_policy,
}


def is_kubernetes(document: Any) -> bool:
    """Whether `from_kubernetes` is the way in; `apiVersion: v1` alone says nothing, Calico's old form has it too."""
    if not isinstance(document, dict):
        return False
    version, kind = document.get("apiVersion"), document.get("kind")
    return version == NETWORKING or any(version == its and kind == name for its, name in _FORMS)


def from_kubernetes(document: Any) -> Resource[Any] | None:
    """The resource of one object; None for a Pod without an endpoint. Invalid says what is wrong."""
    version, kind = document.get("apiVersion"), document.get("kind")
    found = _FORMS.get((version, kind)) if isinstance(version, str) and isinstance(kind, str) else None
    if found is None:
        known = ", ".join(f"{name} of {its}" for its, name in _FORMS)
        raise Invalid(f"kind {kind!r} of apiVersion {version!r} is none of {known}")
    return found(document)
