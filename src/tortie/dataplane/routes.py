"""Ways from this host to the workloads of others, from blocks, their owners, borrowed addresses, pools and nodes. Pure.

A block of another host goes by that host: over its tunnel when the block's pool says so, else straight, which needs
both on one subnet; an address that another host borrowed goes by the borrower; an own block is a blackhole, so that
packets to nobody do not wander. A workload of this host is reached on its interface, whoever owns the block.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Literal

from tortie.base.errors import Invalid, Unavailable
from tortie.dataplane.track import Tracker
from tortie.dataplane.want import Route
from tortie.ipam.cluster import Holdings
from tortie.model.ipam import Network

GATEWAY = "169.254.1.1/32"
VXLAN, IPIP = "vxlan.calico", "tunl0"
VXLAN_ID, VXLAN_PORT = 4096, 4789
OVERHEAD = {"vxlan": 50, "ipip": 20}

Backend = Literal["direct", "bird", "vxlan", "none"]
"""Who brings routes of pools without encapsulation: this agent, BGP, nobody (`vxlan`: only pools with encapsulation are
routed); with `none` nothing leads to other hosts."""

Encapsulation = Literal["", "vxlan", "ipip"]
Reach = Literal["Never", "Always", "CrossSubnet"]


@dataclass(frozen=True, slots=True)
class Uplink:
    """This host's address with the subnet's mask, the interface that has it (None: none), its MTU."""

    address: str
    device: str | None
    mtu: int = 1500


@dataclass(frozen=True, slots=True)
class Peer:
    """What hosts know of a node: its address without a mask, and the ends of its tunnels."""

    address: str = ""
    vxlan: str = ""
    mac: str = ""
    ipip: str = ""


@dataclass(frozen=True, slots=True)
class PoolWay:
    """How a pool's packets travel between hosts."""

    cidr: Network
    encapsulation: Encapsulation = ""
    reach: Reach = "Never"


@dataclass(frozen=True, slots=True)
class Device:
    """A tunnel's interface on this host; `address` is its own one, `parent` and `local` are the uplink's."""

    name: str
    kind: Encapsulation
    address: str
    local: str
    parent: str
    mtu: int
    mac: str = ""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The far end of a VXLAN tunnel: its MAC, and the host behind it."""

    mac: str
    host: str


def tunnel_mac(node: str) -> str:
    """The MAC of a node's VXLAN interface when its Node names none."""
    return ":".join(f"{byte:02x}" for byte in b"\x66" + hashlib.sha1(node.encode(), usedforsecurity=False).digest()[:5])


def workload_route(interface: str) -> Route:
    """To an address of a workload of this host, on its interface."""
    return Route("link", interface)


