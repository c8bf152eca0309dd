"""Ways from this host to the workloads of others, from blocks, their owners, borrowed addresses, pools and nodes. Pure.

A block of another host goes by that host: over its tunnel when the block's pool says so, else straight, which needs
both on one subnet; an address that another host borrowed goes by the borrower; an own block is a blackhole, so that
packets to nobody do not wander. A workload of this host is reached on its interface, whoever owns the block.
Each family goes by the hosts' addresses of that family: IPv6 needs one on either side.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from typing import Literal

from tortie.base.errors import Invalid, Unavailable
from tortie.dataplane.ends import Ends, Peer, shared
from tortie.dataplane.track import Tracker
from tortie.dataplane.tunnels import (
    LEAST,
    TUNNELS,
    VXLAN6,
    Device,
    Encapsulation,
    Link,
    Neighbour,
    Room,
    Tunnel,
    TunnelSettings,
    Uplink,
    Version,
    measure,
    parse_pattern,
    tunnel_of,
    uplink_of,
)
from tortie.dataplane.want import Route
from tortie.ipam.block import Address
from tortie.ipam.cluster import Holdings
from tortie.model.ipam import Network

GATEWAY = "169.254.1.1/32"
NO_SIX = "this host has no IPv6 address (--address6): IPv6 workloads of other hosts cannot be reached"

Backend = Literal["direct", "bird", "vxlan", "none"]
"""Who brings routes of pools without encapsulation: this agent, BGP, nobody (`vxlan`: only pools with encapsulation are
routed); with `none` nothing leads to other hosts."""

Reach = Literal["Never", "Always", "CrossSubnet"]


@dataclass(frozen=True, slots=True)
class PoolWay:
    """How a pool's packets travel between hosts."""

    cidr: Network
    encapsulation: Encapsulation = ""
    reach: Reach = "Never"


def workload_route(interface: str) -> Route:
    """To an address of a workload of this host, on its interface."""
    return Route("link", interface)


