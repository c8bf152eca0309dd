"""Names of policies in keys, which changed over Calico's releases: every era is read, one is written.

`prefixed` (up to v3.29): `default.NAME`, or the name alone that begins with its tier. `annotated` (v3.30, v3.31): the
same key, with the person's name in an annotation. `plain` (from v3.32): the person's name, with the annotation.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, TypeVar

import msgspec

from tortie.model.policy_parts import DEFAULT_TIER
from tortie.model.resource import Metadata, Resource

Era = Literal["prefixed", "annotated", "plain"]
ANNOTATION = "projectcalico.org/metadata"
NEVER_PREFIXED = ("knp.", "ossg.")
POLICIES = frozenset(("NetworkPolicy", "GlobalNetworkPolicy", "StagedNetworkPolicy", "StagedGlobalNetworkPolicy"))

S = TypeVar("S", bound=msgspec.Struct)


def shown(resource: Resource[S]) -> Resource[S]:
    """A policy as people know it: under its own name, without the annotation. Other kinds stay as they are."""
    if resource.kind.name not in POLICIES:
        return resource
    metadata = resource.metadata
    annotations = {key: text for key, text in metadata.annotations.items() if key != ANNOTATION}
    named = msgspec.structs.replace(metadata, name=_own_name(metadata, _tier(resource)), annotations=annotations)
    return replace(resource, metadata=named)


def written(resource: Resource[S], era: Era = "plain") -> Resource[S]:
    """The policy, under the name that people know, as this era stores it."""
    if resource.kind.name not in POLICIES:
        return resource
    annotations = dict(resource.metadata.annotations)
    if era != "prefixed":
        annotations[ANNOTATION] = msgspec.json.encode({"name": resource.name}).decode()
    name = resource.name if era == "plain" else _prefixed(resource.name, _tier(resource))
    return replace(resource, metadata=msgspec.structs.replace(resource.metadata, name=name, annotations=annotations))


def stored_names(name: str, tier: str = DEFAULT_TIER) -> tuple[str, ...]:
    """The names under which the policy may lie, that of the newest era first."""
    return tuple(dict.fromkeys((name, _prefixed(name, tier))))


def era_of(stored: Resource[Any]) -> Era | None:
    """The era in which a stored policy was written; None when it could be of more than one."""
    if stored.kind.name not in POLICIES or stored.name.startswith(NEVER_PREFIXED):
        return None
    own = _annotated(stored.metadata)
    if own is None:
        return "prefixed" if stored.name.startswith(f"{_tier(stored)}.") else None
    if own == stored.name:
        return None if own == _prefixed(own, _tier(stored)) else "plain"
    return "annotated"


def _own_name(metadata: Metadata, tier: str) -> str:
    own = _annotated(metadata)
    if own is not None:
        return own
    return metadata.name.removeprefix(f"{DEFAULT_TIER}.") if tier == DEFAULT_TIER else metadata.name


def _annotated(metadata: Metadata) -> str | None:
    """The name in the annotation; None without one that can be read."""
    try:
        found = msgspec.json.decode(metadata.annotations.get(ANNOTATION, ""))
    except msgspec.MsgspecError:
        return None
    name = found.get("name") if isinstance(found, dict) else None
    return name if isinstance(name, str) and name else None


def _tier(resource: Resource[Any]) -> str:
    return getattr(resource.spec, "tier", "") or DEFAULT_TIER


def _prefixed(name: str, tier: str) -> str:
    return name if name.startswith((*NEVER_PREFIXED, f"{tier}.")) else f"{tier}.{name}"
