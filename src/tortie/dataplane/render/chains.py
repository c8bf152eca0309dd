"""The chains of policies, profiles, tiers and stacks: there while something reaches them, written anew when what they
say changes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Literal

from tortie.dataplane.ledger import Ledger
from tortie.dataplane.render.rules import (
    Listed,
    Wide,
    Written,
    ends_of,
    passes,
    rule_places,
    source_nets,
    write_rules,
)
from tortie.dataplane.render.settings import Settings
from tortie.dataplane.render.stacks import Node, Stack, TierChain, failsafe_chains, write_stack, write_tier
from tortie.policy.values import NamedPort, RuleLists

Owner = tuple[Literal["policy", "profile"], str]
"""Whoever has rules."""
NOTE = re.compile(r"[^A-Za-z0-9_.:/ -]")


class Chains:
    """`hold` and `release` say which stacks are needed; everything below them comes and goes along."""

    def __init__(self, ledger: Ledger, settings: Settings, wide: Wide) -> None:
        """`wide`: as it is at each moment."""
        self._ledger = ledger
        self._wide = wide
        self._settings = settings
        self._rules: dict[Owner, RuleLists] = {}
        self._held: Counter[Node] = Counter()
        self._nodes: dict[str, Node] = {}
        self._listed: dict[Owner, set[Listed]] = {}
        self._tiers: dict[Listed, set[TierChain]] = {}
        self._asking: dict[str | NamedPort, set[Owner]] = {}
        self._refused: dict[Owner, str] = {}
        self._faulty: set[Owner] = set()
        self._content_sets: Counter[str] = Counter()
        self._chain_sets: dict[str, frozenset[str]] = {}

    def set_settings(self, settings: Settings) -> None:
        """Everything that depends on them is written again."""
        self._settings = settings
        for node in self._held:
            self._write(node)

    def set_rules(self, owner: Owner, rules: RuleLists | None) -> bool:
        """None: there is no such policy or profile. Whether what is wrong with it changed."""
        old, before = self._rules.get(owner), self.problems(owner)
        if rules is None:
            self._rules.pop(owner, None)
        else:
            self._rules[owner] = rules
        for what in _asks(old) - _asks(rules):
            self._asking[what].discard(owner)
            if not self._asking[what]:
                del self._asking[what]
        for what in _asks(rules) - _asks(old):
            self._asking.setdefault(what, set()).add(owner)
        self._refused.pop(owner, None)
        (self._faulty.add if rules is not None and rules.problems else self._faulty.discard)(owner)
        self._write_owner(owner)
        return before != self.problems(owner)

    def places(self, owner: Owner) -> list[tuple[Listed, list[int]]]:
        """The chains that are there of a policy or profile; for each of their lines of rules, of which rule it is."""
        rules, live = self._rules.get(owner), self._ledger.defs.keys()
        if rules is None:
            return []
        listed = sorted(self._listed.get(owner, ()), key=lambda held: held.chain)
        manner = self._settings.manner
        return [(held, rule_places(rules, held, live, manner, self._wide)) for held in listed]

    def knows(self, owner: Owner) -> bool:
        return owner in self._rules

    @property
    def sound(self) -> bool:
        """Nobody has problems."""
        return not self._faulty and not self._refused

    def problems(self, owner: Owner, *, staged: bool = False) -> list[str]:
        """Why nobody who uses the policy or profile can be enforced as meant. A staged one need not be understood."""
        rules = self._rules.get(owner)
        found = [f"{owner[0]} {owner[1]}: {problem}" for problem in (rules.problems if rules and not staged else ())]
        if owner in self._refused:
            found.append(f"{owner[0]} {owner[1]}: the kernel refuses its rules: {self._refused[owner]}")
        return found

    def refuse(self, names: Iterable[str], reason: str) -> set[Owner]:
        """The kernel does not take these chains as they are: whose they are, until their rules change. Empty when none
        is ours."""
        found: set[Owner] = set()
        for name in names:
            if (node := self._nodes.get(name)) is not None:
                found |= _owners(node)
        self._refused |= dict.fromkeys(found, reason)
        return found

    def forgive(self) -> set[Owner]:
        """Nothing is refused any more; whose it was."""
        found, self._refused = set(self._refused), {}
        return found

    def sets_changed(self, what: str | NamedPort) -> None:
        """Sets of a selector or named port came or went."""
        for owner in self._asking.get(what, ()):
            self._write_owner(owner)

    def hold(self, node: Node) -> None:
        self._held[node] += 1
        if self._held[node] > 1:
            return
        self._nodes[node.chain] = node
        if isinstance(node, Listed):
            self._listed.setdefault(node.owner, set()).add(node)
        else:
            for child in node.children():
                self.hold(child)
                if isinstance(node, TierChain) and isinstance(child, Listed):
                    self._tiers.setdefault(child, set()).add(node)
        self._write(node)

    def release(self, node: Node) -> None:
        self._held[node] -= 1
        if self._held[node]:
            return
        del self._held[node], self._nodes[node.chain]
        self.drop_chain(node.chain)
        if isinstance(node, Listed):
            self._listed[node.owner].discard(node)
            if not self._listed[node.owner]:
                del self._listed[node.owner]
            return
        for child in node.children():
            if isinstance(node, TierChain) and isinstance(child, Listed):
                self._tiers[child].discard(node)
                if not self._tiers[child]:
                    del self._tiers[child]
            self.release(child)

    def _write_owner(self, owner: Owner) -> None:
        """Its chains, and the tiers that look whether it passed."""
        for listed in self._listed.get(owner, ()):
            self._write(listed)
            for tier in self._tiers.get(listed, ()):
                self._write(tier)

    def _write(self, node: Node) -> None:
        self.put_chain(node.chain, self._written(node), NOTE.sub("?", node.title)[:100])

    def _written(self, node: Node) -> Written:
        if isinstance(node, Stack):
            return write_stack(node, self._settings)
        if isinstance(node, TierChain):
            return write_tier(node, lambda listed: passes(self._rules.get(listed.owner), listed), self._settings.manner)
        rules, live = self._rules.get(node.owner), self._ledger.defs.keys()
        return write_rules(rules, node, live, self._settings.manner, self._wide)

    def put_chain(self, name: str, written: Written, note: str = "", base: str = "") -> None:
        """Also one of no stack. The sets of its lists come along."""
        old, chain = self._chain_sets.get(name, frozenset()), written.chain(note, base)
        for set_name, definition in written.sets.items():
            if set_name not in old:
                self._content_sets[set_name] += 1
                self._ledger.put_set(set_name, definition)
        self._ledger.put_chain(name, chain)
        self._chain_sets[name] = frozenset(written.sets)
        self._let_go(old - written.sets.keys())

    def drop_chain(self, name: str) -> None:
        self._ledger.drop_chain(name)
        self._let_go(self._chain_sets.pop(name, frozenset()))

    def _let_go(self, sets: frozenset[str]) -> None:
        for name in sets:
            self._content_sets[name] -= 1
            if not self._content_sets[name]:
                del self._content_sets[name]
                self._ledger.drop_set(name)


def write_failsafes(chains: Chains, settings: Settings, *, wanted: bool) -> None:
    """The failsafe chains, while there is a host endpoint."""
    found: dict[str, Written] = failsafe_chains(settings) if wanted else {}
    for name in ("fs_in", "fs_out", "fs_pre", "fs_raw_in", "fs_raw_out"):
        if name in found:
            chains.put_chain(name, found[name])
        else:
            chains.drop_chain(name)


def _asks(rules: RuleLists | None) -> frozenset[str | NamedPort]:
    if rules is None:
        return frozenset()
    return frozenset((*rules.selectors(), *rules.named_ports(), *map(ends_of, source_nets(rules))))


def _owners(node: Node) -> set[Owner]:
    if isinstance(node, Listed):
        return {node.owner}
    return {owner for child in node.children() for owner in _owners(child)}
