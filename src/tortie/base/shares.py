"""Which values each key holds, where many keys hold the same ones."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Hashable)


class Shares(Generic[K, V]):
    """Keys with equal values are one group, so it costs what the distinct lists cost, not what the keys do: 2,400
    endpoints of 100 policies each are 50 lists. Iterating gives every value that some key holds."""

    def __init__(self) -> None:
        self._group: dict[K, frozenset[V]] = {}
        self._keys: dict[frozenset[V], tuple[frozenset[V], set[K]]] = {}
        self._groups: dict[V, set[frozenset[V]]] = {}

    def __contains__(self, value: V) -> bool:
        return value in self._groups

    def __iter__(self) -> Iterator[V]:
        return iter(self._groups)

    def keys(self, value: V) -> set[K]:
        """Who holds a value."""
        return {key for group in self._groups.get(value, ()) for key in self._keys[group][1]}

    def put(self, key: K, values: frozenset[V]) -> tuple[set[V], set[V]]:
        """In the place of what the key held. (values that nobody held before, values that nobody holds any more)."""
        old = self._group.pop(key, frozenset())
        if old == values:
            if old:
                self._group[key] = old
            return set(), set()
        gained = self._join(key, values) if values else set()
        return gained, self._leave(key, old) if old else set()

    def _join(self, key: K, values: frozenset[V]) -> set[V]:
        if (known := self._keys.get(values)) is not None:
            # One object of the equal ones, however many keys there are.
            self._group[key], held = known
            held.add(key)
            return set()
        self._group[key] = values
        self._keys[values] = values, {key}
        gained = {value for value in values if value not in self._groups}
        for value in values:
            self._groups.setdefault(value, set()).add(values)
        return gained

    def _leave(self, key: K, values: frozenset[V]) -> set[V]:
        _, held = self._keys[values]
        held.discard(key)
        if held:
            return set()
        del self._keys[values]
        for value in values:
            self._groups[value].discard(values)
        lost = {value for value in values if not self._groups[value]}
        for value in lost:
            del self._groups[value]
        return lost
