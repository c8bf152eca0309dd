"""The table of one host, kept in step with its policy: each change touches only the objects that it is about.

Endpoints with the same profiles share one stack of chains, reached by interface through a verdict map. An endpoint that
cannot be enforced as meant is closed: its interface's verdict is `drop`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from tortie.dataplane.ledger import Ledger
from tortie.dataplane.render import base, rules
from tortie.dataplane.render.claims import Claims
from tortie.dataplane.render.settings import Settings
from tortie.dataplane.want import Chain, SetDef
from tortie.policy.values import (
    Changed,
    Direction,
    EndpointChanged,
    MembersChanged,
    ProfileChanged,
    Resolved,
    RuleLists,
    SelectorGone,
)

DIRECTIONS: tuple[Direction, Direction] = ("ingress", "egress")
MAPS: dict[Direction, str] = {"ingress": base.TO, "egress": base.FROM}
INTERFACE = re.compile(r"[A-Za-z0-9_.-]{1,15}")
NOTE = re.compile(r"[^A-Za-z0-9_.:/ -]")


class HostTable:
    """Turns what the policy says changed into what the table shall hold (`ledger`)."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.ledger = Ledger()
        self.settings = settings or Settings()
        self._endpoints: dict[str, Resolved] = {}
        self._profiles: dict[str, RuleLists] = {}
        self._listing: dict[str, set[str]] = {}
        self.claims = Claims()
        self._written: dict[str, tuple[tuple[str, ...], dict[tuple[str, str], str]]] = {}
        self._stacks: Counter[tuple[str, ...]] = Counter()
        self._in_stacks: Counter[str] = Counter()
        self._six: set[str] = set()
        self._content_sets: Counter[str] = Counter()
        self._chain_sets: dict[str, frozenset[str]] = {}
        self._refused: dict[tuple[str, str], str] = {}
        for name, definition in base.LIVE_SETS.items():
            self.ledger.put_set(name, definition)
        self._write_base()

    def set_settings(self, settings: Settings) -> None:
        if settings != self.settings:
            self.settings = settings
            self._write_base()

    def _write_base(self) -> None:
        settings = self.settings
        chains = base.base_chains(settings)
        for name, chain in chains.items():
            self.ledger.put_chain(name, chain)
        if settings.masqueraded:
            written = rules.write_masquerade(settings.pools, settings.masqueraded)
            self._put_chain(base.NAT, replace(written.chain(), base=base.NAT_BASE), written.sets)
        else:
            self._drop_chain(base.NAT)
        for key, endpoint in self._endpoints.items():
            self._claim(key, endpoint)
        self._rewrite(set(self._endpoints))

    def learn(self, change: Changed) -> None:
        match change:
            case EndpointChanged():
                self._set_endpoint(change.key, change.value)
            case ProfileChanged():
                self._set_profile(change.name, change.value)
            case MembersChanged():
                self._set_members(change)
            case SelectorGone():
                self._six.discard(change.selector)
                for version in (4, 6):
                    self.ledger.drop_set(rules.selector_set(change.selector, version))

    def endpoint(self, key: str) -> Resolved | None:
        return self._endpoints.get(key)

    def problems(self, key: str) -> list[str]:
        """Why the endpoint is closed, or wholly or partly out of the table; empty when it is enforced as meant."""
        endpoint = self._endpoints.get(key)
        if endpoint is None:
            return []
        found = [*endpoint.problems, *self._interface_problems(key, endpoint)]
        if any(tier.enforced for tier in (*endpoint.ingress_tiers, *endpoint.egress_tiers)):
            found.append("policies in tiers cannot be enforced")
        for name in endpoint.profiles:
            listed = self._profiles.get(name)
            if listed is not None:
                found += [f"profile {name}: {problem}" for problem in listed.problems]
            for direction in DIRECTIONS if self._refused else ():
                chain = rules.profile_chain(name, direction)
                mark = rules.write_profile(listed, direction, self._six).chain().mark
                if reason := self._refused.get((chain, mark)):
                    found.append(f"profile {name}: the kernel refuses its {direction} rules: {reason}")
        return found

    def refuse(self, chains: Iterable[str], reason: str) -> bool:
        """The kernel does not take these chains of profiles as they are: they drop, and whoever uses them is closed,
        until their rules change. False when there is none of ours among them."""
        names = {rules.profile_chain(name, direction): name for name in self._listing for direction in DIRECTIONS}
        found = {chain for chain in chains if chain in names and chain in self.ledger.rules}
        for chain in found:
            self._refused[(chain, self.ledger.rules[chain].mark)] = reason
        for name in {names[chain] for chain in found}:
            self._write_profile(name)
            self._rewrite(self._listing[name])
        return bool(found)

    def forgive(self) -> None:
        """What the kernel refused is tried again: another's change of the table may have been the reason."""
        refused, self._refused = {chain for chain, _ in self._refused}, {}
        for name in list(self._listing) if refused else ():
            if refused & {rules.profile_chain(name, direction) for direction in DIRECTIONS}:
                self._write_profile(name)
                self._rewrite(self._listing[name])

    def notes(self, key: str) -> list[str]:
        """What a person should know of an endpoint that is enforced as meant."""
        endpoint = self._endpoints.get(key)
        if endpoint is None:
            return []
        found = [
            f"profile {name} does not exist: it closes" for name in endpoint.profiles if name not in self._profiles
        ]
        for address in endpoint.addresses:
            owner = self.claims.owner(address)
            if owner is not None and owner.key != key:
                found.append(f"address {address} belongs to {owner.key}")
        return found

    def _interface_problems(self, key: str, endpoint: Resolved) -> list[str]:
        name = endpoint.interface
        if not INTERFACE.fullmatch(name):
            return [f"interface name {name!r} is not 1 to 15 letters, digits, dots, dashes"]
        if not name.startswith(self.settings.interface_prefixes):
            return [f"interface {name} does not begin with {' or '.join(self.settings.interface_prefixes)}"]
        first = self.claims.holder(name)
        return [] if first in (key, None) else [f"interface {name} belongs to {first}"]

    def _claim(self, key: str, endpoint: Resolved | None) -> set[str]:
        """An interface that cannot be a workload's is not claimed: it gets no route, no settings, no element."""
        name = endpoint.interface if endpoint else ""
        fits = INTERFACE.fullmatch(name) and name.startswith(self.settings.interface_prefixes)
        return self.claims.set(key, endpoint if fits else None)

    def _set_endpoint(self, key: str, endpoint: Resolved | None) -> None:
        old = self._endpoints.pop(key, None)
        for name in old.profiles if old else ():
            self._listing[name].discard(key)
            if not self._listing[name]:
                del self._listing[name]
        if endpoint is not None:
            self._endpoints[key] = endpoint
            for name in endpoint.profiles:
                self._listing.setdefault(name, set()).add(key)
        self._rewrite(self._claim(key, endpoint))

    def _rewrite(self, keys: set[str]) -> None:
        """Bring the map elements, legal sources and stacks of endpoints up to date, all together: one may take over
        the interface or an address of another."""
        wanted = {key: self._wanted(key) for key in sorted(keys)}
        written = {key: self._written.pop(key) for key in wanted if key in self._written}
        for stack, _ in wanted.values():
            if stack:
                self._hold(stack)
        for _, elements in written.values():
            for element in elements:
                self.ledger.drop_element(*element)
        for key, (stack, elements) in wanted.items():
            for element, verdict in elements.items():
                self.ledger.put_element(*element, verdict)
            if key in self._endpoints:
                self._written[key] = (stack, elements)
        for stack, _ in written.values():
            if stack:
                self._release(stack)

    def _wanted(self, key: str) -> tuple[tuple[str, ...], dict[tuple[str, str], str]]:
        """The profiles whose stack the endpoint needs, behind a marker, and its elements by set and key."""
        endpoint = self._endpoints.get(key)
        if endpoint is None or self._interface_problems(key, endpoint):
            return (), {}
        interface = f'"{endpoint.interface}"'
        closed = bool(self.problems(key))
        elements = {
            (MAPS[d], interface): "drop" if closed else f"goto {rules.stack_chain(d, endpoint.profiles)}"
            for d in DIRECTIONS
        }
        for address in endpoint.addresses:
            owner = self.claims.owner(address)
            if owner is not None and owner.key == key:
                elements[(base.SOURCES6 if ":" in address else base.SOURCES4, f"{interface} . {address}")] = ""
        return () if closed else ("stack", *endpoint.profiles), elements

    def _hold(self, stack: tuple[str, ...]) -> None:
        self._stacks[stack] += 1
        if self._stacks[stack] > 1:
            return
        profiles = stack[1:]
        for name in profiles:
            self._in_stacks[name] += 1
            self._write_profile(name)
        for direction in DIRECTIONS:
            written = rules.write_stack(direction, profiles)
            note = NOTE.sub("?", f"{direction} {' '.join(profiles)}")[:100]
            self._put_chain(rules.stack_chain(direction, profiles), written.chain(note), written.sets)

    def _release(self, stack: tuple[str, ...]) -> None:
        self._stacks[stack] -= 1
        if self._stacks[stack]:
            return
        del self._stacks[stack]
        for direction in DIRECTIONS:
            self._drop_chain(rules.stack_chain(direction, stack[1:]))
        for name in stack[1:]:
            self._in_stacks[name] -= 1
            for direction in DIRECTIONS if not self._in_stacks[name] else ():
                self._drop_chain(rules.profile_chain(name, direction))

    def _set_profile(self, name: str, value: RuleLists | None) -> None:
        if value is None:
            self._profiles.pop(name, None)
        else:
            self._profiles[name] = value
        for direction in DIRECTIONS if self._refused else ():
            chain = rules.profile_chain(name, direction)
            self._refused = {key: reason for key, reason in self._refused.items() if key[0] != chain}
        if self._in_stacks[name]:
            self._write_profile(name)
        self._rewrite(self._listing.get(name, set()))

    def _write_profile(self, name: str) -> None:
        for direction in DIRECTIONS:
            written = rules.write_profile(self._profiles.get(name), direction, self._six)
            note = NOTE.sub("?", f"profile {name} {direction}")[:100]
            chain, target = written.chain(note), rules.profile_chain(name, direction)
            if (target, chain.mark) in self._refused:
                self._put_chain(target, Chain(("drop",), note=note), {})
            else:
                self._put_chain(target, chain, written.sets)

    def _put_chain(self, name: str, chain: Chain, sets: dict[str, SetDef]) -> None:
        old = self._chain_sets.get(name, frozenset())
        for set_name, definition in sets.items():
            if set_name not in old:
                self._content_sets[set_name] += 1
            self.ledger.put_set(set_name, definition)
        self.ledger.put_chain(name, chain)
        self._chain_sets[name] = frozenset(sets)
        self._let_go(old - sets.keys())

    def _drop_chain(self, name: str) -> None:
        self.ledger.drop_chain(name)
        self._let_go(self._chain_sets.pop(name, frozenset()))

    def _let_go(self, sets: frozenset[str]) -> None:
        for name in sets:
            self._content_sets[name] -= 1
            if not self._content_sets[name]:
                del self._content_sets[name]
                self.ledger.drop_set(name)

    def _set_members(self, change: MembersChanged) -> None:
        four, six = (rules.selector_set(change.selector, version) for version in (4, 6))
        if four not in self.ledger.defs:
            self.ledger.put_set(four, SetDef("ipv4_addr"))
        if change.selector not in self._six and any(":" in address for address in change.added):
            self.ledger.put_set(six, SetDef("ipv6_addr"))
            self._six.add(change.selector)
            self._write_users(change.selector)
        for address in change.removed:
            self.ledger.drop_element(six if ":" in address else four, address)
        for address in change.added:
            self.ledger.put_element(six if ":" in address else four, address)
        if change.selector in self._six and not self.ledger.elements(six):
            self._six.discard(change.selector)
            self._write_users(change.selector)
            self.ledger.drop_set(six)

    def _write_users(self, selector: str) -> None:
        """The profiles with a rule about a selector that got its first IPv6 member or lost its last."""
        for name, listed in self._profiles.items():
            if self._in_stacks[name] and selector in listed.selectors():
                self._write_profile(name)
