"""Want, have, delta: the smallest change that turns one mapping into another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Delta(Generic[K, V]):
    """What to put and what to drop; falsy when there is nothing to do."""

    put: Mapping[K, V]
    drop: frozenset[K]

    def __bool__(self) -> bool:
        return bool(self.put or self.drop)


def delta(want: Mapping[K, V], have: Mapping[K, V]) -> Delta[K, V]:
    """The smallest change that turns `have` into `want`."""
    put = {key: value for key, value in want.items() if have.get(key) != value}
    return Delta(put, frozenset(have.keys() - want.keys()))
