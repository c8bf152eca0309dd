"""Which addresses are in use and which are allocated, side by side: what the original's `ipam check` counts. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_interface

from tortie.ipam.assign import Pool
from tortie.ipam.block import Address, same_handle
from tortie.ipam.books import Allocation, Books
from tortie.ipam.check import LiveSet
from tortie.model.kinds.node import NodeSpec
from tortie.model.kinds.workload_endpoint import WorkloadEndpointSpec
from tortie.model.resource import Resource

WINDOWS = "windows-reserved-ipam-handle"
"""The handle of the addresses in each block that Windows keeps for itself."""

Owners = Mapping[Address, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Inspected:
    """`leaked`: allocated and used by nobody that is known. `outside`, `unallocated`: in use, in no active pool and in
    one, and allocated to nobody. `idle`: handles without an address; `missing`: of an address, but not there."""

    leaked: Sequence[Allocation]
    outside: Sequence[Address]
    unallocated: Sequence[Address]
    idle: Sequence[str]
    missing: Sequence[str]


def tunnels(nodes: Iterable[Resource[NodeSpec]]) -> dict[Address, list[str]]:
    """The ends of the nodes' tunnels, of both families."""
    found: dict[Address, list[str]] = {}
    for node in nodes:
        spec = node.spec
        ends = [spec.ipv4_vxlan_tunnel_addr, spec.ipv6_vxlan_tunnel_addr]
        ends += [spec.wireguard.interface_ipv4_address, spec.wireguard.interface_ipv6_address] if spec.wireguard else []
        ends += [spec.bgp.ipv4_ipip_tunnel_addr] if spec.bgp else []
        for address in _addresses(filter(None, ends)):
            found.setdefault(address, []).append(f"Node({node.name})")
    return found


def workloads(endpoints: Iterable[Resource[WorkloadEndpointSpec]]) -> dict[Address, list[str]]:
    found: dict[Address, list[str]] = {}
    for endpoint in endpoints:
        for address in _addresses(endpoint.spec.ip_networks):
            owner = f"Workload({endpoint.metadata.namespace}/{endpoint.name})"
            found.setdefault(address, []).append(owner)
    return found


def _addresses(texts: Iterable[str]) -> Iterator[Address]:
    """What another program wrote and is no address is nobody's."""
    for text in texts:
        try:
            yield ip_interface(text).ip
        except ValueError:
            continue


def spoken_for(books: Books, live: Sequence[LiveSet]) -> dict[Address, list[str]]:
    """The addresses whose handle a plug-in has, or that it would have to speak for and does not answer."""
    found: dict[Address, list[str]] = {}
    for allocation in books.allocations():
        handle = same_handle(allocation.attribute.handle_id)
        if handle == WINDOWS:
            found.setdefault(allocation.address, []).append("Reserved for Windows")
        for source in live:
            if not handle or not source.speaks_for(allocation):
                continue
            if source.handles is None:
                found.setdefault(allocation.address, []).append(f"{source.source}, which does not answer")
            elif handle in source.handles:
                found.setdefault(allocation.address, []).append(f"{source.source}({handle})")
    return found


def together(*owners: Owners) -> dict[Address, list[str]]:
    found: dict[Address, list[str]] = {}
    for part in owners:
        for address, names in part.items():
            found.setdefault(address, []).extend(names)
    return found


def inspect(books: Books, used: Owners, pools: Collection[Pool]) -> Inspected:
    """`used`: who uses which address. `pools`: the active ones."""
    allocated = list(books.allocations())
    have = {allocation.address for allocation in allocated}
    strangers = [address for address in used if address not in have]
    outside = [address for address in strangers if not any(address in pool.cidr for pool in pools)]
    held = {allocation.attribute.handle_id for allocation in allocated if allocation.attribute.handle_id}
    return Inspected(
        leaked=[allocation for allocation in allocated if allocation.address not in used],
        outside=sorted(outside, key=_order),
        unallocated=sorted(set(strangers) - set(outside), key=_order),
        idle=sorted(books.handles.keys() - {same_handle(handle) for handle in held} - held),
        missing=sorted(handle for handle in held if books.handles.keys().isdisjoint({handle, same_handle(handle)})),
    )


def by_node(books: Books) -> list[tuple[str, int]]:
    """How many addresses each node has, the most first; one that does not say counts for its block's owner."""
    found: dict[str, int] = {}
    for allocation in books.allocations():
        node = allocation.node or books.blocks[allocation.cidr].value.node or ""
        found[node] = found.get(node, 0) + 1
    return sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))


def described(allocation: Allocation) -> str:
    """Its handle and attributes as the original prints them."""
    known = sorted(allocation.attribute.secondary.items())
    extra = ",".join(f"{name}={value}" for name, value in known)
    return f"Main:{allocation.attribute.handle_id or '<none>'} Extra:{extra}"


def _order(address: Address) -> tuple[int, int]:
    return address.version, int(address)
