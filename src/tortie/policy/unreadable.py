"""What stands in the place of a policy or profile that is in the store and cannot be read.

Nobody knows which packets it forbids, so it lets none of those through that it may be about: whoever it selects is
closed, and where even its selector cannot be read, its whole namespace is, or everything that a global one can reach.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tortie.base.errors import Invalid
from tortie.model.codec import UNREADABLE
from tortie.model.policy_parts import DEFAULT_TIER
from tortie.model.resource import Kind
from tortie.model.selector import Selector
from tortie.policy.namespaces import policy_selector
from tortie.policy.policies import BOTH, POLICIES, STAGED
from tortie.policy.values import CompiledPolicy, RuleLists


def stand_in(kind: Kind[Any], key: str, value: bytes, why: str) -> tuple[CompiledPolicy, RuleLists] | None:
    """Of the policy at this key of the store; None for one that is staged, or no policy: it forbids nothing."""
    if kind not in POLICIES or kind.name.startswith(STAGED):
        return None
    namespace, name = kind.parse_key(key)
    spec = _spec(value)
    tier = spec.get("tier")
    title = "/".join(part for part in (kind.name, namespace, name) if part)
    policy = CompiledPolicy(
        id=f"Unreadable/{title}",
        tier=tier if isinstance(tier, str) and tier else DEFAULT_TIER,
        order=None,
        selector=_selector(spec, namespace).canonical,
        directions=BOTH,
    )
    return policy, RuleLists(problems=(f"{title} cannot be read: {why}",))


def _spec(value: bytes) -> dict[str, Any]:
    try:
        raw = msgspec.json.decode(value)
    except UNREADABLE:
        return {}
    spec = raw.get("spec") if isinstance(raw, dict) else None
    return spec if isinstance(spec, dict) else {}


def _selector(spec: dict[str, Any], namespace: str | None) -> Selector:
    """As written, when all of it can be read; else everybody whom a policy in this place can be about."""
    texts = [spec.get(name) or "" for name in ("selector", "namespaceSelector", "serviceAccountSelector")]
    if not all(isinstance(text, str) for text in texts):
        return policy_selector("", namespace=namespace)
    try:
        return policy_selector(texts[0], namespace=namespace, namespaces=texts[1], accounts=texts[2])
    except Invalid:
        return policy_selector("", namespace=namespace)
