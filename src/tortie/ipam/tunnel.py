"""The addresses of a node's own tunnel ends (calico-model.md 6.5): one each, the same until it is given up."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Literal

from tortie.base.errors import Conflict
from tortie.ipam.allocator import Allocator
from tortie.ipam.block import Address, addresses_of
from tortie.model.codec import from_json
from tortie.model.ipam import Handle, block_key, handle_key, parse_block
from tortie.store.port import Datastore

Tunnel = Literal["ipip", "vxlan", "vxlan-v6", "wireguard", "wireguard-v6"]

TYPES: dict[Tunnel, str] = {
    "ipip": "ipipTunnelAddress",
    "vxlan": "vxlanTunnelAddress",
    "vxlan-v6": "vxlanV6TunnelAddress",
    "wireguard": "wireguardTunnelAddress",
    "wireguard-v6": "wireguardV6TunnelAddress",
}


def tunnel_handle(tunnel: Tunnel, node: str) -> str:
    return f"{tunnel}-tunnel-addr-{node}"


def held(datastore: Datastore, handle: str) -> tuple[Address, ...]:
    """The addresses that a handle has now."""
    kv = datastore.get(handle_key(handle))
    found: list[Address] = []
    for cidr in from_json(Handle, kv.value, f"handle {handle}").block if kv else ():
        key = block_key(ip_network(cidr))
        block = datastore.get(key)
        found += addresses_of(parse_block(block.value, key), handle) if block else ()
    return tuple(found)


def tunnel_address(datastore: Datastore, node: str, tunnel: Tunnel, *, now: float) -> Address:
    """The address of this tunnel's end: what it has already, else a free one of a pool for the use Tunnel.

    Raises what `Allocator.auto_assign` raises; Conflict when the handle has more than one.
    """
    name = node.strip().lower()
    handle = tunnel_handle(tunnel, name)
    have = held(datastore, handle)
    if len(have) > 1:
        raise Conflict(f"handle {handle} has {len(have)} addresses: {', '.join(map(str, have))}")
    if have:
        return have[0]
    version = 6 if tunnel.endswith("-v6") else 4
    return Allocator(datastore, name).auto_assign(
        handle, {"type": TYPES[tunnel]}, now=now, version=version, use="Tunnel"
    )
