"""The other hosts as this one knows them: by which addresses, and which containers can be asked for there. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from tortie.dataplane.routes import Ways
from tortie.model.kinds.workload_endpoint import WorkloadEndpointSpec
from tortie.model.resource import Resource
from tortie.policy.endpoints import addresses

MOST = 4
"""How many containers of each host are named."""


class Neighbours:
    """One call per endpoint learned, None for gone. IPv4 only."""

    def __init__(self) -> None:
        self._by_node: dict[str, dict[str, tuple[str, ...]]] = {}
        self._nodes: dict[str, str] = {}

    def set_workload(self, key: str, resource: Resource[WorkloadEndpointSpec] | None) -> None:
        node = resource.spec.node if resource is not None else ""
        before = self._nodes.pop(key, None)
        if before is not None and before != node:
            del self._by_node[before][key]
        if resource is not None:
            own = tuple(address for address in addresses(resource.spec.ip_networks) if ":" not in address)
            self._nodes[key] = node
            self._by_node.setdefault(node, {})[key] = own

    def told(self, ways: Ways) -> dict[str, Any]:
        """`own`: containers here; `peers`: each other node's addresses, and containers that a way should lead to."""
        peers = {}
        for name, peer in sorted(ways.nodes.items()):
            if name != ways.node:
                hosts = [address for address in (peer.address, peer.vxlan, peer.ipip) if address]
                there = (address for address in self._of(name) if ways.expected(address))
                peers[name] = {"addresses": hosts, "workloads": list(islice(there, MOST))}
        return {"own": list(islice(self._of(ways.node), MOST)), "peers": peers}

    def _of(self, node: str) -> Iterable[str]:
        return (address for own in self._by_node.get(node, {}).values() for address in own)
