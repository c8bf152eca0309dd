"""Which ends of conversations no rule tells apart: asked once, an answer holds for all of them. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Container, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tortie.model.kinds.global_network_set import GLOBAL_NETWORK_SET
from tortie.model.kinds.ip_pool import IP_POOL
from tortie.model.kinds.network_set import NETWORK_SET
from tortie.policy import nets
from tortie.policy.endpoints import network_set
from tortie.policy.hosts import Hosts
from tortie.policy.path import HOST, End, Way
from tortie.policy.values import NamedPort, Resolved, ResolvedHost
from tortie.policy.world import Service, World

ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
ELSEWHERE = "anywhere else"
Net = ipaddress.IPv4Network | ipaddress.IPv6Network
EVERYWHERE = {4: ELSEWHERE, 6: "anywhere else by IPv6"}


class Marks:
    """What the rules in use of one world can see of an address, as a number: in which sets and networks it is."""

    def __init__(self, world: World, services: Sequence[Service]) -> None:
        rules = [rule for lists in world.engine.rules_in_use() for rule in (*lists.ingress, *lists.egress)]
        sides = [side for rule in rules for side in (rule.source, rule.destination)]
        self.networks = sorted({net for side in sides for net in (*side.nets, *side.not_nets)})
        self._sets = world.engine.sets
        self._selectors = sorted({selector for rule in rules for selector in rule.selectors()})
        named = sorted({port for rule in rules for port in rule.named_ports()})
        self._named: list[tuple[NamedPort, int, int]] = [(n, s.protocol, s.port) for n in named for s in services]

    def of(self, address: str) -> int:
        marks = 0
        for selector in self._selectors:
            marks = marks << 1 | self._sets.has(selector, address)
        for net in self.networks:
            marks = marks << 1 | nets.within(address, (net,))
        for port, protocol, number in self._named:
            marks = marks << 1 | self._sets.has_port(port, (address, protocol, number))
        return marks


def first_addresses(addresses: Iterable[str]) -> tuple[str, ...]:
    """The first of each IP version: what a packet between two ends would bear."""
    found: dict[int, str] = {}
    for address in addresses:
        found.setdefault(nets.address(address)[0], address)
    return tuple(found[version] for version in sorted(found))


@dataclass(frozen=True, slots=True)
class Group:
    """Ends that no rule tells apart, in any of the worlds they were looked at in. Never empty."""

    ends: tuple[End, ...]

    @property
    def one(self) -> End:
        return self.ends[0]

    @property
    def other(self) -> End:
        """Who speaks for the group where it meets itself."""
        return self.ends[-1]

    @property
    def outside(self) -> bool:
        return self.one.role == "address"


class Look:
    """One world, looked at for what tells ends apart. `by_node`: whether it matters on which host an endpoint is, by
    default where some policy of the world makes it so. `hosts`: those to look at, by default those with a host
    endpoint; one without is open."""

    def __init__(
        self,
        world: World,
        services: Sequence[Service],
        *,
        by_node: bool | None = None,
        hosts: Collection[str] | None = None,
    ) -> None:
        self.world = world
        self.services = tuple(services)
        self.way = Way(world)
        self.marks = Marks(world, services)
        self.local = world.endpoints()
        own = self.way.hosts.endpoints()
        self.by_node = _by_node(world, self.way.hosts) if by_node is None else by_node
        self.hosts = sorted(own if hosts is None else hosts)
        self._host_lists = {node: tuple(_lists(value) for _, value in own.get(node, ())) for node in self.hosts}
        self._hosts: dict[str, Hashable] = {node: self._host(node) for node in self._host_lists}

    def ends(self) -> Iterator[End]:
        """Workloads, and the hosts that are looked at and have an address here."""
        for key in self.local:
            yield self.placed(self.way.workload(key))
        for node in self.hosts:
            if self.way.hosts.addresses.get(node):
                yield self.way.end(f"{HOST}{node}")

    def placed(self, end: End) -> End:
        """A workload's host is left out where it does not matter: as if no two were on one host."""
        return end if self.by_node or end.role != "workload" else End(end.role, end.title, end.addresses, end.key)

    def again(self, end: End) -> End:
        """An end that another world may know with other addresses, as this one has it."""
        if end.role == "workload":
            return self.placed(self.way.workload(str(end.key)))
        known = end.role == "host" and self.way.hosts.addresses.get(str(end.node))
        return self.way.end(f"{HOST}{end.node}") if known else end

    def sign(self, end: End) -> Hashable:
        """Equal for ends that this world does not tell apart; None for one that it does not have."""
        if end.role == "workload":
            value = self.local.get(str(end.key))
            return None if value is None else self.of_workload(value, end.node)
        marks = tuple(self.marks.of(address) for address in first_addresses(end.addresses))
        if end.role == "host":
            return ("host", self._hosts[str(end.node)], marks) if end.node in self._hosts else None
        return ("address", marks, nets.address(end.addresses[0])[0])

    def of_workload(self, value: Resolved, node: str | None = None) -> Hashable:
        addresses = first_addresses(value.addresses)
        versions = tuple(nets.address(address)[0] for address in addresses)
        marks = tuple(self.marks.of(address) for address in addresses)
        place = node if self.by_node else None
        return (value.ingress_tiers, value.egress_tiers, value.profiles, value.problems, marks, versions, place)

    def _host(self, node: str) -> Hashable:
        return (self._host_lists[node], self.way.hosts.rules(node), node if self.by_node else None)


