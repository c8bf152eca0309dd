"""Which items match which selector, kept up to date as endpoints, profiles and selectors come and go.

Endpoints with the same labels form a class. A selector is judged once per class, never per endpoint; a label change
moves one endpoint between two classes whose verdicts are known. What a selector needs (`restrict`) leaves out most of
the pairs of class and selector unjudged. Labels come from the endpoint first, then from its profiles in order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tortie.model.selector import Selector, parse
from tortie.policy.restrict import Key, keys_of, needs

Labels = frozenset[tuple[str, str]]
M = TypeVar("M", bound=Hashable)
ANY: frozenset[Key | None] = frozenset([None])


@dataclass(frozen=True, slots=True)
class Gained(Generic[M]):
    """Members that the selector followed under `name` gained and lost."""

    name: str
    added: frozenset[M]
    removed: frozenset[M]


@dataclass(slots=True)
class _Class(Generic[M]):
    """Endpoints with equal labels: how many of them have each member, and the selectors in use that match."""

    labels: dict[str, str]
    members: Counter[M] = field(default_factory=Counter)
    endpoints: int = 0
    selectors: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Endpoint(Generic[M]):
    labels: Mapping[str, str]
    profiles: tuple[str, ...]
    members: tuple[M, ...]


class LabelIndex(Generic[M]):
    """One call per thing learned; each answers with the members that selectors in use gained and lost.

    A member is what an endpoint brings into the selectors that match it: its addresses, its ports, its own key; each
    once.
    """

    def __init__(self) -> None:
        self._endpoints: dict[str, _Endpoint[M]] = {}
        self._class_of: dict[str, Labels] = {}
        self._classes: dict[Labels, _Class[M]] = {}
        self._inherited: dict[str, Mapping[str, str]] = {}
        self._listing: dict[str, set[str]] = {}
        self._selectors: dict[str, Selector] = {}
        self._members: dict[str, Counter[M]] = {}
        self._matching: dict[str, set[Labels]] = {}
        self._selectors_by_key: dict[Key | None, set[str]] = {}
        self._classes_by_key: dict[Key | None, set[Labels]] = {}

    def members(self, name: str) -> frozenset[M]:
        """Of a selector in use; empty for others."""
        return frozenset(self._members.get(name, ()))

    def brought(self, key: str) -> tuple[M, ...]:
        """The members that an endpoint brings."""
        endpoint = self._endpoints.get(key)
        return endpoint.members if endpoint else ()

    def has(self, name: str, member: M) -> bool:
        """Whether a selector in use has the member."""
        return member in self._members.get(name, ())

    def use(self, name: str, selector: Selector | None = None) -> list[Gained[M]]:
        """Begin to follow a selector, by default the one whose text is `name`; its members are the answer.
        Again: no change."""
        if name in self._selectors:
            return []
        parsed = self._selectors[name] = selector or parse(name)
        members = self._members[name] = Counter()
        matching = self._matching[name] = set()
        for key in _keys(parsed):
            self._selectors_by_key.setdefault(key, set()).add(name)
            matching |= {c for c in self._classes_by_key.get(key, ()) if parsed.matches(self._classes[c].labels)}
        for labels in matching:
            group = self._classes[labels]
            group.selectors.add(name)
            members.update(group.members)
        return [Gained(name, frozenset(members), frozenset())]

    def disuse(self, name: str) -> None:
        """Forget a selector."""
        selector = self._selectors.pop(name, None)
        if selector is None:
            return
        del self._members[name]
        for labels in self._matching.pop(name):
            self._classes[labels].selectors.discard(name)
        for key in _keys(selector):
            discard(self._selectors_by_key, key, name)

    def set_endpoint(
        self,
        key: str,
        labels: Mapping[str, str] | None,
        profiles: tuple[str, ...] = (),
        members: tuple[M, ...] = (),
    ) -> list[Gained[M]]:
        """`labels` None: the endpoint is gone."""
        old = self._endpoints.pop(key, None)
        for profile in dict.fromkeys(old.profiles if old else ()):
            discard(self._listing, profile, key)
        if labels is not None:
            self._endpoints[key] = _Endpoint(labels, profiles, members)
            for profile in profiles:
                self._listing.setdefault(profile, set()).add(key)
        return self._move([(key, old.members if old else ())])

    def set_profile(self, name: str, labels: Mapping[str, str] | None) -> list[Gained[M]]:
        """The labels that a profile gives to its endpoints; None or empty: it gives none."""
        if self._inherited.get(name, {}) == (labels or {}):
            return []
        if labels:
            self._inherited[name] = labels
        else:
            self._inherited.pop(name, None)
        keys = sorted(self._listing.get(name, ()))
        return self._move([(key, self._endpoints[key].members) for key in keys])

    def _labels(self, key: str) -> Labels | None:
        endpoint = self._endpoints.get(key)
        if endpoint is None:
            return None
        merged: dict[str, str] = {}
        for profile in reversed(endpoint.profiles):
            merged.update(self._inherited.get(profile, {}))
        merged.update(endpoint.labels)
        return frozenset(merged.items())

    def _move(self, endpoints: Iterable[tuple[str, tuple[M, ...]]]) -> list[Gained[M]]:
        """Put endpoints (with the members they had) into the classes of their present labels."""
        before: dict[tuple[str, M], bool] = {}
        for key, had in endpoints:
            now = self._labels(key)
            if now is not None and self._class_of.get(key) == now:
                self._recount(now, had, self._endpoints[key].members, before)
                continue
            self._leave(key, had, before)
            if now is not None:
                self._enter(key, now, before)
        return self._changes(before)

    def _recount(
        self, labels: Labels, had: tuple[M, ...], have: tuple[M, ...], before: dict[tuple[str, M], bool]
    ) -> None:
        """In the same class as before: only what came and went, of what may be a long list."""
        if had == have:
            return
        old, new = frozenset(had), frozenset(have)
        for member in old - new:
            self._count(self._classes[labels], member, -1, before)
        for member in new - old:
            self._count(self._classes[labels], member, +1, before)

    def _leave(self, key: str, members: tuple[M, ...], before: dict[tuple[str, M], bool]) -> None:
        labels = self._class_of.pop(key, None)
        if labels is None:
            return
        group = self._classes[labels]
        for member in members:
            self._count(group, member, -1, before)
        group.endpoints -= 1
        if not group.endpoints:
            self._drop_class(labels)

    def _enter(self, key: str, labels: Labels, before: dict[tuple[str, M], bool]) -> None:
        group = self._classes.get(labels)
        if group is None:
            group = self._add_class(labels)
        self._class_of[key] = labels
        group.endpoints += 1
        for member in self._endpoints[key].members:
            self._count(group, member, +1, before)

    def _add_class(self, labels: Labels) -> _Class[M]:
        group = self._classes[labels] = _Class(dict(labels))
        for key in _class_keys(group.labels):
            self._classes_by_key.setdefault(key, set()).add(labels)
            for name in self._selectors_by_key.get(key, ()):
                if name not in group.selectors and self._selectors[name].matches(group.labels):
                    group.selectors.add(name)
                    self._matching[name].add(labels)
        return group

    def _drop_class(self, labels: Labels) -> None:
        group = self._classes.pop(labels)
        for name in group.selectors:
            self._matching[name].discard(labels)
        for key in _class_keys(group.labels):
            discard(self._classes_by_key, key, labels)

    def _count(self, group: _Class[M], member: M, step: int, before: dict[tuple[str, M], bool]) -> None:
        """One holder more or less of a member, in the class and in every selector that matches the class."""
        for name in group.selectors:
            before.setdefault((name, member), member in self._members[name])
        for counter in (group.members, *(self._members[name] for name in group.selectors)):
            counter[member] += step
            if not counter[member]:
                del counter[member]

    def _changes(self, before: Mapping[tuple[str, M], bool]) -> list[Gained[M]]:
        added: dict[str, set[M]] = {}
        removed: dict[str, set[M]] = {}
        for (name, member), was in before.items():
            now = member in self._members[name]
            if now != was:
                (added if now else removed).setdefault(name, set()).add(member)
        return [
            Gained(name, frozenset(added.get(name, ())), frozenset(removed.get(name, ())))
            for name in sorted(added.keys() | removed.keys())
        ]


def _keys(selector: Selector) -> Iterable[Key | None]:
    """Where a selector is filed: under each key that it may need, or under None with those that need nothing."""
    found = needs(selector.node)
    return ANY if found is None else found


def _class_keys(labels: Mapping[str, str]) -> Iterator[Key | None]:
    yield None
    yield from keys_of(labels)


K = TypeVar("K")
V = TypeVar("V")


def discard(register: dict[K, set[V]], key: K, value: V) -> None:
    """Take a value out of the set at a key; no empty set is left behind."""
    held = register.get(key)
    if held is not None:
        held.discard(value)
        if not held:
            del register[key]
