"""What goes with a host or a pool that is removed for good (calico-model.md 2.4, 3.4, 6.4).

Everything may be done twice: after a failure the same command goes on where it stopped, for what it names goes last.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_interface, ip_network
from typing import Any

import msgspec

from tortie.base.errors import NotFound
from tortie.ipam.assign import within
from tortie.ipam.block import Address
from tortie.ipam.books import Books, held_by, read_books
from tortie.ipam.release import Releaser, releaser
from tortie.model.ipam import IPAM, Network
from tortie.model.kinds.bgp_configuration import BGP_CONFIGURATION
from tortie.model.kinds.bgp_peer import BGP_PEER
from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION
from tortie.model.kinds.host_endpoint import HOST_ENDPOINT
from tortie.model.kinds.ip_pool import IP_POOL
from tortie.model.kinds.node import NODE
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.model.resource import Kind
from tortie.store.client import Client
from tortie.store.port import Datastore


def remove_node(datastore: Datastore, name: str, *, now: float) -> None:
    """The Node with its endpoints, addresses, claims on blocks, BGP peers and settings. Raises NotFound.

    Of a Node that is not there, what is left of it goes all the same. No address of another host is touched, whatever
    the endpoints of this one say that they use.
    """
    client = Client(datastore)
    used: set[Address] = set()
    for endpoint in client.list(WORKLOAD_ENDPOINT).items:
        if endpoint.spec.node == name:
            used |= {ip_interface(network).ip for network in endpoint.spec.ip_networks}
            _gone(client, WORKLOAD_ENDPOINT, endpoint.name, endpoint.metadata.namespace)
    take_back = releaser(datastore)
    held = held_by(_books(datastore), name, used)
    for handle in held.handles:
        take_back.release_by_handle(handle, now=now)
    for address, owner in held.single:
        take_back.release(address, owner, now=now)
    take_back.release_host(name, now=now)
    for peer in client.list(BGP_PEER).items:
        if peer.spec.node == name:
            _gone(client, BGP_PEER, peer.name)
    for settings in (FELIX_CONFIGURATION, BGP_CONFIGURATION):
        _gone(client, settings, f"node.{name}")
    for endpoint_of_host in client.list(HOST_ENDPOINT).items:
        if endpoint_of_host.spec.node == name:
            _gone(client, HOST_ENDPOINT, endpoint_of_host.name)
    client.delete(NODE, name)


def remove_pool(datastore: Datastore, name: str, *, now: float) -> None:
    """The pool with the hosts' claims on its blocks; addresses that are in use stay in use. Raises NotFound.

    It is disabled first: who takes an address compares the pool that it comes from. Another program may look less
    closely, so that claims are released once more when the pool is gone.
    """
    client = Client(datastore)
    pool = client.get(IP_POOL, name)
    cidr = ip_network(pool.spec.cidr)
    if not pool.spec.disabled:
        client.update(replace(pool, spec=msgspec.structs.replace(pool.spec, disabled=True)))
    take_back = releaser(datastore)
    _release_claims(datastore, take_back, cidr, now)
    client.delete(IP_POOL, name)
    _release_claims(datastore, take_back, cidr, now)


def _release_claims(datastore: Datastore, take_back: Releaser, pool: Network, now: float) -> None:
    books = _books(datastore)
    owners = {(kept.value.node, cidr) for cidr, kept in books.blocks.items() if kept.value.node}
    for node, cidr in sorted({*books.claims, *owners}, key=str):
        if node and within(cidr, pool):
            take_back.release_affinity(cidr, node, now=now)


def _books(datastore: Datastore) -> Books:
    return read_books(datastore.list(IPAM).items)


def _gone(client: Client, kind: Kind[Any], name: str, namespace: str | None = None) -> None:
    try:
        client.delete(kind, name, namespace)
    except NotFound:
        return
