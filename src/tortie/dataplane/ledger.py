"""The table as wanted and as the kernel has it, and the steps from one to the other.

The order keeps every moment closed or right: elements that rules need, then sets and rules (one transaction), then map
elements and removed members, then what nobody uses any more. Changes of elements alone are one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    """The steps, in order; empty ones are left out when they are carried out."""

    first: Sequence[ElementChange] = ()
    build: str = ""
    then: Sequence[ElementChange] = ()
    clear: str = ""
    sets: Delta[str, str] = field(default_factory=lambda: Delta({}, frozenset()))
    chains: Delta[str, str] = field(default_factory=lambda: Delta({}, frozenset()))
    elements: Mapping[str, Delta[str, str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.first or self.build or self.then or self.clear)


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
        changed = self._element_changes(sets)
        in_text = {name: change for name, change in changed.items() if name in sets.put}
        raw = {name: change for name, change in changed.items() if name not in sets.put}
        build = self._build(sets.put.keys(), chains.put.keys(), in_text) if sets.put or chains.put else ""
        clear = _clear(chains.drop, sets.drop)
        first, then = self._split(raw)
        if not build:
            first, then = [], first + then
        return Plan(first, build, then, clear, sets, chains, changed)

    def _element_changes(self, sets: Delta[str, str]) -> dict[str, Delta[str, str]]:
        """Pending changes of sets that stay or come; those of sets that go, go with them."""
        found = {}
        for name in sorted(self._dirty):
            tracker = self._elements[name]
            if name not in self.defs:
                continue
            if change := tracker.pending():
                found[name] = change
        return found

    def _split(self, raw: Mapping[str, Delta[str, str]]) -> tuple[list[ElementChange], list[ElementChange]]:
        """(what new rules may need, the rest). A changed verdict is a drop and a put in the same transaction."""
        first: list[ElementChange] = []
        then: list[ElementChange] = []
        for name, change in raw.items():
            definition, have = self.defs[name], self._elements[name].have
            gone = sorted(change.drop | {key for key in change.put if key in have})
            drops = [ElementChange(False, name, definition.type, key) for key in gone]
            puts = [ElementChange(True, name, definition.type, key, v) for key, v in sorted(change.put.items())]
            if definition.verdict:
                then += drops + puts
            else:
                first += puts
                then += drops
        return first, then

    def _build(self, sets: Iterable[str], chains: Iterable[str], elements: Mapping[str, Delta[str, str]]) -> str:
        names, lines = sorted(chains), []
        maps: list[str] = []
        for name in sorted(sets):
            definition = self.defs[name]
            lines.append(_add_set(name, definition))
            if definition.content is not None:
                lines += _add_elements(name, dict.fromkeys(definition.content, ""))
            elif name in elements:
                (maps if definition.verdict else lines).extend(_add_elements(name, elements[name].put))
        lines += [_add_chain(name, self.rules[name]) for name in names]
        for name in names:
            lines.append(f"flush chain {TABLE} {name}")
            mark = self.rules[name].mark
            lines += [f'add rule {TABLE} {name} {rule} comment "{mark}"' for rule in self.rules[name].rules]
        return "\n".join([*lines, *maps]) + "\n"

    def rebuild(self, have: Have) -> str:
        """One transaction that empties the table and loads everything wanted: never a moment without either."""
        lines = [f"flush chain {TABLE} {name}" for name in sorted(have.chains)]
        lines += [
            f"delete {'map' if 'verdict' in shape else 'set'} {TABLE} {name}"
            for name, shape in sorted(have.sets.items())
        ]
        lines += [f"delete chain {TABLE} {name}" for name in sorted(have.chains)]
        full = {name: Delta(tracker.want, frozenset[str]()) for name, tracker in self._elements.items() if tracker.want}
        return "\n".join(lines) + "\n" + self._build(self.defs, self.rules, full)

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


def _add_elements(name: str, elements: Mapping[str, str]) -> list[str]:
    written = [f"{key} : {verdict}" if verdict else key for key, verdict in sorted(elements.items())]
    return [
        f"add element {TABLE} {name} {{ {', '.join(written[i : i + PER_LINE])} }}"
        for i in range(0, len(written), PER_LINE)
    ]


def _add_chain(name: str, chain: Chain) -> str:
    note = f' comment "{chain.note}";' if chain.note else ""
    body = f"{chain.base}{note}".strip()
    return f"add chain {TABLE} {name} {{ {body} }}" if body else f"add chain {TABLE} {name}"


def _clear(chains: Iterable[str], sets: Iterable[str]) -> str:
    names = sorted(chains)
    lines = [f"flush chain {TABLE} {name}" for name in names]
    lines += [f"delete chain {TABLE} {name}" for name in names]
    lines += [f"delete set {TABLE} {name}" for name in sorted(sets)]
    return "\n".join(lines) + "\n" if lines else ""
