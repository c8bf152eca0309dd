"""What one host shall look like, from what the store and the kernel say. Pure: one call per thing learned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tortie.base.errors import Invalid
from tortie.dataplane.bgp import Speakers
from tortie.dataplane.render.bird import Announced
from tortie.dataplane.render.claims import Owner
from tortie.dataplane.render.table import HostTable
from tortie.dataplane.routes import Backend, Ways, workload_route
from tortie.dataplane.track import Tracker
from tortie.dataplane.want import Route, host_of, host_route
from tortie.model.eras import OneEach
from tortie.model.ipam import IPAM
from tortie.model.kinds.bgp_configuration import BGP_CONFIGURATION
from tortie.model.kinds.bgp_filter import BGP_FILTER
from tortie.model.kinds.bgp_peer import BGP_PEER
from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION, FelixConfigurationSpec
from tortie.model.kinds.global_network_set import GLOBAL_NETWORK_SET
from tortie.model.kinds.host_endpoint import HOST_ENDPOINT
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.network_set import NETWORK_SET
from tortie.model.kinds.node import NODE
from tortie.model.kinds.profile import PROFILE
from tortie.model.kinds.tier import TIER
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.model.resource import Kind, Resource, decode, decode_at
from tortie.node import records
from tortie.node.flows.directory import Directory
from tortie.node.neighbours import Neighbours
from tortie.policy.engine import PolicyEngine
from tortie.policy.policies import POLICIES, compile_policy, tier_of
from tortie.policy.unreadable import stand_in
from tortie.policy.values import Changed, Construct, EndpointChanged
from tortie.store.port import Event

UNREADABLE = "unreadable:"


class Brain:
    """Want of one node. `table.ledger` and `routes` say what is pending; `revisions` what they are based on, `news`
    which of those changed since the agent last emptied it (None: gone)."""

    def __init__(self, node: str, address: str, backend: Backend = "direct", address6: str | None = None) -> None:
        """`address6`: this host's IPv6 address with its mask, empty for none; None: what its Node says."""
        self.node = node
        self.address = address.partition("/")[0]
        self.table = HostTable()
        self.routes: Tracker[str, Route] = Tracker()
        self.revisions: dict[str, int] = {}
        self.news: dict[str, int | None] = {}
        self.moved: dict[str, Owner | None] = {}
        self.unreadable: dict[str, str] = {}
        self.ways = Ways(node, address, backend, address6 or "")
        self._six_of_node = address6 is None
        self.speakers = Speakers(node)
        self.engine = PolicyEngine(node, frozenset(Construct))
        self.directory = Directory()
        self.neighbours = Neighbours()
        self.flows_wanted = True
        self._flows_readable = False
        self._policies = OneEach(compile_policy)
        self._standing: set[str] = set()
        self._up: set[str] = set()
        self._stale: set[str] = set()
        self._felix: dict[str, FelixConfigurationSpec] = {}
        self._pools: dict[str, IPPoolSpec] = {}
        self._known: set[str] = set()
        self._settings_version = 0

    def replace(self, events: Sequence[Event]) -> None:
        """Everything that is in the store: what was known and is not among it is gone."""
        for _ in self.learn_all((*self.absent_from(event.key for event in events), *events)):
            pass

    def count(self, prefix: str) -> int:
        """How many keys with this beginning the store has."""
        return sum(key.startswith(prefix) for key in self._known)

    def absent_from(self, keys: Iterable[str]) -> list[Event]:
        """What was known and is not among these keys: gone."""
        return [Event(key, None, 0) for key in sorted(self._known.difference(keys))]

    def learn_all(self, events: Iterable[Event]) -> Iterator[None]:
        """Many keys, each endpoint that they are about looked at once. To be taken to its end, a step at a time."""
        self.engine.hold()
        for event in events:
            self.learn(event)
            yield
        for changes in self.engine.release():
            self._change(changes)
            yield

    def learn(self, event: Event) -> None:
        """One key. What cannot be read is listed in `unreadable`. It counts as absent, which closes; a policy or a
        profile, whose absence could open, closes those it may be about."""
        (self._known.discard if event.value is None else self._known.add)(event.key)
        self.unreadable.pop(event.key, None)
        if event.key in self._standing:
            self._standing.discard(event.key)
            self._change(self.engine.set_compiled(UNREADABLE + event.key, None))
        try:
            self._learn(event)
        except Invalid as error:
            self.unreadable[event.key] = str(error)
            self._learn(Event(event.key, None, event.revision))
            self._close_for(event, str(error))

    def _close_for(self, event: Event, why: str) -> None:
        if event.key.startswith(PROFILE.prefix):
            self._change(self.engine.set_unreadable_profile(PROFILE.parse_key(event.key)[1], why))
        for kind in POLICIES:
            if event.key.startswith(kind.prefix) and (found := stand_in(kind, event.key, event.value or b"", why)):
                self._standing.add(event.key)
                self._change(self.engine.set_compiled(UNREADABLE + event.key, found))

    def _learn(self, event: Event) -> None:
        key, value = event.key, event.value
        if key.startswith(WORKLOAD_ENDPOINT.prefix):
            self._learn_endpoint(event)
        elif key.startswith(PROFILE.prefix):
            profile = decode(PROFILE, value) if value is not None else None
            self._change(self.engine.set_profile(PROFILE.parse_key(key)[1], profile.spec if profile else None))
        elif key.startswith(TIER.prefix):
            self._learn_tier(key, value)
        elif (found := self._policy_front(key)) is not None:
            kind, learn = found
            resource = decode_at(kind, key, value) if value is not None else None
            self._change(learn(key, resource))
            if kind in (NETWORK_SET, GLOBAL_NETWORK_SET):
                self.directory.set_network_set(key, resource)
        elif key.startswith(NODE.prefix):
            self._learn_node(key, value)
        elif key.startswith(FELIX_CONFIGURATION.prefix):
            self._learn_settings(key, value)
        elif key.startswith(IP_POOL.prefix):
            self._learn_pool(key, value)
        elif key.startswith(IPAM):
            self.ways.learn(key, value)
        else:
            self._learn_bgp(key, value)

    def _learn_endpoint(self, event: Event) -> None:
        key, value, revision = event.key, event.value, event.revision
        endpoint = decode_at(WORKLOAD_ENDPOINT, key, value, revision) if value is not None else None
        self._change(self.engine.set_endpoint(key, endpoint))
        self.directory.set_workload(key, endpoint)
        self.neighbours.set_workload(key, endpoint)
        if not self.engine.has(key):
            if self.revisions.pop(key, None) is not None:
                self.news[key] = None
        else:
            self.revisions[key] = self.news[key] = revision

    def _change(self, changes: Sequence[Changed]) -> None:
        for change in changes:
            old = self.table.endpoint(change.key) if isinstance(change, EndpointChanged) else None
            self.table.learn(change)
            if isinstance(change, EndpointChanged) and (old and old.spoofed) != (change.value and change.value.spoofed):
                # Its interface is to be set up in another way.
                self._stale.update(change.value.addresses if change.value else ())

    def _policy_front(self, key: str) -> tuple[Kind[Any], Callable[[str, Resource[Any] | None], list[Changed]]] | None:
        """What else the policy wants to know: the kind of the key, and whom to tell."""
        for kinds, learn in (
            (POLICIES, self._set_policy),
            ((NETWORK_SET, GLOBAL_NETWORK_SET), self.engine.set_network_set),
            ((HOST_ENDPOINT,), self.engine.set_host_endpoint),
        ):
            for kind in kinds:
                if key.startswith(kind.prefix):
                    return kind, learn
        return None

    def _set_policy(self, key: str, stored: Resource[Any] | None) -> list[Changed]:
        """A name of an older era is another key: a policy that lies there under several is enforced once."""
        told = self._policies.learn(key, stored)
        return [change for own_key, found in told.items() for change in self.engine.set_compiled(own_key, found)]

    def _learn_tier(self, key: str, value: bytes | None) -> None:
        spec = decode(TIER, value).spec if value is not None else None
        self._change(self.engine.set_tier(TIER.parse_key(key)[1], tier_of(spec) if spec is not None else None))

    def _learn_node(self, key: str, value: bytes | None) -> None:
        node, name = decode(NODE, value) if value is not None else None, NODE.parse_key(key)[1]
        if name == self.node and self._six_of_node:
            self.ways.set_address6(records.subnet6(node.spec) if node else "")
        self.ways.set_peer(name, records.peer(node.spec) if node else None)
        self.speakers.set_node(name, records.speaker(node) if node else None)
        self.table.set_peers(self.ways.hosts())
        self.table.set_tunnel_ends(self.ways.tunnel_ends())
        self.directory.set_host(key, name, records.addresses(node.spec) if node else None)

    def _learn_bgp(self, key: str, value: bytes | None) -> None:
        if key.startswith(BGP_PEER.prefix):
            self.speakers.set_peer(BGP_PEER.parse_key(key)[1], decode(BGP_PEER, value).spec if value else None)
        elif key.startswith(BGP_FILTER.prefix):
            self.speakers.set_filter(BGP_FILTER.parse_key(key)[1], decode(BGP_FILTER, value).spec if value else None)
        elif key.startswith(BGP_CONFIGURATION.prefix):
            found = decode(BGP_CONFIGURATION, value).spec if value else None
            self.speakers.set_config(BGP_CONFIGURATION.parse_key(key)[1], found)

    def _learn_settings(self, key: str, value: bytes | None) -> None:
        name = FELIX_CONFIGURATION.parse_key(key)[1]
        if value is None:
            self._felix.pop(name, None)
        else:
            self._felix[name] = decode(FELIX_CONFIGURATION, value).spec
        self._settle_settings()

    def _learn_pool(self, key: str, value: bytes | None) -> None:
        if value is None:
            self._pools.pop(key, None)
        else:
            self._pools[key] = decode(IP_POOL, value).spec
        self._settle_settings()

    def _settle_settings(self) -> None:
        self._settings_version += 1
        own = self._felix.get(f"node.{self.node}")
        self.ways.set_pools(records.pool_ways(self._pools.values()))
        self.ways.set_tunnel_settings(records.tunnel_settings(self._felix.get("default"), own))
        spoofing = self.table.settings.spoofing
        merged = records.merge_settings(self._felix.get("default"), own, self._pools.values())
        self.flows_wanted = merged.flows
        flows, tunnels = merged.flows and self._flows_readable, frozenset(filter(None, self.ways.encapsulations()))
        self.table.set_settings(replace(merged, flows=flows, tunnels=tunnels))
        if spoofing != merged.spoofing:
            self._stale.update(self.table.claims.addresses())

    def set_flows_readable(self, readable: bool) -> bool:
        """Whether somebody reads what rules tell of conversations; whether the table has to follow."""
        before, self._flows_readable = self.table.settings.flows, readable
        self._settle_settings()
        return before != self.table.settings.flows

    def bgp_state(self) -> tuple[int, int, int]:
        """Another one when BGP's configuration may have to change."""
        return self.speakers.version, self.ways.version, self._settings_version

    def announced(self) -> Announced:
        """What BGP says of this host."""
        return records.announced(self.ways, self._pools.values(), self.table.settings.interface_prefixes)

    def set_addresses(self, addresses: Mapping[str, Sequence[str]]) -> None:
        """The addresses of this host by interface."""
        self.table.set_interfaces(addresses)

    def set_up(self, names: Iterable[str]) -> None:
        """All interfaces that are up: every workload's route and settings are looked at again."""
        self._up = set(names)
        self._stale.update(self.table.claims.addresses())

    def set_link(self, name: str, *, up: bool) -> None:
        """One interface as it is now. One that is not up has lost its routes, in silence."""
        (self._up.add if up else self._up.discard)(name)
        self._stale |= self.table.claims.attached(name)
        if not up:
            for destination in [d for d, route in self.routes.have.items() if route.device == name]:
                self.routes.learn(destination, None)

    def is_up(self, interface: str) -> bool:
        return interface in self._up

    def settle_routes(self) -> frozenset[str]:
        """Bring the wanted routes up to date with everything learned so far; the workloads' interfaces among those
        concerned that are up. `moved` collects the addresses with another owner, and which they had."""
        moved = self.table.claims.take_moved()
        self.moved = moved | self.moved
        stale = {host_route(address) for address in self._stale | moved.keys()}
        self._stale = set()
        stale |= self.ways.take_stale()
        return frozenset(filter(None, map(self._settle, stale)))

    def _settle(self, destination: str) -> str | None:
        """A workload of this host wins over a way to another host."""
        owner = self.table.claims.owner(host_of(destination))
        interface = owner.interface if owner is not None and owner.interface in self._up else None
        remote = self.ways.route(destination)
        route = workload_route(interface) if interface else remote
        if route is None:
            self.routes.drop(destination)
        else:
            self.routes.put(destination, route)
        return interface
