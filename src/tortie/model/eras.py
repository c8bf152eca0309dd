"""Names of policies in keys, which changed over Calico's releases: every era is read, one is written.

`prefixed` (up to v3.29): `default.NAME`, or the name alone that begins with its tier. `annotated` (v3.30, v3.31): the
same key, with the person's name in an annotation. `plain` (from v3.32): the person's name, with the annotation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Generic, Literal, TypeVar, get_args

import msgspec

from tortie.model.codec import UNREADABLE
from tortie.model.policy_parts import DEFAULT_TIER
from tortie.model.resource import Metadata, Resource

Era = Literal["prefixed", "annotated", "plain"]
ANNOTATION = "projectcalico.org/metadata"
NEVER_PREFIXED = ("knp.", "ossg.")
POLICIES = frozenset(("NetworkPolicy", "GlobalNetworkPolicy", "StagedNetworkPolicy", "StagedGlobalNetworkPolicy"))
OLDEST_FIRST: tuple[Era, ...] = get_args(Era)

S = TypeVar("S", bound=msgspec.Struct)
V = TypeVar("V")


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


def choose_era(stored: Iterable[Resource[Any]], calico_version: str = "") -> Era:
    """The era to write: that of the oldest program that shares the store, which would not find names of a newer one.

    Told by what lies there, else by the version that ClusterInformation gives; where both say nothing the newest.
    """
    found = {era_of(resource) for resource in stored}
    for era in OLDEST_FIRST:
        if era in found:
            return era
    version = re.match(r"v?3\.([0-9]{1,4})", calico_version)
    if version is None or int(version[1]) >= 32:
        return "plain"
    return "annotated" if int(version[1]) >= 30 else "prefixed"


def faults(stored: Iterable[Resource[Any]], era: Era | None) -> list[str]:
    """What is wrong with the names in a store where `era` is written: several eras, one policy under several keys."""
    names: dict[Era, list[str]] = {}
    keys: dict[str, list[str]] = {}
    for resource in stored:
        title = _title(shown(resource))
        keys.setdefault(title, []).append(resource.name)
        if (its := era_of(resource)) is not None:
            names.setdefault(its, []).append(title)
    told = [
        f"{title} is stored {len(several)} times: {', '.join(several)}"
        for title, several in keys.items()
        if several[1:]
    ]
    wrong = [its for its in OLDEST_FIRST if its in names and its != era and (era is not None or len(names) > 1)]
    for its in wrong:
        first, more = names[its][0], len(names[its]) - 1
        others = f" and {more} more" if more else ""
        written_now = f"the era {era} is written" if era else "there are several eras"
        told.append(f"names of the era {its}, while {written_now}: {first}{others}")
    return told


class OneEach(Generic[V]):
    """The policies of a store, each once: one that lies there under the keys of several eras counts as the newest.
    `keep`: what is kept of a policy as people know it."""

    def __init__(self, keep: Callable[[Resource[Any]], V]) -> None:
        self._keep = keep
        self._title_of: dict[str, str] = {}
        self._stored: dict[str, dict[str, tuple[tuple[bool, str], V]]] = {}

    def learn(self, key: str, stored: Resource[Any] | None) -> dict[str, V | None]:
        """What is at a key now, None for nothing. By the key of its own name: every policy that this changes. What
        `keep` raises changes nothing."""
        own = shown(stored) if stored is not None else None
        found = (_age(stored, own), self._keep(own)) if stored is not None and own is not None else None
        told: dict[str, V | None] = {}
        before = self._title_of.pop(key, None)
        if before is not None:
            del self._stored[before][key]
            told[before] = self._counts(before)
        if own is not None and found is not None:
            self._title_of[key] = own.key
            self._stored.setdefault(own.key, {})[key] = found
            told[own.key] = self._counts(own.key)
        return told

    def _counts(self, title: str) -> V | None:
        several = self._stored[title]
        if not several:
            del self._stored[title]
            return None
        return min(several.values(), key=lambda one: one[0])[1]


def _age(stored: Resource[Any], own: Resource[Any]) -> tuple[bool, str]:
    """The smallest counts: the name that people know, else the first."""
    return stored.name != own.name, stored.name


def newest(stored: Iterable[Resource[S]]) -> Resource[S]:
    """Of several keys of one policy the one that counts."""
    return min(stored, key=lambda resource: _age(resource, shown(resource)))


def one_each(stored: Iterable[Resource[S]]) -> list[Resource[S]]:
    """Policies as people know them, each once, in the order of their names."""
    found: dict[str, tuple[Resource[S], Resource[S]]] = {}
    for resource in stored:
        own = shown(resource)
        there = found.get(own.key)
        if there is None or newest((there[0], resource)) is resource:
            found[own.key] = (resource, own)
    return [own for _, (_, own) in sorted(found.items())]


def _title(resource: Resource[Any]) -> str:
    namespace = f"{resource.metadata.namespace}/" if resource.kind.namespaced else ""
    return f"{resource.kind.name} {namespace}{resource.name}"


def _own_name(metadata: Metadata, tier: str) -> str:
    own = _annotated(metadata)
    if own is not None:
        return own
    return metadata.name.removeprefix(f"{DEFAULT_TIER}.") if tier == DEFAULT_TIER else metadata.name


def _annotated(metadata: Metadata) -> str | None:
    """The name in the annotation; None without one that can be read."""
    try:
        found = msgspec.json.decode(metadata.annotations.get(ANNOTATION, ""))
    except UNREADABLE:
        return None
    name = found.get("name") if isinstance(found, dict) else None
    return name if isinstance(name, str) and name else None


def _tier(resource: Resource[Any]) -> str:
    return getattr(resource.spec, "tier", "") or DEFAULT_TIER


def _prefixed(name: str, tier: str) -> str:
    return name if name.startswith((*NEVER_PREFIXED, f"{tier}.")) else f"{tier}.{name}"
