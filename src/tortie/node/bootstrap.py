"""What a node writes to the store at its start: itself, and the cluster's first settings where they are absent."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import msgspec

from tortie.base.errors import Conflict, NotFound
from tortie.model.kinds.cluster_information import CLUSTER_INFORMATION, ClusterInformationSpec
from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION, FelixConfigurationSpec
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.node import NODE, NodeAddress, NodeBgp, NodeSpec
from tortie.model.resource import Kind, Metadata, Resource
from tortie.store.client import Client

POOL_NAME, POOL = "default-ipv4-ippool", "192.168.0.0/16"
TRIES = 20


def write_defaults(client: Client, *, pool: bool = True) -> list[str]:
    """Create ClusterInformation, FelixConfiguration and the first pool where absent; the names of those created."""
    wanted: list[Resource[Any]] = [
        _resource(
            CLUSTER_INFORMATION,
            ClusterInformationSpec(cluster_guid=uuid.uuid4().hex, cluster_type="tortie", datastore_ready=True),
        ),
        _resource(FELIX_CONFIGURATION, FelixConfigurationSpec()),
    ]
    if pool and not client.datastore.list(IP_POOL.prefix).items:
        spec = IPPoolSpec(cidr=POOL, nat_outgoing=True, vxlan_mode="CrossSubnet")
        wanted.append(_resource(IP_POOL, spec, POOL_NAME))
    created = []
    for resource in wanted:
        if client.datastore.get(resource.key) is not None:
            continue
        try:
            client.create(resource)
        except Conflict:
            continue  # Another node was first.
        created.append(f"{resource.kind.name} {resource.name}")
    return created


def write_node(client: Client, name: str, address: str, address6: str | None = None) -> None:
    """This host's Node with its addresses and masks; what others wrote into it is kept. `address6`: empty takes it
    away, None leaves it as it is."""
    for attempt in range(TRIES):
        try:
            found = client.find(NODE, name)
            if found is None:
                client.create(_resource(NODE, _with_addresses(NodeSpec(), address, address6), name))
            elif (spec := _with_addresses(found.spec, address, address6)) != found.spec:
                client.update(replace(found, spec=spec))
            return
        except (Conflict, NotFound):
            if attempt == TRIES - 1:
                raise


def _with_addresses(spec: NodeSpec, address: str, address6: str | None) -> NodeSpec:
    before = spec.bgp or NodeBgp()
    six = before.ipv6_address if address6 is None else address6 or None
    bgp = msgspec.structs.replace(before, ipv4_address=address, ipv6_address=six)
    own = tuple(NodeAddress(address=text) for text in (address, six) if text)
    others = tuple(item for item in spec.addresses if item.type != "CalicoNodeIP")
    return msgspec.structs.replace(spec, bgp=bgp, addresses=(*own, *others))


def _resource(kind: Kind[Any], spec: Any, name: str = "default") -> Resource[Any]:
    return Resource(kind=kind, metadata=Metadata(name=name), spec=spec)
