"""The table of one host, kept in step with its policy: each change touches only the objects that it is about.

Endpoints with the same tiers and profiles share one stack of chains, reached by interface through a verdict map. An
endpoint that cannot be enforced as meant is closed: its interface's verdict is `drop`. Host endpoints likewise, with a
map for each kind of traffic.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from tortie.base.shares import Shares
from tortie.dataplane.ledger import Ledger
from tortie.dataplane.render import base, hosts
from tortie.dataplane.render.chains import Chains, Owner
from tortie.dataplane.render.claims import Claims
from tortie.dataplane.render.ends import TunnelEnds
from tortie.dataplane.render.fixed import FixedPart
from tortie.dataplane.render.live import LiveSets
from tortie.dataplane.render.rules import Listed
from tortie.dataplane.render.settings import Settings
from tortie.dataplane.render.stacks import Stack
from tortie.policy.values import (
    Changed,
    Direction,
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
    Tiers,
)

DIRECTIONS: tuple[Direction, Direction] = ("ingress", "egress")
MAPS: dict[Direction, str] = {"ingress": base.TO, "egress": base.FROM}
INTERFACE = re.compile(r"[A-Za-z0-9_.-]{1,15}")
Elements = dict[tuple[str, str], str]
"""Verdicts, or nothing, by set and key."""


class HostTable:
    """Turns what the policy says changed into what the table shall hold (`ledger`)."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.ledger = Ledger()
        self.settings = settings or Settings()
        self.claims = Claims()
        self._live = LiveSets(self.ledger)
        self._ends = TunnelEnds(self._live)
        self._chains = Chains(self.ledger, self.settings, self._live.wide)
        self._endpoints: dict[str, Resolved] = {}
        self._hosts: dict[str, ResolvedHost] = {}
        self._interfaces: Mapping[str, Sequence[str]] = {}
        self._by_interface: dict[str, str] = {}
        self._listing: Shares[str, Owner] = Shares()
        self._written: dict[str, tuple[list[Stack], Elements]] = {}
        self._extra: set[str] = set()
        self._fixed = FixedPart(self.ledger, self._chains, self.settings)

    # what is learned

    def set_settings(self, settings: Settings) -> None:
        old, self.settings = self.settings, settings
        if settings == old:
            return
        if settings.in_rules != old.in_rules:
            self._chains.set_settings(settings)
        if settings.interface_prefixes != old.interface_prefixes:
            for key, endpoint in self._endpoints.items():
                self._claim(key, endpoint)
            self._rewrite(set(self._endpoints))
        self._fixed.set_settings(settings)
        self._settle_hosts()
        self._settle_extras()

    def set_peers(self, peers: Iterable[str]) -> None:
        """The addresses of the cluster's hosts, who may send what comes out of tunnels."""
        self._fixed.set_peers(peers)

    def set_tunnel_ends(self, hosts: Mapping[str, frozenset[str]]) -> None:
        """By each host's address those that it speaks from through tunnels."""
        self._ends_changed(self._ends.set_hosts(hosts))

    def _ends_changed(self, whats: Iterable[str]) -> None:
        for what in whats:
            self._chains.sets_changed(what)

    def set_interfaces(self, interfaces: Mapping[str, Sequence[str]]) -> None:
        """The interfaces of the host with their addresses: where host endpoints without an interface's name are."""
        if interfaces != self._interfaces:
            self._interfaces = interfaces
            self._settle_hosts()

    def learn(self, change: Changed) -> None:
        match change:
            case EndpointChanged():
                self._set_endpoint(change.key, change.value)
            case HostEndpointChanged():
                self._set_host(change.key, change.value)
            case ProfileChanged():
                self._set_rules(("profile", change.name), change.value)
            case PolicyChanged():
                self._set_rules(("policy", change.id), change.value)
            case MembersChanged():
                if self._live.learn_members(change):
                    self._chains.sets_changed(change.selector)
            case NetsChanged():
                if self._live.learn_nets(change):
                    self._chains.sets_changed(change.selector)
            case PortsChanged():
                if self._live.learn_ports(change):
                    self._chains.sets_changed(change.port)
            case SelectorGone():
                self._live.forget(change.selector)
            case NamedPortGone():
                self._live.forget(change.port)

    def refuse(self, names: Iterable[str], reason: str) -> bool:
        """The kernel does not take these chains as they are: whoever uses what they are of is closed, until its rules
        change. False when there is none of a policy or profile among them."""
        owners = self._chains.refuse(names, reason)
        self._close_users(owners)
        return bool(owners)

    def forgive(self) -> None:
        """What the kernel refused is tried again: another's change of the table may have been the reason."""
        self._close_users(self._chains.forgive())

    # what may be asked

    def rule_places(self, owner: Owner) -> list[tuple[Listed, list[int]]]:
        """As `Chains.places`."""
        return self._chains.places(owner)

    def endpoint(self, key: str) -> Resolved | None:
        return self._endpoints.get(key)

    def host_endpoints(self) -> Mapping[str, ResolvedHost]:
        return self._hosts

    def problems(self, key: str) -> list[str]:
        """Why the endpoint is closed, or wholly or partly out of the table; empty when it is enforced as meant."""
        endpoint = self._endpoints.get(key)
        if endpoint is None:
            return []
        return [*endpoint.problems, *self._interface_problems(key, endpoint), *self._list_problems(endpoint)]

    def host_problems(self, key: str) -> list[str]:
        """As `problems`, of a host endpoint."""
        host = self._hosts.get(key)
        return [*host.problems, *self._misplaced(host), *self._list_problems(host)] if host else []

    def host_interfaces(self, key: str) -> list[str]:
        """The interfaces that a host endpoint is for; `*`: those without one of their own."""
        return sorted(name for name, held in self._by_interface.items() if held == key)

    def _list_problems(self, endpoint: Resolved | ResolvedHost) -> list[str]:
        if self._chains.sound:
            return []
        enforced = endpoint.policies(staged=False)
        return [
            problem
            for owner in _owners(endpoint)
            for problem in self._chains.problems(owner, staged=owner[0] == "policy" and owner[1] not in enforced)
        ]

    def notes(self, key: str) -> list[str]:
        """What a person should know of an endpoint or host endpoint that is enforced as meant."""
        endpoint = self._endpoints.get(key) or self._hosts.get(key)
        if endpoint is None:
            return []
        found = [
            f"profile {name} does not exist: it closes"
            for name in endpoint.profiles
            if not self._chains.knows(("profile", name))
        ]
        if isinstance(endpoint, ResolvedHost):
            return found if self.host_interfaces(key) else [*found, "no interface of this host is its"]
        for address in endpoint.addresses:
            owner = self.claims.owner(address)
            if owner is not None and owner.key != key:
                found.append(f"address {address} belongs to {owner.key}")
        return found

    def _interface_problems(self, key: str, endpoint: Resolved) -> list[str]:
        name = endpoint.interface
        if not INTERFACE.fullmatch(name):
            return [f"interface name {name!r} is not 1 to 15 letters, digits, dots, dashes"]
        if not self._is_workloads(name):
            return [f"interface {name} does not begin with {' or '.join(self.settings.interface_prefixes)}"]
        first = self.claims.holder(name)
        return [] if first in (key, None) else [f"interface {name} belongs to {first}"]

    def _is_workloads(self, interface: str) -> bool:
        return interface.startswith(self.settings.interface_prefixes)

    def _misplaced(self, host: ResolvedHost) -> list[str]:
        """Why no interface can be a host endpoint's."""
        name = host.interface
        if name in ("", hosts.ALL):
            return [] if name or host.addresses else ["neither an interface nor an address is named"]
        if not INTERFACE.fullmatch(name):
            return [f"interface name {name!r} is not 1 to 15 letters, digits, dots, dashes"]
        return [f"interface {name} is a workload's by its name"] if self._is_workloads(name) else []

    # workload endpoints

    def _claim(self, key: str, endpoint: Resolved | None) -> set[str]:
        """An interface that cannot be a workload's is not claimed: it gets no route, no settings, no element."""
        name = endpoint.interface if endpoint else ""
        fits = INTERFACE.fullmatch(name) and self._is_workloads(name)
        return self.claims.set(key, endpoint if fits else None)

    def _set_endpoint(self, key: str, endpoint: Resolved | None) -> None:
        self._endpoints.pop(key, None)
        self._listing.put(key, frozenset(_owners(endpoint)))
        if endpoint is not None:
            self._endpoints[key] = endpoint
        self._rewrite(self._claim(key, endpoint))

    def _set_rules(self, owner: Owner, rules: RuleLists | None) -> None:
        self._ends_changed(self._ends.set_rules(owner, rules))
        if self._chains.set_rules(owner, rules):
            self._close_users([owner])

    def _close_users(self, owners: Iterable[Owner]) -> None:
        """Or open them again: what is wrong with a policy or profile has changed."""
        keys = {key for owner in owners for key in self._listing.keys(owner)}
        self._rewrite(keys & self._endpoints.keys())
        if keys & self._hosts.keys():
            self._settle_hosts()

    def _rewrite(self, keys: Iterable[str]) -> None:
        """Bring the map elements, legal sources and stacks of endpoints up to date, all together: one may take over
        the interface or an address of another."""
        wanted = {key: self._wanted(key) for key in sorted(keys)}
        written = {key: self._written.pop(key) for key in wanted if key in self._written}
        for stacks, _ in wanted.values():
            for stack in stacks:
                self._chains.hold(stack)
        for _, elements in written.values():
            for element in elements:
                self.ledger.drop_element(*element)
        for key, (stacks, elements) in wanted.items():
            for element, verdict in elements.items():
                self.ledger.put_element(*element, verdict)
            if key in self._endpoints:
                self._written[key] = (stacks, elements)
        for stacks, _ in written.values():
            for stack in stacks:
                self._chains.release(stack)
        had = self._extra & wanted.keys()
        self._extra -= had
        self._extra |= {k for k in wanted if (e := self._endpoints.get(k)) and (e.floating or e.spoofed)}
        if had or self._extra & wanted.keys():
            self._settle_extras()

    def _wanted(self, key: str) -> tuple[list[Stack], Elements]:
        """The stacks that the endpoint needs, and its elements."""
        endpoint = self._endpoints.get(key)
        if endpoint is None or self._interface_problems(key, endpoint):
            return [], {}
        interface = f'"{endpoint.interface}"'
        closed = bool(self.problems(key))
        stacks = [Stack("workload", d, endpoint.tiers(d), endpoint.profiles) for d in DIRECTIONS]
        elements = {(MAPS[stack.direction], interface): "drop" if closed else f"goto {stack.chain}" for stack in stacks}
        for address in endpoint.addresses:
            owner = self.claims.owner(address)
            if owner is not None and owner.key == key:
                elements[(base.SOURCES6 if ":" in address else base.SOURCES4, f"{interface} . {address}")] = ""
        return [] if closed else stacks, elements

    def _settle_extras(self) -> None:
        placed = [key for key in sorted(self._extra) if self._written[key][1]]
        usable = [self._endpoints[key] for key in placed]
        self._fixed.set_extras(usable, self._has)

    def _has(self, endpoint: Resolved, address: str) -> bool:
        owner = self.claims.owner(address)
        return owner is not None and owner.interface == endpoint.interface

    def spoofs(self, interface: str) -> bool:
        """Whether packets of the interface's endpoint may come from addresses that are not its own."""
        key = self.claims.holder(interface)
        return self.settings.spoofing and key is not None and bool(self._endpoints[key].spoofed)

    # host endpoints

    def _set_host(self, key: str, host: ResolvedHost | None) -> None:
        self._hosts.pop(key, None)
        self._listing.put(key, frozenset(_owners(host)))
        if host is not None:
            self._hosts[key] = host
        self._settle_hosts()

    def _settle_hosts(self) -> None:
        """All host endpoints together: one may take over the interface of another."""
        placed = {key: host for key, host in self._hosts.items() if not self._misplaced(host)}
        self._by_interface = hosts.attached(placed, self._interfaces)
        self._fixed.set_hosts(self._by_interface, placed, {key: bool(self.host_problems(key)) for key in placed})


def _owners(endpoint: Resolved | ResolvedHost | None) -> tuple[Owner, ...]:
    if endpoint is None:
        return ()
    if isinstance(endpoint, Resolved):
        return _owners_in((endpoint.ingress_tiers, endpoint.egress_tiers), endpoint.profiles)
    return _in_order(endpoint.policies(), endpoint.profiles)


@lru_cache(maxsize=1 << 10)
def _owners_in(lists: tuple[Tiers, ...], profiles: tuple[str, ...]) -> tuple[Owner, ...]:
    """Of many endpoints the same."""
    return _in_order({policy.id for tiers in lists for tier in tiers for policy in tier.policies}, profiles)


def _in_order(policies: Iterable[str], profiles: Iterable[str]) -> tuple[Owner, ...]:
    found: list[Owner] = [("policy", name) for name in sorted(policies)]
    return (*found, *(("profile", name) for name in dict.fromkeys(profiles)))