class Ways:
    """What is learned goes in by `set_` and `learn`; `take_stale` names the destinations to ask `route` for again.

    `neighbours` are the far ends of tunnels as wanted and as the kernel has them, by tunnel address; `devices` the
    tunnels' interfaces, by name. A destination whose way is missing stands in `problems` with the reason. `version`
    counts the changes of blocks, pools and nodes.
    """

    def __init__(self, node: str, address: str, backend: Backend = "direct") -> None:
        self.node = node
        self.backend = backend
        self.holdings = Holdings()
        self.version = 0
        self.devices: dict[str, Device] = {}
        self.neighbours: Tracker[str, Neighbour] = Tracker()
        self._uplink = Uplink(address, None)
        self._subnet = ipaddress.ip_interface(address).network
        self._peers: dict[str, Peer] = {}
        self._ends: dict[str, str] = {}
        self._pools: tuple[PoolWay, ...] = ()
        self._stale: set[str] = {GATEWAY}
        self._problems: dict[str, str] = {}

    @property
    def problems(self) -> list[str]:
        uplink = [] if self._uplink.device else [f"no interface has this host's address {self._uplink.address}"]
        return [*uplink, *dict.fromkeys(self._problems.values())]

    @property
    def uplink(self) -> str | None:
        """The interface that has this host's address."""
        return self._uplink.device

    @property
    def pools(self) -> tuple[PoolWay, ...]:
        """Every pool that is routed, the disabled ones too."""
        return self._pools

    @property
    def overhead(self) -> int:
        """Bytes that the widest encapsulation of any pool takes of a packet."""
        return max((OVERHEAD[pool.encapsulation] for pool in self._pools if pool.encapsulation), default=0)

    @property
    def mtu(self) -> int:
        """What fits between workloads of two hosts."""
        return self._uplink.mtu - self.overhead

    def hosts(self) -> list[str]:
        """The addresses of every node, this one's too: who may send encapsulated packets."""
        return sorted({peer.address for peer in self._peers.values() if peer.address})

    def encapsulations(self) -> frozenset[Encapsulation]:
        """Those that some pool uses."""
        if self.backend == "none":
            return frozenset()
        return frozenset(pool.encapsulation for pool in self._pools if pool.encapsulation)

    def peer(self, name: str) -> Peer | None:
        """A node as it was last learned."""
        return self._peers.get(name)

    def ends_missing(self) -> bool:
        """Whether this host's Node has other tunnel ends than the pools ask for; False while there is no Node."""
        own = self._peers.get(self.node)
        used = self.encapsulations()
        return own is not None and (bool(own.vxlan), bool(own.ipip)) != ("vxlan" in used, "ipip" in used)

    def set_uplink(self, device: str | None, mtu: int) -> None:
        """The interface that has this host's address."""
        found = Uplink(self._uplink.address, device, mtu)
        if found != self._uplink:
            self._uplink = found
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
            self._again()

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
        self._settle_tunnels()
        self._stale.add(GATEWAY)
        self._stale.update(map(str, self.holdings.owners), (str(a) + _whole(a) for a in self.holdings.borrowed))

    def _settle_tunnels(self) -> None:
        own, uplink = self._peers.get(self.node, Peer()), self._uplink
        used, local = self.encapsulations(), uplink.address.partition("/")[0]
        ends = {"vxlan": (VXLAN, own.vxlan), "ipip": (IPIP, own.ipip)}
        self.devices = {
            name: Device(
                name,
                kind,
                address,
                local,
                uplink.device,
                uplink.mtu - OVERHEAD[kind],
                (own.mac or tunnel_mac(self.node)) if kind == "vxlan" else "",
            )
            for kind in sorted(used)
            for name, address in [ends[kind]]
            if address and uplink.device
        }
        # Of two nodes that claim one tunnel address or MAC the first one known has it.
        self._ends, macs = {}, dict[str, str]()
        for name, peer in self._peers.items():
            if peer.vxlan:
                mac = peer.mac or tunnel_mac(name)
                if self._ends.get(peer.vxlan) is None and mac not in macs:
                    self._ends[peer.vxlan] = macs[mac] = name
        wanted = {
            address: Neighbour(self._peers[name].mac or tunnel_mac(name), self._peers[name].address)
            for address, name in self._ends.items()
            if name != self.node and VXLAN in self.devices and self._peers[name].address
        }
        for address in self.neighbours.want.keys() - wanted.keys():
            self.neighbours.drop(address)
        for address, neighbour in wanted.items():
            self.neighbours.put(address, neighbour)

    def take_stale(self) -> set[str]:
        """The destinations whose route may have changed since the last call."""
        stale, self._stale = self._stale, set()
        return stale

    def route(self, destination: str) -> Route | None:
        """The way to a destination, None when there is none of ours."""
        self._problems.pop(destination, None)
        if destination == GATEWAY:
            # Without a route to the workloads' gateway by another interface the kernel leaves their ARP unanswered.
            return Route("link", self._uplink.device) if self._uplink.device else None
        network = ipaddress.ip_network(destination)
        if not isinstance(network, IPv4Network):
            return None
        borrower = self.holdings.borrowed.get(network.network_address) if network.prefixlen == 32 else None
        owner = borrower or self.holdings.owners.get(network)
        if owner is None or self.backend == "none":
            return None
        if owner == self.node:
            return Route("blackhole") if network.prefixlen < 32 else None
        return self._by_node(network, owner)

    def _by_node(self, network: IPv4Network, name: str) -> Route | None:
        try:
            return self._way(network, name)
        except Unavailable as why:
            self._problems[str(network)] = str(why)
            return None

    def _way(self, network: IPv4Network, name: str) -> Route | None:
        """Unavailable, with the reason, when there should be a way and is none."""
        peer, device = self._peers.get(name, Peer()), self._uplink.device
        pool = self._pool_of(network)
        if not peer.address:
            raise Unavailable(f"node {name} has no address: {network} cannot be reached")
        near = ipaddress.ip_address(peer.address) in self._subnet
        if pool is not None and pool.encapsulation:
            if pool.reach == "Always" or not near:
                return self._tunnelled(network, name, peer, pool.encapsulation)
        elif self.backend != "direct":
            return None
        if not near:
            raise Unavailable(
                f"node {name} at {peer.address} is not on {self._subnet}: direct routing cannot reach {network}"
            )
        return Route("unicast", device, peer.address) if device else None

    def _pool_of(self, network: IPv4Network) -> PoolWay | None:
        """The smallest pool around it."""
        return next((p for p in self._pools if isinstance(p.cidr, IPv4Network) and network.subnet_of(p.cidr)), None)

    def _tunnelled(self, network: IPv4Network, name: str, peer: Peer, kind: Encapsulation) -> Route:
        device = VXLAN if kind == "vxlan" else IPIP
        if device not in self.devices:
            raise Unavailable(f"{device} has no address yet: {network} cannot be reached")
        if kind == "ipip":
            return Route("onlink", IPIP, peer.address)
        if not peer.vxlan:
            raise Unavailable(f"node {name} has no tunnel address: {network} cannot be reached")
        if self._ends.get(peer.vxlan) != name:
            raise Unavailable(f"node {name} claims the tunnel of another node: {network} cannot be reached")
        return Route("onlink", VXLAN, peer.vxlan)


def _whole(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    return "/32" if address.version == 4 else "/128"
