"""The table as wanted and as the kernel has it, and the steps from one to the other.

All of them are one transaction, so a packet meets the old table or the new one and nothing between: raw elements where
nothing else changes (the frequent case), text of nft otherwise.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tortie.base.delta import Delta
from tortie.base.errors import Invalid
from tortie.dataplane.track import Tracker
from tortie.dataplane.want import TABLE, Chain, Have, SetDef

PER_LINE = 1000


@dataclass(frozen=True, slots=True)
class ElementChange:
    """Put or drop one element of a set or map of the type `type`."""

    put: bool
    set: str
    type: str
    key: str
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """One transaction: `changes` of elements alone, or `text` with everything in it."""

    changes: Sequence[ElementChange] = ()
    text: str = ""
    sets: Delta[str, str] = field(default_factory=lambda: Delta({}, frozenset()))
    chains: Delta[str, str] = field(default_factory=lambda: Delta({}, frozenset()))
    elements: Mapping[str, Delta[str, str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.changes or self.text)


class Ledger:
    """What the table shall hold and what it holds. `put` and `drop` are cheap; `plan` costs what changed."""

    def __init__(self) -> None:
        self.defs: dict[str, SetDef] = {}
        self.rules: dict[str, Chain] = {}
        self._sets: Tracker[str, str] = Tracker()
        self._chains: Tracker[str, str] = Tracker()
        self._elements: dict[str, Tracker[str, str]] = {}
        self._dirty: set[str] = set()

    def put_set(self, name: str, definition: SetDef) -> None:
        self.defs[name] = definition
        self._sets.put(name, definition.shape)

    def drop_set(self, name: str) -> None:
        """With all its elements."""
        self.defs.pop(name, None)
        self._sets.drop(name)
        tracker = self._tracker(name)
        for key in list(tracker.want):
            tracker.drop(key)

    def put_chain(self, name: str, chain: Chain) -> None:
        self.rules[name] = chain
        self._chains.put(name, chain.mark)

    def drop_chain(self, name: str) -> None:
        self.rules.pop(name, None)
        self._chains.drop(name)

    def put_element(self, name: str, key: str, verdict: str = "") -> None:
        self._tracker(name).put(key, verdict)

    def drop_element(self, name: str, key: str) -> None:
        self._tracker(name).drop(key)

    def elements(self, name: str) -> Mapping[str, str]:
        """The wanted elements of a set."""
        tracker = self._elements.get(name)
        return tracker.want if tracker is not None else {}

    def holds(self, name: str, key: str) -> bool:
        """The kernel has the element just as it is wanted."""
        tracker = self._elements.get(name)
        if tracker is None:
            return False
        wanted = tracker.want.get(key)
        return wanted is not None and tracker.have.get(key) == wanted

    def has(self, name: str, key: str) -> bool:
        """The kernel has such an element, wanted or not."""
        tracker = self._elements.get(name)
        return tracker is not None and key in tracker.have

    def counts(self) -> dict[str, int]:
        live = sum(len(tracker.have) for tracker in self._elements.values())
        return {"chains": len(self._chains.have), "sets": len(self._sets.have), "elements": live}

    def _tracker(self, name: str) -> Tracker[str, str]:
        tracker = self._elements.setdefault(name, Tracker())
        self._dirty.add(name)
        return tracker

    def learn(self, have: Have) -> None:
        """What was read back; replaces what was believed."""
        self._sets.learn_all(have.sets)
        self._chains.learn_all(have.chains)
        for name in self._elements.keys() | have.elements.keys():
            definition = self.defs.get(name)
            listed = have.elements.get(name, {})
            if definition is not None and definition.content is None:
                self._tracker(name).learn_all(listed)
            elif name in self._elements:
                self._tracker(name).learn_all({})

    def wrong_shapes(self) -> list[str]:
        """Sets that the kernel has under a wanted name with another type: only a rebuild mends that."""
        change = self._sets.pending()
        return sorted(name for name in change.put if name in self._sets.have)

    def plan(self) -> Plan:
        if wrong := self.wrong_shapes():
            raise Invalid(f"table {TABLE}: other types than ours in {', '.join(wrong)}")
        sets, chains = self._sets.pending(), self._chains.pending()
        changed = self._element_changes()
        members, verdicts = self._split({name: change for name, change in changed.items() if name not in sets.put})
        if not sets and not chains:
            return Plan([*members, *verdicts], elements=changed)
        fresh = {name: change.put for name, change in changed.items() if name in sets.put}
        lines = [
            *self._new_sets(sets.put, fresh),
            *_change_lines(members),
            *self._chain_lines(chains.put),
            *_change_lines(verdicts),
            *self._new_verdicts(fresh),
            *self._clear_lines(chains.drop, sets.drop),
        ]
        return Plan(text="\n".join(lines) + "\n", sets=sets, chains=chains, elements=changed)

    def _element_changes(self) -> dict[str, Delta[str, str]]:
        """Pending changes of sets that stay or come; those of sets that go, go with them."""
        found = {}
        for name in sorted(self._dirty):
            tracker = self._elements[name]
            if name not in self.defs:
                continue
            if change := tracker.pending():
                found[name] = change
        return found

    def _split(self, changed: Mapping[str, Delta[str, str]]) -> tuple[list[ElementChange], list[ElementChange]]:
        """(members of sets, elements of verdict maps). A changed verdict is a drop and a put."""
        members: list[ElementChange] = []
        verdicts: list[ElementChange] = []
        for name, change in changed.items():
            definition, have = self.defs[name], self._elements[name].have
            gone = sorted(change.drop | {key for key in change.put if key in have})
            found = verdicts if definition.verdict else members
            found += [ElementChange(False, name, definition.type, key) for key in gone]
            found += [ElementChange(True, name, definition.type, key, v) for key, v in sorted(change.put.items())]
        return members, verdicts

    def _new_sets(self, names: Iterable[str], elements: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
        for name in sorted(names):
            definition = self.defs[name]
            yield _add_set(name, definition)
            if definition.content is not None:
                yield from _element_lines("add", name, dict.fromkeys(definition.content, ""))
            elif not definition.verdict:
                yield from _element_lines("add", name, elements.get(name, {}))

    def _new_verdicts(self, elements: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
        """Elements of new maps: they name chains, so they come after them."""
        for name, put in elements.items():
            if self.defs[name].verdict:
                yield from _element_lines("add", name, put)

    def _chain_lines(self, chains: Iterable[str]) -> Iterator[str]:
        names = sorted(chains)
        # All before any rule: one may jump to another.
        yield from (_add_chain(name, self.rules[name]) for name in names)
        for name in names:
            chain = self.rules[name]
            yield f"flush chain {TABLE} {name}"
            yield from (f'add rule {TABLE} {name} {rule} comment "{chain.mark}"' for rule in chain.rules)

    def _clear_lines(self, chains: Iterable[str], sets: Iterable[str]) -> Iterator[str]:
        """Rules first, then the sets that they used and the maps that name chains, then the chains."""
        names = sorted(chains)
        yield from (f"flush chain {TABLE} {name}" for name in names)
        for name in sorted(sets):
            yield f"delete {'map' if 'verdict' in self._sets.have[name] else 'set'} {TABLE} {name}"
        yield from (f"delete chain {TABLE} {name}" for name in names)

    def rebuild(self, have: Have) -> str:
        """One transaction that empties the table and loads everything wanted: never a moment without either."""
        self.learn(have)
        full = {name: tracker.want for name, tracker in self._elements.items() if tracker.want and name in self.defs}
        lines = [
            *self._clear_lines(have.chains, have.sets),
            *self._new_sets(self.defs, full),
            *self._chain_lines(self.rules),
            *self._new_verdicts(full),
        ]
        return "\n".join(lines) + "\n"

    def settled(self, plan: Plan) -> None:
        """All steps of the plan were applied."""
        self._sets.settled(plan.sets)
        self._chains.settled(plan.chains)
        for name, change in plan.elements.items():
            self._elements[name].settled(change)
        for name in plan.sets.drop:
            tracker = self._elements.pop(name, None)
            if tracker is not None and tracker.want:
                tracker.learn_all({})
                self._elements[name] = tracker
        for name in list(self._dirty):
            found = self._elements.get(name)
            if found is None or not found.dirty:
                self._dirty.discard(name)
                if name not in self.defs:
                    self._elements.pop(name, None)


def _add_set(name: str, definition: SetDef) -> str:
    if definition.verdict:
        return f"add map {TABLE} {name} {{ type {definition.type} : verdict; }}"
    flags = " flags interval;" if definition.interval else ""
    return f"add set {TABLE} {name} {{ type {definition.type};{flags} }}"


def _element_lines(word: str, name: str, elements: Mapping[str, str]) -> list[str]:
    written = [f"{key} : {verdict}" if verdict else key for key, verdict in sorted(elements.items())]
    return [
        f"{word} element {TABLE} {name} {{ {', '.join(written[i : i + PER_LINE])} }}"
        for i in range(0, len(written), PER_LINE)
    ]


def _change_lines(changes: Iterable[ElementChange]) -> Iterator[str]:
    for (put, name), group in itertools.groupby(changes, key=lambda change: (change.put, change.set)):
        yield from _element_lines("add" if put else "delete", name, {c.key: c.verdict for c in group})


def _add_chain(name: str, chain: Chain) -> str:
    note = f' comment "{chain.note}";' if chain.note else ""
    body = f"{chain.base}{note}".strip()
    return f"add chain {TABLE} {name} {{ {body} }}" if body else f"add chain {TABLE} {name}"
