"""What goes with a Node or a pool that is deleted, on both stores (calico-model.md 2.4, 3.4, 6.4; 9.1, 43)."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from tests.support import stores
from tests.support.stores import BACKENDS, Url

from tortie.base.errors import NotFound
from tortie.ipam.allocator import Allocator
from tortie.ipam.audit import Audit
from tortie.ipam.errors import NoPool
from tortie.ipam.removal import remove_node, remove_pool
from tortie.ipam.tunnel import tunnel_address
from tortie.model.ipam import IPAM, affinity_key, block_key
from tortie.model.kinds.bgp_peer import BGP_PEER, BGPPeerSpec
from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION, FelixConfigurationSpec
from tortie.model.kinds.host_endpoint import HOST_ENDPOINT, HostEndpointSpec
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.node import NODE, NodeSpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec, name_of
from tortie.model.resource import Metadata, Resource
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.store.port import Datastore

NOW = 1_800_000_000.0


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Url]:
    with stores.backend(request.param, tmp_path_factory.mktemp("etcd")) as url:
        yield url


@pytest.fixture
def store(backend: Url, tmp_path: Path) -> Iterator[Datastore]:
    found = open_store(backend(tmp_path))
    client = Client(found)
    for name in ("host-a", "host-b"):
        client.create(Resource(kind=NODE, metadata=Metadata(name=name), spec=NodeSpec()))
    for name, cidr in (("pool", "10.65.0.0/27"), ("other", "10.66.0.0/27")):
        spec = IPPoolSpec(cidr=cidr, block_size=28)
        client.create(Resource(kind=IP_POOL, metadata=Metadata(name=name), spec=spec))
    yield found
    found.close()


def endpoint(client: Client, node: str, name: str, *addresses: object) -> None:
    spec = WorkloadEndpointSpec(
        orchestrator="cni",
        workload="w",
        node=node,
        container_id=name,
        endpoint=name,
        pod="",
        interface_name=f"cali{name}",
        ip_networks=tuple(f"{address}/32" for address in addresses),
    )
    client.create(
        Resource(kind=WORKLOAD_ENDPOINT, metadata=Metadata(name=name_of(spec), namespace="default"), spec=spec)
    )


def names(client: Client, kind: Any) -> set[str]:
    return {item.name for item in client.list(kind).items}


def holders(store: Datastore) -> dict[str, str]:
    return {str(a.address): a.attribute.handle_id or "" for a in Audit(store).books().allocations()}


def test_6_4_a_node_goes_with_all_that_only_it_held(store: Datastore) -> None:
    client, a, b = Client(store), Allocator(store, "host-a"), Allocator(store, "host-b")
    first = a.auto_assign("cni.first", {}, now=NOW)
    a.auto_assign("cni.no-endpoint", {}, now=NOW)
    a.auto_assign(None, {}, now=NOW)
    nobody_said = a.auto_assign("cni.old", {"node": ""}, now=NOW)
    tunnel_address(store, "host-a", "vxlan", now=NOW)
    theirs = b.auto_assign("cni.theirs", {}, now=NOW)
    block = ip_network(f"{first}/28", strict=False)
    b.assign(block[15], "cni.borrowed", {}, now=NOW)
    a.assign(block[14], "cni.shared", {}, now=NOW)
    b.assign(block[13], "cni.shared", {}, now=NOW)
    # Endpoints of host-a that say that they use another host's address do not free it.
    endpoint(client, "host-a", "one", first, nobody_said, theirs)
    endpoint(client, "host-b", "two", theirs)
    peers = {"own": "host-a", "of-b": "host-b"}
    for name, node in peers.items():
        spec = BGPPeerSpec(node=node, peer_ip="192.0.2.1", as_number=64513)
        client.create(Resource(kind=BGP_PEER, metadata=Metadata(name=name), spec=spec))
    for name in ("node.host-a", "node.host-b", "default"):
        settings = FelixConfigurationSpec()
        client.create(Resource(kind=FELIX_CONFIGURATION, metadata=Metadata(name=name), spec=settings))
    for node in ("host-a", "host-b"):
        of_host = HostEndpointSpec(node=node, interface_name="eth0")
        client.create(Resource(kind=HOST_ENDPOINT, metadata=Metadata(name=f"eth0-{node}"), spec=of_host))

    remove_node(store, "host-a", now=NOW)

    assert names(client, NODE) == {"host-b"}
    assert {item.spec.node for item in client.list(WORKLOAD_ENDPOINT).items} == {"host-b"}
    assert names(client, BGP_PEER) == {"of-b"}
    assert names(client, FELIX_CONFIGURATION) == {"node.host-b", "default"}
    assert names(client, HOST_ENDPOINT) == {"eth0-host-b"}
    assert holders(store) == {
        str(theirs): "cni.theirs",
        str(block[15]): "cni.borrowed",
        str(block[13]): "cni.shared",
    }
    assert store.get(affinity_key("host-a", block)) is None
    assert Audit(store).look().findings == ()
    b.release_by_handle("cni.borrowed", now=NOW)
    b.release_by_handle("cni.shared", now=NOW)
    assert store.get(block_key(block)) is None


def test_what_is_left_of_a_node_goes_although_the_node_is_not_there(store: Datastore) -> None:
    client = Client(store)
    Allocator(store, "host-a").auto_assign("cni.1", {}, now=NOW)
    endpoint(client, "host-a", "one")
    client.delete(NODE, "host-a")
    with pytest.raises(NotFound, match="Node host-a does not exist"):
        remove_node(store, "host-a", now=NOW)
    assert not store.list(IPAM).items
    assert not client.list(WORKLOAD_ENDPOINT).items
    with pytest.raises(NotFound, match="Node host-a does not exist"):
        remove_node(store, "host-a", now=NOW)


@pytest.mark.parametrize("disabled", [False, True])
def test_9_1_43_a_pool_goes_with_the_claims_in_it_and_leaves_the_addresses(store: Datastore, disabled: bool) -> None:
    client, a, b = Client(store), Allocator(store, "host-a"), Allocator(store, "host-b")
    used = a.auto_assign("cni.1", {}, now=NOW, pool="10.65.0.0/27")
    b.auto_assign("cni.2", {}, now=NOW, pool="10.65.0.0/27")
    b.release_by_handle("cni.2", now=NOW)
    kept = a.auto_assign("cni.3", {}, now=NOW, pool="10.66.0.0/27")
    if disabled:
        spec = IPPoolSpec(cidr="10.65.0.0/27", block_size=28, disabled=True)
        client.apply(Resource(kind=IP_POOL, metadata=Metadata(name="pool"), spec=spec))
    remove_pool(store, "pool", now=NOW)
    books = Audit(store).books()
    assert {str(cidr): kept.value.node for cidr, kept in books.blocks.items()} == {
        str(ip_network(f"{used}/28", strict=False)): None,
        str(ip_network(f"{kept}/28", strict=False)): "host-a",
    }
    assert {str(cidr) for _, cidr in books.claims} == {str(ip_network(f"{kept}/28", strict=False))}
    assert holders(store) == {str(used): "cni.1", str(kept): "cni.3"}
    assert {f.kind for f in Audit(store).look().findings} == {"outside-pools"}
    with pytest.raises(NotFound, match="IPPool pool does not exist"):
        remove_pool(store, "pool", now=NOW)
    assert a.auto_assign("cni.4", {}, now=NOW) in ip_network("10.66.0.0/27")
    a.release_by_handle("cni.1", now=NOW)
    assert Audit(store).look().findings == ()
    remove_pool(store, "other", now=NOW)
    with pytest.raises(NoPool):
        a.auto_assign("cni.5", {}, now=NOW)
    assert ip_address(holders(store).popitem()[0]) in ip_network("10.66.0.0/27")
