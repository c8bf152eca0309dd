"""Which addresses match which selector, kept up to date as endpoints, profiles and selectors come and go.

Endpoints with the same labels form a class. A selector is judged once per class, never per endpoint; a label change
moves one endpoint between two classes whose verdicts are known. Labels come from the endpoint first, then from its
profiles in order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tortie.model.selector import Selector, parse
from tortie.policy.values import MembersChanged

Labels = frozenset[tuple[str, str]]


@dataclass(slots=True)
class _Class:
    """Endpoints with equal labels: how many of them have each address, and the selectors in use that match."""

    labels: dict[str, str]
    addresses: Counter[str] = field(default_factory=Counter)
    endpoints: int = 0
    selectors: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Endpoint:
    labels: Mapping[str, str]
    profiles: tuple[str, ...]
    addresses: tuple[str, ...]


class LabelIndex:
    """One call per thing learned; each answers with the members that selectors in use gained and lost."""

    def __init__(self) -> None:
        self._endpoints: dict[str, _Endpoint] = {}
        self._class_of: dict[str, Labels] = {}
        self._classes: dict[Labels, _Class] = {}
        self._inherited: dict[str, Mapping[str, str]] = {}
        self._listing: dict[str, set[str]] = {}
        self._selectors: dict[str, Selector] = {}
        self._members: dict[str, Counter[str]] = {}

    def members(self, selector: str) -> frozenset[str]:
        """Of a selector in use; empty for others."""
        return frozenset(self._members.get(selector, ()))

    def use(self, selector: str) -> list[MembersChanged]:
        """Begin to follow a selector, by its canonical text; its members are the answer. Again: no change."""
        if selector in self._selectors:
            return []
        parsed = self._selectors[selector] = parse(selector)
        members = self._members[selector] = Counter()
        for group in self._classes.values():
            if parsed.matches(group.labels):
                group.selectors.add(selector)
                members.update(group.addresses)
        return [MembersChanged(selector, frozenset(members), frozenset())]

    def disuse(self, selector: str) -> None:
        """Forget a selector."""
        self._selectors.pop(selector, None)
        self._members.pop(selector, None)
        for group in self._classes.values():
            group.selectors.discard(selector)

    def set_endpoint(
        self,
        key: str,
        labels: Mapping[str, str] | None,
        profiles: tuple[str, ...] = (),
        addresses: tuple[str, ...] = (),
    ) -> list[MembersChanged]:
        """`labels` None: the endpoint is gone."""
        old = self._endpoints.pop(key, None)
        for profile in old.profiles if old else ():
            self._listing[profile].discard(key)
            if not self._listing[profile]:
                del self._listing[profile]
        if labels is not None:
            self._endpoints[key] = _Endpoint(labels, profiles, addresses)
            for profile in profiles:
                self._listing.setdefault(profile, set()).add(key)
        return self._move([(key, old.addresses if old else ())])

    def set_profile(self, name: str, labels: Mapping[str, str] | None) -> list[MembersChanged]:
        """The labels that a profile gives to its endpoints; None or empty: it gives none."""
        if self._inherited.get(name, {}) == (labels or {}):
            return []
        if labels:
            self._inherited[name] = labels
        else:
            self._inherited.pop(name, None)
        keys = sorted(self._listing.get(name, ()))
        return self._move([(key, self._endpoints[key].addresses) for key in keys])

    def _labels(self, key: str) -> Labels | None:
        endpoint = self._endpoints.get(key)
        if endpoint is None:
            return None
        merged: dict[str, str] = {}
        for profile in reversed(endpoint.profiles):
            merged.update(self._inherited.get(profile, {}))
        merged.update(endpoint.labels)
        return frozenset(merged.items())

    def _move(self, endpoints: Iterable[tuple[str, tuple[str, ...]]]) -> list[MembersChanged]:
        """Put endpoints (with the addresses they had) into the classes of their present labels."""
        before: dict[tuple[str, str], bool] = {}
        for key, had in endpoints:
            now = self._labels(key)
            self._leave(key, had, before)
            if now is not None:
                self._enter(key, now, before)
        return self._changes(before)

    def _leave(self, key: str, addresses: tuple[str, ...], before: dict[tuple[str, str], bool]) -> None:
        labels = self._class_of.pop(key, None)
        if labels is None:
            return
        group = self._classes[labels]
        for address in addresses:
            self._count(group, address, -1, before)
        group.endpoints -= 1
        if not group.endpoints:
            del self._classes[labels]

    def _enter(self, key: str, labels: Labels, before: dict[tuple[str, str], bool]) -> None:
        group = self._classes.get(labels)
        if group is None:
            group = self._classes[labels] = _Class(dict(labels))
            group.selectors = {text for text, selector in self._selectors.items() if selector.matches(group.labels)}
        self._class_of[key] = labels
        group.endpoints += 1
        for address in self._endpoints[key].addresses:
            self._count(group, address, +1, before)

    def _count(self, group: _Class, address: str, step: int, before: dict[tuple[str, str], bool]) -> None:
        """One holder more or less of an address, in the class and in every selector that matches the class."""
        for selector in group.selectors:
            before.setdefault((selector, address), address in self._members[selector])
        for counter in (group.addresses, *(self._members[selector] for selector in group.selectors)):
            counter[address] += step
            if not counter[address]:
                del counter[address]

    def _changes(self, before: Mapping[tuple[str, str], bool]) -> list[MembersChanged]:
        added: dict[str, set[str]] = {}
        removed: dict[str, set[str]] = {}
        for (selector, address), was in before.items():
            now = address in self._members[selector]
            if now != was:
                (added if now else removed).setdefault(selector, set()).add(address)
        return [
            MembersChanged(selector, frozenset(added.get(selector, ())), frozenset(removed.get(selector, ())))
            for selector in sorted(added.keys() | removed.keys())
        ]
