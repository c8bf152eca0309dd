"""Who gives which records, and what each name owns by it. Pure.

Every task, agent and framework gives its records under a key of its own. So a change is put or dropped as a whole, and
only the names that it touches are made anew.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias, TypeVar

A, AAAA, SRV, HOLLOW = 1, 28, 33, 0
"""Types of records; a hollow one only says that the name exists."""

Service: TypeAlias = tuple[str, int]
Entry: TypeAlias = tuple[str, int, str | Service]
"""Owner in lower case without the last dot, type, and an address's text or an SRV's target and port."""

K = TypeVar("K", bound=Hashable)


class NameRecords(NamedTuple):
    """What one name owns, in a fixed order: two equal values have equal answers.

    `targets`: one address of each family for each target of `srv`. A tuple: one is made for every name.
    """

    a: tuple[str, ...] = ()
    aaaa: tuple[str, ...] = ()
    srv: tuple[Service, ...] = ()
    targets: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Entries:
    """Collects the records of one giver; giving a record twice is giving it once."""

    found: dict[Entry, None] = field(default_factory=dict)

    def address(self, name: str, addresses: Iterable[str]) -> None:
        """Addresses of both families."""
        for address in addresses:
            self.found[name, AAAA if ":" in address else A, address] = None

    def service(self, name: str, target: str, port: int) -> None:
        self.found[name, SRV, (target, port)] = None

    def exists(self, name: str) -> None:
        self.found[name, HOLLOW, ""] = None


def fits(name: str) -> bool:
    """Whether the DNS can carry the name."""
    if not name or ".." in name or name[0] == "." or name[-1] == ".":
        return False
    return len(name) <= 63 or (len(name) <= 253 and max(map(len, name.split("."))) <= 63)


class Book:
    """Givers and what they give. `owned` tells of a name, `put` and `drop` which names may own other records now."""

    def __init__(self) -> None:
        self._given: dict[Hashable, tuple[Entry, ...]] = {}
        self._owned: dict[str, dict[tuple[int, str | Service], int]] = {}
        self._aimed: dict[str, dict[str, int]] = {}

    def __len__(self) -> int:
        return len(self._owned)

    def names(self) -> Iterator[str]:
        return iter(self._owned)

    def given(self, key: Hashable) -> tuple[Entry, ...]:
        return self._given.get(key, ())

    def put(self, key: Hashable, entries: Iterable[Entry]) -> set[str]:
        """What `key` gives from now on; names that the DNS cannot carry are left out."""
        new = tuple(e for e in entries if fits(e[0]) and (e[1] != SRV or fits(e[2][0])))
        old = self._given.get(key, ())
        if new == old:
            return set()
        added, gone = set(new).difference(old), set(old).difference(new)
        for entry in added:
            self._count(entry, 1)
        for entry in gone:
            self._count(entry, -1)
        if new:
            self._given[key] = new
        else:
            self._given.pop(key, None)
        touched = {entry[0] for entry in added} | {entry[0] for entry in gone}
        for name in tuple(touched):
            touched.update(self._aimed.get(name, ()))
        return touched

    def drop(self, key: Hashable) -> set[str]:
        return self.put(key, ())

    def _count(self, entry: Entry, by: int) -> None:
        name, kind, data = entry
        _add(self._owned, name, (kind, data), by)
        if kind == SRV:
            _add(self._aimed, data[0], name, by)

    def owned(self, name: str) -> NameRecords | None:
        """None when the name does not exist."""
        found = self._owned.get(name)
        if found is None:
            return None
        if len(found) == 1:
            return self._single(*next(iter(found)))
        a = sorted(str(data) for kind, data in found if kind == A)
        aaaa = sorted(str(data) for kind, data in found if kind == AAAA)
        srv = sorted(data for _, data in found if isinstance(data, tuple))
        return NameRecords(tuple(a), tuple(aaaa), tuple(srv), self._targets(srv) if srv else ())

    def _single(self, kind: int, data: str | Service) -> NameRecords:
        """The records of a name that owns one: most do."""
        if isinstance(data, tuple):
            return NameRecords(srv=(data,), targets=self._targets([data]))
        return NameRecords((data,)) if kind == A else NameRecords(aaaa=(data,)) if kind == AAAA else NameRecords()

    def _targets(self, services: list[Service]) -> tuple[tuple[str, str], ...]:
        found = []
        for target in dict.fromkeys(target for target, _ in services):
            owned = self._owned.get(target, {})
            for wanted in (A, AAAA):
                addresses = [str(data) for kind, data in owned if kind == wanted]
                if addresses:
                    found.append((target, min(addresses)))
        return tuple(found)


def _add(table: dict[str, dict[K, int]], name: str, item: K, by: int) -> None:
    counts = table.setdefault(name, {})
    counts[item] = counts.get(item, 0) + by
    if not counts[item]:
        del counts[item]
        if not counts:
            del table[name]
