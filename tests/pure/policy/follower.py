"""Adds up what a policy engine answers, as a renderer does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tortie.policy.values import (
    Changed,
    EndpointChanged,
    HostEndpointChanged,
    MembersChanged,
    NamedPortGone,
    NetsChanged,
    PolicyChanged,
    PortsChanged,
    ProfileChanged,
    Resolved,
    ResolvedHost,
    RuleLists,
    SelectorGone,
)


class Follower:
    """What the engine's answers add up to; refuses answers that do not follow from what was said before."""

    def __init__(self) -> None:
        self.endpoints: dict[str, Resolved | ResolvedHost] = {}
        self.rules: dict[str, RuleLists] = {}
        self.sets: dict[Any, set[Any]] = {}

    def learn(self, changes: Sequence[Changed]) -> None:
        for change in changes:
            match change:
                case EndpointChanged(key, value) | HostEndpointChanged(key, value):
                    assert self.endpoints.get(key) != value
                    put(self.endpoints, key, value)
                    self.check_listed(value)
                case PolicyChanged(name, rules):
                    assert self.rules.get(name) != rules, "nothing is told twice"
                    put(self.rules, name, rules)
                case ProfileChanged(name, rules):
                    # One that is listed and does not exist is told as such.
                    assert rules is None or self.rules.get(name) != rules
                    put(self.rules, name, rules)
                case MembersChanged(name, added, removed) | NetsChanged(name, added, removed):
                    self.move(name, added, removed)
                case PortsChanged(port, members, gone):
                    self.move(port, members, gone)
                case SelectorGone(name) | NamedPortGone(name):
                    del self.sets[name]

    def move(self, name: Any, added: frozenset[Any], removed: frozenset[Any]) -> None:
        known = self.sets.setdefault(name, set())
        assert not added & known
        assert removed <= known
        self.sets[name] = (known | added) - removed

    def check_listed(self, value: Resolved | ResolvedHost | None) -> None:
        """What an endpoint lists was told before it."""
        for name in value.policies() if value else ():
            assert name in self.rules
            assert self.rules[name].selectors() | self.rules[name].named_ports() <= self.sets.keys()


def put(held: dict[str, Any], key: str, value: Any) -> None:
    if value is None:
        held.pop(key, None)
    else:
        held[key] = value
