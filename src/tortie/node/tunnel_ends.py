"""The addresses of this host's own tunnel ends: taken from the address manager while a pool asks for a tunnel, written
to the host's Node so that the others know, and given back when no pool asks any more."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import msgspec

from tortie.base.errors import Conflict
from tortie.dataplane.routes import Encapsulation
from tortie.ipam.allocator import Allocator
from tortie.ipam.tunnel import tunnel_address, tunnel_handle
from tortie.model.kinds.node import NODE, NodeBgp, NodeSpec
from tortie.store.client import Client

TRIES = 20


def settle_ends(client: Client, node: str, wanted: Collection[Encapsulation], *, now: float) -> None:
    """Give the node the tunnel addresses that it needs and take back those that it does not.

    Raises what the address manager raises when there is none to be had, Conflict when others keep writing the Node.
    """
    datastore = client.datastore
    vxlan = str(tunnel_address(datastore, node, "vxlan", now=now)) if "vxlan" in wanted else None
    ipip = str(tunnel_address(datastore, node, "ipip", now=now)) if "ipip" in wanted else None
    _write(client, node, vxlan, ipip)
    # After the Node: nobody sends to an address that is given back.
    releaser = Allocator(datastore, node)
    if vxlan is None:
        releaser.release_by_handle(tunnel_handle("vxlan", node), now=now)
    if ipip is None:
        releaser.release_by_handle(tunnel_handle("ipip", node), now=now)


def _write(client: Client, node: str, vxlan: str | None, ipip: str | None) -> None:
    for attempt in range(TRIES):
        found = client.find(NODE, node)
        if found is None or (spec := _with_ends(found.spec, vxlan, ipip)) == found.spec:
            return
        try:
            client.update(replace(found, spec=spec))
            return
        except Conflict:
            if attempt == TRIES - 1:
                raise


def _with_ends(spec: NodeSpec, vxlan: str | None, ipip: str | None) -> NodeSpec:
    bgp = spec.bgp
    if ipip is not None or (bgp is not None and bgp.ipv4_ipip_tunnel_addr):
        bgp = msgspec.structs.replace(bgp or NodeBgp(), ipv4_ipip_tunnel_addr=ipip)
    return msgspec.structs.replace(spec, bgp=bgp, ipv4_vxlan_tunnel_addr=vxlan)
