"""Nodes as each other's hosts know them, and the ends of the tunnels between them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tortie.dataplane.track import Tracker
from tortie.dataplane.tunnels import (
    TUNNELS,
    Device,
    Neighbour,
    Room,
    Tunnel,
    TunnelSettings,
    Uplink,
    Version,
    tunnel_mac,
)
from tortie.dataplane.want import host_of, host_route


@dataclass(frozen=True, slots=True)
class Peer:
    """What hosts know of a node: its addresses without masks, and the ends of its tunnels."""

    address: str = ""
    vxlan: str = ""
    mac: str = ""
    ipip: str = ""
    address6: str = ""
    vxlan6: str = ""
    mac6: str = ""

    def at(self, version: int) -> str:
        """Its address of a family."""
        return self.address6 if version == 6 else self.address

    def end(self, tunnel: Tunnel) -> str:
        """The address of its end of a tunnel."""
        return {"vxlan": self.vxlan, "vxlan-v6": self.vxlan6, "ipip": self.ipip}[tunnel]

    def mac_of(self, tunnel: Tunnel, name: str) -> str:
        """The MAC of the VXLAN interface of the node with this name."""
        version = TUNNELS[tunnel].version
        return (self.mac6 if version == 6 else self.mac) or tunnel_mac(name, version)


def shared(peers: Mapping[str, Peer]) -> Iterator[str]:
    """Nodes that say that they have one address, in words: what is for one of them reaches the other."""
    first: dict[str, str] = {}
    for name, peer in sorted(peers.items()):
        for address in filter(None, (peer.address, peer.address6)):
            if first.setdefault(address, name) != name:
                yield f"nodes {first[address]} and {name} both have the address {address}"


class Ends:
    """`devices`: this host's interfaces of tunnels, by name; `neighbours`: the far ends of VXLAN as wanted and as the
    kernel has them, for each tunnel by tunnel address."""

    def __init__(self, node: str) -> None:
        self.devices: dict[str, Device] = {}
        self.neighbours: dict[Tunnel, Tracker[str, Neighbour]] = {
            tunnel: Tracker() for tunnel, shape in TUNNELS.items() if shape.kind == "vxlan"
        }
        self._node = node
        self._owners: dict[str, str] = {}

    @property
    def reached(self) -> set[str]:
        """The far ends of IPv6, as destinations that lie on the tunnel's interface. The kernel takes one as a gateway
        only if its address is not behind another interface, and it lies in a block whose way may be any."""
        return set(map(host_route, self.neighbours["vxlan-v6"].want))

    def reaches(self, destination: str) -> bool:
        """Whether a destination is one of those."""
        return host_of(destination) in self.neighbours["vxlan-v6"].want

    def owner(self, address: str) -> str | None:
        """The node whose VXLAN end has the address."""
        return self._owners.get(address)

    def settle(
        self, peers: Mapping[str, Peer], uplinks: Mapping[Version, Uplink], room: Room, settings: TunnelSettings
    ) -> None:
        """What all of this asks for."""
        own = peers.get(self._node, Peer())
        self.devices = {
            shape.device: Device(
                shape.device,
                shape.kind,
                own.end(tunnel),
                uplink.address.partition("/")[0],
                uplink.device,
                size,
                own.mac_of(tunnel, self._node) if shape.kind == "vxlan" else "",
                settings.vni,
                settings.port,
            )
            for tunnel, size in sorted(room.tunnels.items())
            for shape in [TUNNELS[tunnel]]
            for uplink in [uplinks[shape.version]]
            if own.end(tunnel) and uplink.device
        }
        self._owners = {}
        for tunnel, tracker in self.neighbours.items():
            wanted = self._far_ends(tunnel, peers)
            for address in tracker.want.keys() - wanted.keys():
                tracker.drop(address)
            for address, neighbour in wanted.items():
                tracker.put(address, neighbour)

    def _far_ends(self, tunnel: Tunnel, peers: Mapping[str, Peer]) -> dict[str, Neighbour]:
        """By tunnel address. Of two nodes that claim one tunnel address or MAC the first one known has it."""
        shape, found, macs = TUNNELS[tunnel], dict[str, Neighbour](), set[str]()
        for name, peer in peers.items():
            address, mac, host = peer.end(tunnel), peer.mac_of(tunnel, name), peer.at(shape.version)
            if not address or address in self._owners or mac in macs:
                continue
            self._owners[address] = name
            macs.add(mac)
            if name != self._node and shape.device in self.devices and host:
                found[address] = Neighbour(mac, host)
        return found
