"""Which routes a host needs for `direct` routing, from blocks, their owners, borrowed addresses and local workloads.

Every other host's block goes by that host's address, which must be on this host's subnet; an address that another host
borrowed goes by the borrower; an own block is a blackhole, so that packets to nobody do not wander. A workload of this
host is reached on its interface, whoever owns the block.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from tortie.dataplane.want import Route
from tortie.ipam.cluster import Ownership

GATEWAY = "169.254.1.1/32"


@dataclass(frozen=True, slots=True)
class Uplink:
    """How this host is attached: its address with the subnet's mask, and the interface that has it (None: none)."""

    address: str
    device: str | None


def remote_routes(
    node: str, uplink: Uplink, nodes: Mapping[str, str], held: Ownership
) -> tuple[dict[str, Route], list[str]]:
    """(routes to what is not a workload of this host, what cannot be reached and why). `nodes`: address by name."""
    reach = _Reach(uplink, ipaddress.ip_interface(uplink.address).network, nodes)
    if uplink.device is None:
        reach.problems.append(f"no interface has this host's address {uplink.address}")
    else:
        # Without a route to the workloads' gateway by another interface the kernel does not answer their ARP for it.
        reach.routes[GATEWAY] = Route("link", uplink.device)
    for cidr, owner in held.owners.items():
        if cidr.version != 4:
            continue
        if owner != node:
            reach.by_node(str(cidr), owner)
        elif cidr.prefixlen < 32:
            reach.routes[str(cidr)] = Route("blackhole")
    for address, holder in held.borrowed.items():
        if address.version == 4 and holder != node:
            reach.by_node(f"{address}/32", holder)
    return reach.routes, list(dict.fromkeys(reach.problems))


@dataclass(slots=True)
class _Reach:
    uplink: Uplink
    subnet: ipaddress.IPv4Network | ipaddress.IPv6Network
    nodes: Mapping[str, str]
    routes: dict[str, Route] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def by_node(self, destination: str, name: str) -> None:
        address = self.nodes.get(name)
        if address is None:
            self.problems.append(f"node {name} has no address: {destination} cannot be reached")
        elif ipaddress.ip_address(address) not in self.subnet:
            self.problems.append(
                f"node {name} at {address} is not on {self.subnet}: direct routing cannot reach {destination}"
            )
        elif self.uplink.device is not None:
            self.routes[destination] = Route("unicast", self.uplink.device, address)


def workload_route(interface: str) -> Route:
    """To an address of a workload of this host, on its interface."""
    return Route("link", interface)
