"""The addresses of this host's own tunnel ends: taken from the address manager while a pool asks for a tunnel, written
to the host's Node so that the others know, and given back when no pool asks any more."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import msgspec

from tortie.base.errors import Conflict, TortieError
from tortie.dataplane.tunnels import TUNNELS, Tunnel
from tortie.ipam.allocator import Allocator
from tortie.ipam.tunnel import tunnel_address, tunnel_handle
from tortie.model.kinds.node import NODE, NodeBgp, NodeSpec
from tortie.store.client import Client

TRIES = 20


def settle_ends(client: Client, node: str, wanted: Collection[Tunnel], *, now: float) -> None:
    """Give the node the tunnel addresses that it needs and take back those that it does not.

    Raises what the address manager raises when there is none to be had, after everything else is done; Conflict when
    others keep writing the Node.
    """
    datastore, failed = client.datastore, list[TortieError]()
    ends: dict[Tunnel, str | None] = {}
    for tunnel in TUNNELS:
        try:
            ends[tunnel] = str(tunnel_address(datastore, node, tunnel, now=now)) if tunnel in wanted else None
        except TortieError as error:
            failed.append(error)
    _write(client, node, ends)
    # After the Node: nobody sends to an address that is given back.
    releaser = Allocator(datastore, node)
    for tunnel, address in ends.items():
        if address is None:
            releaser.release_by_handle(tunnel_handle(tunnel, node), now=now)
    if failed:
        raise failed[0]


def _write(client: Client, node: str, ends: Mapping[Tunnel, str | None]) -> None:
    for attempt in range(TRIES):
        found = client.find(NODE, node)
        if found is None or (spec := _with_ends(found.spec, ends)) == found.spec:
            return
        try:
            client.update(replace(found, spec=spec))
            return
        except Conflict:
            if attempt == TRIES - 1:
                raise


def _with_ends(spec: NodeSpec, ends: Mapping[Tunnel, str | None]) -> NodeSpec:
    """Those that are not named stay as they are."""
    bgp = spec.bgp
    if "ipip" in ends and (ends["ipip"] or (bgp is not None and bgp.ipv4_ipip_tunnel_addr)):
        bgp = msgspec.structs.replace(bgp or NodeBgp(), ipv4_ipip_tunnel_addr=ends["ipip"])
    return msgspec.structs.replace(
        spec,
        bgp=bgp,
        ipv4_vxlan_tunnel_addr=ends.get("vxlan", spec.ipv4_vxlan_tunnel_addr),
        ipv6_vxlan_tunnel_addr=ends.get("vxlan-v6", spec.ipv6_vxlan_tunnel_addr),
    )
