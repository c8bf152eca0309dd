"""The other hosts as this one knows them: by which addresses, and what can be asked of each. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from itertools import islice
from typing import Any

from tortie.dataplane.ends import Peer
from tortie.dataplane.routes import Ways
from tortie.dataplane.tunnels import VXLAN, Version
from tortie.model.kinds.workload_endpoint import WorkloadEndpointSpec
from tortie.model.resource import Resource
from tortie.policy.endpoints import addresses

MOST = 4
"""How many containers of each host are named, of each family."""
VERSIONS: tuple[Version, ...] = (4, 6)


class Neighbours:
    """One call per endpoint learned, None for gone."""

    def __init__(self) -> None:
        self._by_node: dict[str, dict[str, tuple[str, ...]]] = {}
        self._nodes: dict[str, str] = {}

    def set_workload(self, key: str, resource: Resource[WorkloadEndpointSpec] | None) -> None:
        node = resource.spec.node if resource is not None else ""
        before = self._nodes.pop(key, None)
        if before is not None and before != node:
            del self._by_node[before][key]
        if resource is not None:
            self._nodes[key] = node
            self._by_node.setdefault(node, {})[key] = tuple(addresses(resource.spec.ip_networks))

    def told(self, ways: Ways) -> dict[str, Any]:
        """`host`: this host's addresses; `own`: containers here, then its ends of tunnels; `peers`: each other node's
        addresses, containers that a way should lead to, and, of one without such of IPv4, `beside`: how the host itself
        is reached, to ask for the way back to an address of `own`."""
        here = ways.nodes.get(ways.node, Peer())
        ends = [end for tunnel in sorted(ways.tunnels()) if (end := here.end(tunnel))]
        own = {
            version: [*islice(self._of(ways.node, version), MOST), *(end for end in ends if _version(end) == version)]
            for version in VERSIONS
        }
        peers = {name: self._peer(ways, own[4], name) for name in sorted(ways.nodes) if name != ways.node}
        hosts = [address for version in VERSIONS if (address := ways.own(version))]
        return {"host": hosts, "own": [*own[4], *own[6]], "peers": peers}

    def _peer(self, ways: Ways, own: list[str], name: str) -> dict[str, Any]:
        peer, found = ways.nodes[name], dict[Version, list[str]]()
        for version in VERSIONS:
            # Without an address of the family on either side nothing leads there; the node says so elsewhere.
            able = ways.own(version) and peer.at(version)
            there = (at for at in self._of(name, version) if able and ways.expected(at))
            found[version] = [*islice(there, MOST)]
        known = (peer.address, peer.vxlan, peer.ipip, peer.address6, peer.vxlan6)
        # A host passes IPv6 on only from its first container of IPv6 on.
        beside = _beside(ways, own[0], name) if own and peer.address and not found[4] else None
        return {
            "addresses": [at for at in known if at],
            "workloads": [*found[4], *found[6]],
            "beside": beside,
        }

    def _of(self, node: str, version: Version) -> Iterator[str]:
        return (at for own in self._by_node.get(node, {}).values() for at in own if _version(at) == version)


def _version(address: str) -> Version:
    return 6 if ":" in address else 4


def _beside(ways: Ways, own: str, name: str) -> dict[str, str] | None:
    """How a packet is put to the host itself: `mac`, where the interface behind is known, else its `gateway`."""
    route = ways.beside(ip_network(own), name)
    if route is None:
        return None
    far_ends = ways.neighbours["vxlan"].want if route.device == VXLAN else {}
    mac = far_ends[route.via].mac if route.via in far_ends else ""
    return {"own": own, "device": route.device, "mac": mac, "gateway": route.via}
