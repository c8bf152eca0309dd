"""The table as wanted and as the kernel has it, and the steps from one to the other.

All of them are one transaction, so a packet meets the old table or the new one and nothing between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tortie.base.delta import Delta
from tortie.base.errors import Invalid
from tortie.dataplane.steps import (
    AddChain,
    AddSet,
    ClearChain,
    DropChain,
    DropSet,
    Members,
    Replace,
    Step,
    WriteRules,
)
from tortie.dataplane.track import Tracker
from tortie.dataplane.want import TABLE, Chain, Have, SetDef


@dataclass(frozen=True, slots=True)
class Plan:
    """One transaction. `prepare` makes sets and chains that nothing refers to before `commit` does, so it may go ahead
    where both are too much at once."""

    prepare: Sequence[Step] = ()
    commit: Sequence[Step] = ()
    sets: Delta[str, str] = field(default_factory=lambda: Delta({}, frozenset()))
    chains: Delta[str, str] = field(default_factory=lambda: Delta({}, frozenset()))
    elements: Mapping[str, Delta[str, str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.prepare or self.commit)


class Ledger:
    """What the table shall hold and what it holds. `put` and `drop` are cheap; `plan` costs what changed."""

    def __init__(self) -> None:
        self.defs: dict[str, SetDef] = {}
        self.rules: dict[str, Chain] = {}
        self._sets: Tracker[str, str] = Tracker()
        self._chains: Tracker[str, str] = Tracker()
        self._elements: dict[str, Tracker[str, str]] = {}
        self._dirty: set[str] = set()
        self._unread: set[str] = set()

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

    def learn(self, have: Have, canonical: Callable[[str, str], str] = lambda _, key: key) -> None:
        """What was read back; replaces what was believed. `canonical`: how the kernel's side writes the range `key` of
        a set of that type."""
        self._sets.learn_all(have.sets)
        self._chains.learn_all(have.chains)
        # Of a set that is not wanted at this moment nobody asked for the elements.
        self._unread = {name for name in have.sets if name not in self.defs}
        for name in self._elements.keys() | self.defs.keys():
            definition = self.defs.get(name)
            if definition is None or name not in have.sets:
                if name in self._elements:
                    self._tracker(name).learn_all({})
            elif definition.content is None or name in have.elements:
                self._learn_elements(name, definition, have.elements.get(name, {}), canonical)

    def _learn_elements(
        self, name: str, definition: SetDef, listed: Mapping[str, str], canonical: Callable[[str, str], str]
    ) -> None:
        wanted: Iterable[str] = self.elements(name) if definition.content is None else definition.content
        if definition.interval:
            spelt = {canonical(definition.type, key): key for key in wanted}
            listed = {spelt.get(key, key): verdict for key, verdict in listed.items()}
        if definition.content is None:
            self._tracker(name).learn_all(listed)
        elif listed.keys() != set(wanted):
            # Somebody has changed what never changes.
            self._tracker(name).want = dict.fromkeys(wanted, "")
            self._tracker(name).learn_all(listed)

    @property
    def must_read(self) -> bool:
        """A set is wanted that the kernel has, and what is in it is not known: it was not wanted when the table was
        read. No plan before the table is read again: what is in it and should not would stay."""
        return any(name in self.defs for name in self._unread)

    def to_read(self, *, content: bool) -> list[str]:
        """The sets whose elements must be read back. Those that never change (`content`) only if others may have
        changed them: each costs the kernel a walk over all sets."""
        return [name for name, definition in self.defs.items() if content or definition.content is None]

    def wrong_shapes(self) -> list[str]:
        """Sets that the kernel has under a wanted name with another type: only a rebuild mends that."""
        change = self._sets.pending()
        return sorted(name for name in change.put if name in self._sets.have)

    def plan(self) -> Plan:
        if wrong := self.wrong_shapes():
            raise Invalid(f"table {TABLE}: other types than ours in {', '.join(wrong)}")
        if self.must_read:
            raise Invalid(f"table {TABLE}: it must be read again first")
        sets, chains = self._sets.pending(), self._chains.pending()
        changed = self._element_changes()
        fresh = {name: change.put for name, change in changed.items() if name in sets.put}
        members, verdicts = self._changes({name: change for name, change in changed.items() if name not in sets.put})
        if not sets and not chains:
            return Plan(commit=[*members, *verdicts], elements=changed)
        new, old = self._apart(chains.put)
        prepare = [*self._new_sets(sets.put, fresh), *self._chain_steps(new)]
        commit = [
            *members,
            *self._chain_steps(old),
            *verdicts,
            *self._new_verdicts(fresh),
            *self._clear(chains.drop, sets.drop),
        ]
        return Plan(prepare, commit, sets, chains, changed)

    def _apart(self, chains: Iterable[str]) -> tuple[list[str], list[str]]:
        """(chains that no packet reaches before something else changes, the others)."""
        new: list[str] = []
        old: list[str] = []
        for name in sorted(chains):
            (old if name in self._chains.have or self.rules[name].base else new).append(name)
        return new, old

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

    def _changes(self, changed: Mapping[str, Delta[str, str]]) -> tuple[list[Step], list[Step]]:
        """(members of sets, elements of verdict maps). A changed verdict is a drop and a put."""
        members: list[Step] = []
        verdicts: list[Step] = []
        for name, change in changed.items():
            definition, have = self.defs[name], self._elements[name].have
            gone = sorted(change.drop | {key for key in change.put if key in have})
            found = verdicts if definition.verdict else members
            found += _members(name, definition, False, [(key, "") for key in gone])
            found += _members(name, definition, True, sorted(change.put.items()))
        return members, verdicts

    def _new_sets(self, names: Iterable[str], elements: Mapping[str, Mapping[str, str]]) -> Iterator[Step]:
        for name in sorted(names):
            definition = self.defs[name]
            yield AddSet(name, definition.type, definition.interval, definition.verdict)
            if definition.content is not None:
                yield from _members(name, definition, True, [(key, "") for key in definition.content])
            elif not definition.verdict:
                yield from _members(name, definition, True, sorted(elements.get(name, {}).items()))

    def _new_verdicts(self, elements: Mapping[str, Mapping[str, str]]) -> Iterator[Step]:
        """Elements of new maps: they name chains, so they come after them."""
        for name, put in elements.items():
            if self.defs[name].verdict:
                yield from _members(name, self.defs[name], True, sorted(put.items()))

    def _chain_steps(self, names: Sequence[str]) -> Iterator[Step]:
        # All before any rule: one may jump to another. A base chain's policy may have to be mended.
        for name in names:
            if name not in self._chains.have or self.rules[name].base:
                yield AddChain(name, self.rules[name].base, self.rules[name].note)
        for name in names:
            yield WriteRules(name, self.rules[name].rules, self.rules[name].mark)

    def _clear(self, chains: Iterable[str], sets: Iterable[str]) -> Iterator[Step]:
        """Rules first, then the sets that they used and the maps that name chains, then the chains."""
        names = sorted(chains)
        yield from map(ClearChain, names)
        yield from map(DropSet, sorted(sets))
        yield from map(DropChain, names)

    def rebuild(self) -> Plan:
        """One transaction that drops the table and loads everything wanted: never a moment without either."""
        self.learn(Have({}, {}, {}))
        plan = self.plan()
        return Plan((), [Replace(), *plan.prepare, *plan.commit], plan.sets, plan.chains, plan.elements)

    def users(self, name: str) -> frozenset[str]:
        """The chains whose rules mention a set or a chain."""
        return frozenset(chain for chain, value in self.rules.items() if name in value.uses)

    def settled(self, plan: Plan) -> None:
        """All steps of the plan were applied."""
        self._sets.settled(plan.sets)
        self._chains.settled(plan.chains)
        self._unread -= plan.sets.drop
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


def _members(name: str, definition: SetDef, put: bool, items: Sequence[tuple[str, str]]) -> list[Step]:
    return [Members(put, name, definition.type, items, definition.interval)] if items else []
