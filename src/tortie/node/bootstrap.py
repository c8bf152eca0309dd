"""What a node writes to the store at its start: itself, and the cluster's first settings where they are absent."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import msgspec

from tortie.base.errors import Conflict, NotFound
from tortie.model.codec import to_json
from tortie.model.ipam import CONFIG_KEY, DEFAULT_CONFIG
from tortie.model.kinds.cluster_information import CLUSTER_INFORMATION, ClusterInformationSpec
from tortie.model.kinds.ip_pool import IP_POOL
from tortie.model.kinds.node import NODE, NodeAddress, NodeBgp, NodeSpec
from tortie.model.resource import Kind, Metadata, Resource
from tortie.node.first import AS_EVER, First
from tortie.store.client import Client
from tortie.store.port import Compare, CompareFailed, Datastore, Put

TRIES = 20


def write_defaults(client: Client, *, pool: bool = True, first: First = AS_EVER) -> list[str]:
    """Create ClusterInformation, FelixConfiguration, IPAM's settings and the first pool where absent; the names of
    those created. Nodes that do it at the same time make one of each."""
    wanted: list[Resource[Any]] = [
        _resource(
            CLUSTER_INFORMATION,
            ClusterInformationSpec(cluster_guid=uuid.uuid4().hex, cluster_type="tortie", datastore_ready=True),
        ),
        first.felix(),
    ]
    if pool and not client.datastore.list(IP_POOL.prefix).items:
        wanted.append(first.pool())
    created = ["IPAM settings"] if first.cooldown and write_cooldown(client.datastore, first.cooldown) else []
    for resource in wanted:
        if client.datastore.get(resource.key) is not None:
            continue
        try:
            client.create(resource)
        except Conflict:
            continue  # Another node was first.
        created.append(f"{resource.kind.name} {resource.name}")
    return created


def write_cooldown(datastore: Datastore, seconds: int) -> bool:
    """False where IPAM has settings already."""
    config = msgspec.structs.replace(DEFAULT_CONFIG, ip_cooldown_seconds=seconds)
    try:
        datastore.commit([Put(CONFIG_KEY, to_json(config))], [Compare(CONFIG_KEY, 0)])
    except CompareFailed:
        return False
    return True


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
