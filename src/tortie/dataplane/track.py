"""Want and have of one kind of thing, with the difference at hand without comparing everything."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

from tortie.base.delta import Delta

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Tracker(Generic[K, V]):
    """`put` and `drop` say what is wanted; `pending` costs as much as what changed, not as much as there is."""

    def __init__(self) -> None:
        self.want: dict[K, V] = {}
        self.have: dict[K, V] = {}
        self._dirty: set[K] = set()

    def put(self, key: K, value: V) -> None:
        self.want[key] = value
        self._settle(key)

    def drop(self, key: K) -> None:
        self.want.pop(key, None)
        self._settle(key)

    def _settle(self, key: K) -> None:
        if self.want.get(key) == self.have.get(key):
            self._dirty.discard(key)
        else:
            self._dirty.add(key)

    def pending(self) -> Delta[K, V]:
        put = {key: self.want[key] for key in self._dirty if key in self.want}
        return Delta(put, frozenset(key for key in self._dirty if key not in self.want))

    @property
    def dirty(self) -> bool:
        """Something is pending."""
        return bool(self._dirty)

    def learn(self, key: K, value: V | None) -> None:
        """One key as the world has it now; None: it is not there."""
        if value is None:
            self.have.pop(key, None)
        else:
            self.have[key] = value
        self._settle(key)

    def learn_all(self, have: Mapping[K, V]) -> None:
        """The whole state as it was read back; replaces what was believed."""
        self.have = dict(have)
        self._dirty = {key for key in self.want.keys() | have.keys() if self.want.get(key) != have.get(key)}

    def settled(self, change: Delta[K, V]) -> None:
        """The change was applied."""
        for key, value in change.put.items():
            self.learn(key, value)
        for key in change.drop:
            self.learn(key, None)