def looks_at(worlds: Iterable[World], services: Sequence[Service]) -> list[Look]:
    """Several worlds, to be compared: the same hosts matter in all of them."""
    listed = list(worlds)
    known = [Hosts(world) for world in listed]
    by_node = any(_by_node(world, own) for world, own in zip(listed, known, strict=True))
    hosts = {node for own in known for node in own.endpoints()}
    return [Look(world, services, by_node=by_node, hosts=hosts) for world in listed]


def _by_node(world: World, hosts: Hosts) -> bool:
    """Policies about what hosts forward, and host endpoints that see a host's address in place of a workload's."""
    pools = [item.spec for item in world.all_of(IP_POOL)]
    hides = bool(hosts.endpoints()) and any(pool.nat_outgoing and not pool.disabled for pool in pools)
    return hides or hosts.police_forwarding()


def _lists(value: ResolvedHost) -> Hashable:
    parts = (value.normal, value.untracked, value.pre_dnat, value.forward)
    return (*parts, value.profiles, value.problems, value.interface == "*")


def groups(looks: Sequence[Look], *, apart: Sequence[str] = ()) -> list[Group]:
    """Every end of any of the worlds, each in one group; then those outside, network by network.

    `apart`: networks whose inside is told from their outside, beside those that rules speak of."""
    ends: dict[Hashable, End] = {}
    for look in looks:
        for end in look.ends():
            ends.setdefault((end.role, end.key or end.title), end)

    def sign(end: End) -> Hashable:
        inside = nets.within(end.addresses[0], apart) and end.title if end.role == "address" else None
        return inside, tuple(look.sign(end) for look in looks)

    return grouped([*ends.values(), *_outsiders(looks, apart)], sign)


def grouped(ends: Iterable[End], sign: Callable[[End], Hashable]) -> list[Group]:
    """In the order of their names; those outside last."""
    found: dict[Hashable, list[End]] = {}
    for end in ends:
        found.setdefault(sign(end), []).append(end)
    made = [Group(tuple(sorted(members, key=_place))) for members in found.values()]
    return sorted(made, key=lambda group: _place(group.one))


def _place(end: End) -> tuple[bool, bool, str, str]:
    return (end.role == "address", end.title in EVERYWHERE.values(), end.title, end.key or "")


def _outsiders(looks: Sequence[Look], apart: Sequence[str]) -> Iterator[End]:
    """One address for each network that a rule or a network set speaks of, outside of the smaller ones in it, and one
    for everywhere else. None where the networks inside leave nothing over."""
    known = {*apart, *(net for look in looks for net in (*look.marks.networks, *_set_members(look.world)))}
    taken = {address for look in looks for end in look.ends() for address in end.addresses}
    hosts = {address: name for look in looks for name, own in look.way.hosts.addresses.items() for address in own}
    versions = {nets.address(address)[0] for address in (*taken, *hosts, *(net.split("/")[0] for net in apart))} or {4}
    for version in sorted(versions):
        parsed = {ipaddress.ip_network(net, strict=False) for net in {*known, ANYWHERE[version]}}
        for net, inside in _nested(net for net in parsed if net.version == version):
            # A host without a host endpoint is judged like any address, but is not the first choice to speak for all.
            address = _free(net, inside, taken | hosts.keys()) or _free(net, inside, taken)
            if address is not None:
                yield End("address", _outside_title(net, hosts.get(address)), (address,))


def _outside_title(net: Net, host: str | None) -> str:
    if str(net) == ANYWHERE[net.version]:
        return EVERYWHERE[net.version]
    return nets.member(str(net)) if host is None else f"{HOST}{host}"


def _set_members(world: World) -> Iterator[str]:
    for kind in (NETWORK_SET, GLOBAL_NETWORK_SET):
        for item in world.all_of(kind):
            yield from network_set(item).members


def _nested(found: Iterable[Net]) -> Iterator[tuple[Net, list[Net]]]:
    """Each network with those directly inside it, in the order of their addresses."""
    inside: dict[Net, list[Net]] = {}
    around: list[Net] = []
    for net in sorted(found, key=lambda net: (int(net.network_address), net.prefixlen)):
        while around and int(net.network_address) > int(around[-1].broadcast_address):
            around.pop()
        if around:
            inside[around[-1]].append(net)
        inside[net] = []
        around.append(net)
    yield from inside.items()


def _free(net: Net, inside: Sequence[Net], used: Container[str]) -> str | None:
    """The first address of the network that is in none of those inside and that nobody has."""
    number, end = int(net.network_address), int(net.broadcast_address)
    make = ipaddress.IPv4Address if net.version == 4 else ipaddress.IPv6Address
    if str(net) in ANYWHERE.values():
        number += 1 << (24 if net.version == 4 else 124)  # past what is no address of anybody
    gaps = [(int(other.network_address), int(other.broadcast_address)) for other in inside]
    for low, high in (*gaps, (end + 1, end + 1)):
        while number < low:
            if str(make(number)) not in used:
                return str(make(number))
            number += 1
        number = max(number, high + 1)
    return None