class Ways:
    """What is learned goes in by `set_` and `learn`; `take_stale` names the destinations to ask `route` for again.

    A destination whose way is missing stands in `problems` with the reason. `version` counts the changes of blocks,
    pools and nodes.
    """

    def __init__(self, node: str, address: str, backend: Backend = "direct", address6: str = "") -> None:
        self.node = node
        self.backend = backend
        self.holdings = Holdings()
        self.version = 0
        self._addresses: dict[Version, str] = {4: address, **({6: address6} if address6 else {})}
        self._links: Mapping[str, Link] = {}
        self._settings = TunnelSettings()
        self._peers: dict[str, Peer] = {}
        self._ends = Ends(node)
        self._pools: tuple[PoolWay, ...] = ()
        self._stale: set[str] = {GATEWAY}
        self._problems: dict[str, str] = {}
        self._uplinks: dict[Version, Uplink] = {}
        self._room = Room()
        self._look_at_links()

    @property
    def problems(self) -> list[str]:
        uplinks = [
            f"no interface has this host's address {uplink.address}"
            for uplink in self._uplinks.values()
            if not uplink.device
        ]
        six = [NO_SIX] if self._six and 6 not in self._uplinks and self.backend != "none" else []
        if self._six and self.mtu < LEAST[6]:
            six.append(f"interfaces of workloads take {self.mtu} bytes: IPv6 needs {LEAST[6]}")
        told = [*uplinks, *six, *self._room.problems, *self._room.refused.values(), *shared(self._peers)]
        return list(dict.fromkeys([*told, *self._problems.values()]))

    @property
    def _six(self) -> bool:
        """Whether some pool is IPv6."""
        return any(pool.cidr.version == 6 for pool in self._pools)

    @property
    def devices(self) -> Mapping[str, Device]:
        """The tunnels' interfaces, by name."""
        return self._ends.devices

    @property
    def neighbours(self) -> Mapping[Tunnel, Tracker[str, Neighbour]]:
        """The far ends of VXLAN as wanted and as the kernel has them, for each tunnel by tunnel address."""
        return self._ends.neighbours

    @property
    def uplinks(self) -> list[str]:
        """The interfaces that have this host's addresses."""
        return list(dict.fromkeys(uplink.device for uplink in self._uplinks.values() if uplink.device))

    @property
    def address6(self) -> str:
        """This host's IPv6 address with its mask; empty when it has none."""
        return self._addresses.get(6, "")

    @property
    def pools(self) -> tuple[PoolWay, ...]:
        """Every pool that is routed, the disabled ones too."""
        return self._pools

    @property
    def mtu(self) -> int:
        """What fits between workloads of two hosts, whichever pools they are of."""
        families = {4, *(pool.cidr.version for pool in self._pools)}
        hosts = [size for version, size in self._room.hosts.items() if version in families]
        return min([*hosts, *self._room.tunnels.values()])

    def measures(self, name: str) -> bool:
        """Whether the MTU of an interface with this name may count."""
        try:
            pattern = parse_pattern(self._settings.pattern)
        except Invalid:
            pattern = None
        return name in self.uplinks or (pattern is not None and pattern.search(name) is not None)

    def hosts(self) -> list[str]:
        """The addresses of every node, this one's too: who may send encapsulated packets."""
        return sorted({at for peer in self._peers.values() for at in (peer.address, peer.address6) if at})

    def tunnel_ends(self) -> dict[str, frozenset[str]]:
        """By the address of each node that has tunnels the addresses of their ends: its packets come from these."""
        ends: dict[str, frozenset[str]] = {}
        for peer in self._peers.values():
            ends[peer.address] = frozenset(filter(None, (peer.vxlan, peer.ipip)))
            ends[peer.address6] = frozenset(filter(None, [peer.vxlan6]))
        return {address: found for address, found in ends.items() if address and found}

    def encapsulations(self) -> frozenset[Encapsulation]:
        """Those that some pool uses."""
        if self.backend == "none":
            return frozenset()
        return frozenset(pool.encapsulation for pool in self._pools if pool.encapsulation)

    def tunnels(self) -> frozenset[Tunnel]:
        """Those that some pool uses and this host can have."""
        return frozenset(self._room.tunnels)

    def _used(self) -> set[Tunnel]:
        if self.backend == "none":
            return set()
        return set(filter(None, (tunnel_of(pool.encapsulation, pool.cidr.version) for pool in self._pools)))

    @property
    def nodes(self) -> Mapping[str, Peer]:
        """All nodes as they were last learned, this one too."""
        return self._peers

    def expected(self, address: str) -> bool:
        """Whether there should be a way to a workload with this address on another host, whoever brings it."""
        pool = self._pool_of(ipaddress.ip_network(address))
        if self.backend in ("direct", "bird"):
            return True
        return self.backend != "none" and pool is not None and bool(pool.encapsulation)

    def own(self, version: Version) -> str:
        """This host's address of a family, without its mask; empty when it has none."""
        return self._addresses.get(version, "").partition("/")[0]

    def beside(self, network: Network, name: str) -> Route | None:
        """How a node would be reached for a network of its own of the same pool, whoever brings that route; None where
        that does not lead to the node in one hop."""
        if not self.expected(str(network.network_address)):
            return None
        try:
            route = self._way(network, name) or self._straight(network, name)
        except Unavailable:
            return None
        return route if route is not None and route.device != TUNNELS["ipip"].device else None

    def _straight(self, network: Network, name: str) -> Route | None:
        """To a node on this host's subnet."""
        version: Version = 6 if isinstance(network, IPv6Network) else 4
        peer, uplink = self._peers.get(name, Peer()), self._uplinks[version]
        near = ipaddress.ip_address(peer.at(version)) in ipaddress.ip_interface(uplink.address).network
        return Route("unicast", uplink.device, peer.at(version)) if near and uplink.device else None

    def peer(self, name: str) -> Peer | None:
        """A node as it was last learned."""
        return self._peers.get(name)

    def ends_missing(self) -> bool:
        """Whether this host's Node has other tunnel ends than the pools ask for; False while there is no Node."""
        own = self._peers.get(self.node)
        return own is not None and {tunnel for tunnel in TUNNELS if own.end(tunnel)} != self.tunnels()

    def set_address6(self, address: str) -> None:
        """This host's IPv6 address with its subnet's mask; empty: it has none."""
        if address != self.address6:
            self._addresses = {4: self._addresses[4], **({6: address} if address else {})}
            self._look_at_links()

    def set_links(self, links: Mapping[str, Link]) -> None:
        """Every interface of this host, by name; those that `measures` anything count."""
        self._links = links
        self._look_at_links()

    def set_tunnel_settings(self, settings: TunnelSettings) -> None:
        if settings != self._settings:
            self._settings = settings
            self._look_at_links(anyway=True)

    def _look_at_links(self, *, anyway: bool = False) -> None:
        uplinks = {version: uplink_of(address, self._links) for version, address in self._addresses.items()}
        room = measure(uplinks, self._links, self._settings, self._used())
        if anyway or (uplinks, room) != (self._uplinks, self._room):
            self._uplinks, self._room = uplinks, room
            self._again()

    def set_peer(self, name: str, peer: Peer | None) -> None:
        """A node (this one too); None: gone."""
        if self._peers.get(name) == peer:
            return
        if peer is None:
            del self._peers[name]
        else:
            self._peers[name] = peer
        self._again()

    def set_pools(self, pools: Iterable[PoolWay]) -> None:
        found = tuple(sorted(pools, key=lambda pool: (-pool.cidr.prefixlen, pool.cidr.version, pool.cidr)))
        if found != self._pools:
            self._pools = found
            self._look_at_links(anyway=True)

    def learn(self, key: str, value: bytes | None) -> None:
        """One of the address manager's keys. Raises Invalid when it makes no sense; it counts as gone then."""
        changed: set[Network] = set()
        try:
            changed = self.holdings.learn(key, value)
        except Invalid:
            changed = self.holdings.learn(key, None)
            raise
        finally:
            self.version += bool(changed)
            self._stale.update(map(str, changed))

    def _again(self) -> None:
        """Everything is looked at again: nodes, pools and uplinks seldom change."""
        self.version += 1
        before = self._ends.reached
        self._ends.settle(self._peers, self._uplinks, self._room, self._settings)
        self._stale |= before | self._ends.reached
        self._stale.add(GATEWAY)
        self._stale.update(map(str, self.holdings.owners), (str(a) + _whole(a) for a in self.holdings.borrowed))

    def take_stale(self) -> set[str]:
        """The destinations whose route may have changed since the last call."""
        stale, self._stale = self._stale, set()
        return stale

    def route(self, destination: str) -> Route | None:
        """The way to a destination, None when there is none of ours."""
        self._problems.pop(destination, None)
        if destination == GATEWAY:
            # Without a route to the workloads' gateway by another interface the kernel leaves their ARP unanswered.
            device = self._uplinks[4].device
            return Route("link", device) if device else None
        if self._ends.reaches(destination):
            return Route("link", VXLAN6)
        network = ipaddress.ip_network(destination)
        whole = network.prefixlen == network.max_prefixlen
        borrower = self.holdings.borrowed.get(network.network_address) if whole else None
        owner = borrower or self.holdings.owners.get(network)
        if owner is None or self.backend == "none":
            return None
        if owner == self.node:
            return None if whole else Route("blackhole")
        return self._by_node(network, owner)

    def _by_node(self, network: Network, name: str) -> Route | None:
        try:
            return self._way(network, name)
        except Unavailable as why:
            self._problems[str(network)] = str(why)
            return None

    def _way(self, network: Network, name: str) -> Route | None:
        """Unavailable, with the reason, when there should be a way and is none."""
        version: Version = 6 if isinstance(network, IPv6Network) else 4
        peer, uplink = self._peers.get(name, Peer()), self._uplinks.get(version)
        address, pool = peer.at(version), self._pool_of(network)
        if uplink is None:
            raise Unavailable(NO_SIX)
        if not address:
            raise Unavailable(f"node {name} has no IPv{version} address: {network} cannot be reached")
        own = ipaddress.ip_interface(uplink.address)
        if address == str(own.ip):
            raise Unavailable(f"node {name} has this host's address {address}: {network} cannot be reached")
        near = ipaddress.ip_address(address) in own.network
        if pool is not None and pool.encapsulation:
            if pool.reach == "Always" or not near:
                return self._tunnelled(network, name, peer, tunnel_of(pool.encapsulation, version))
        elif self.backend != "direct":
            return None
        if not near:
            raise Unavailable(
                f"node {name} at {address} is not on {own.network}: direct routing cannot reach {network}"
            )
        return Route("unicast", uplink.device, address) if uplink.device else None

    def _pool_of(self, network: Network) -> PoolWay | None:
        """The smallest pool around it."""
        return next((pool for pool in self._pools if _within(network, pool.cidr)), None)

    def _tunnelled(self, network: Network, name: str, peer: Peer, tunnel: Tunnel | None) -> Route:
        if tunnel is None:
            raise Unavailable(f"IPIP is for IPv4: {network} cannot be reached")
        device, far = TUNNELS[tunnel].device, peer.end(tunnel)
        if tunnel in self._room.refused:
            raise Unavailable(self._room.refused[tunnel])
        if device not in self.devices:
            raise Unavailable(f"{device} has no address yet: {network} cannot be reached")
        if tunnel == "ipip":
            return Route("onlink", device, peer.address)
        if not far:
            raise Unavailable(f"node {name} has no tunnel address: {network} cannot be reached")
        if self._ends.owner(far) != name:
            raise Unavailable(f"node {name} claims the tunnel of another node: {network} cannot be reached")
        return Route("onlink", device, far)


def _within(network: Network, around: Network) -> bool:
    if isinstance(network, IPv6Network) or isinstance(around, IPv6Network):
        return isinstance(network, IPv6Network) and isinstance(around, IPv6Network) and network.subnet_of(around)
    return network.subnet_of(around)


def _whole(address: Address) -> str:
    return "/128" if isinstance(address, IPv6Address) else "/32"
