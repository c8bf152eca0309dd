"""What a write depends on in other keys, on both stores (calico-model.md 3.2, 3.4, 3.5, 5.4; traps 27, 29, 30, 43)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support import stores
from tests.support.stores import BACKENDS, Url

from tortie.base.errors import Conflict, Invalid
from tortie.model.admission import Missing, Unsupported
from tortie.model.codec import to_json
from tortie.model.ipam import Block, block_key
from tortie.model.kinds import KINDS
from tortie.model.kinds.bgp_filter import BGP_FILTER, BGPFilterSpec
from tortie.model.kinds.bgp_peer import BGP_PEER, BGPPeerSpec
from tortie.model.kinds.cluster_information import CLUSTER_INFORMATION, ClusterInformationSpec
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.network_policy import NETWORK_POLICY, NetworkPolicySpec
from tortie.model.kinds.profile import PROFILE
from tortie.model.kinds.tier import BUILT_IN, TIER, TierSpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec, name_of
from tortie.model.resource import Metadata, Resource, encode
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.store.port import Condition, Datastore, Put, Write


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Url]:
    with stores.backend(request.param, tmp_path_factory.mktemp("etcd")) as url:
        yield url


@pytest.fixture
def url(backend: Url, tmp_path: Path) -> str:
    return backend(tmp_path)


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    found = open_store(url)
    yield Client(found)
    found.close()


def resource(kind: Any, name: str, spec: Any, namespace: str | None = None) -> Resource[Any]:
    return Resource(kind=kind, metadata=Metadata(name=name, namespace=namespace), spec=spec)


def policy(name: str, tier: str) -> Resource[Any]:
    return resource(NETWORK_POLICY, name, NetworkPolicySpec(tier=tier), "shop")


def tier(name: str) -> Resource[Any]:
    return resource(TIER, name, TierSpec(order=5))


def pool(name: str, cidr: str, **fields: Any) -> Resource[Any]:
    return resource(IP_POOL, name, IPPoolSpec(cidr=cidr, **fields))


def names(client: Client, kind: Any) -> list[str]:
    return [item.name for item in client.list(kind).items]


def test_3_2_a_policy_needs_its_tier(client: Client) -> None:
    """`Creating a policy in a missing tier fails`, for every kind of policy."""
    with pytest.raises(Missing, match="Tier security does not exist"):
        client.create(policy("security.a", "security"))
    for kind in ("GlobalNetworkPolicy", "StagedNetworkPolicy", "StagedGlobalNetworkPolicy"):
        spec = KINDS[kind].spec(tier="security")
        with pytest.raises(Missing):
            client.apply(resource(KINDS[kind], "x", spec, "shop" if KINDS[kind].namespaced else None))
    assert not client.datastore.list("/calico/").items
    client.create(tier("security"))
    client.create(policy("security.a", "security"))


def test_trap_29_the_default_tier_is_written_with_the_first_policy(client: Client) -> None:
    """Others refuse a policy without the Tier resource, and Felix would put it last."""
    client.create(policy("a", ""))
    assert client.get(TIER, "default").spec == BUILT_IN["default"]
    assert client.get(TIER, "default").metadata.uid


def test_3_2_a_tier_with_policies_stays(client: Client) -> None:
    client.create(tier("security"))
    client.create(policy("security.a", "security"))
    with pytest.raises(
        Unsupported, match="operation delete is not supported on security: Cannot delete a non-empty tier"
    ):
        client.delete(TIER, "security")
    client.delete(NETWORK_POLICY, "security.a", "shop")
    client.delete(TIER, "security")
    assert names(client, TIER) == []


@pytest.mark.parametrize("name", BUILT_IN)
def test_3_2_built_in_tiers_stay_as_they_are(client: Client, name: str) -> None:
    client.create(resource(TIER, name, TierSpec()))
    with pytest.raises(Unsupported, match=f"Cannot delete {name} tier"):
        client.delete(TIER, name)
    there = client.get(TIER, name)
    with pytest.raises(Invalid, match="order must be"):
        client.update(replace(there, spec=TierSpec(order=7, default_action=there.spec.default_action)))


def test_3_2_the_static_profile_cannot_be_touched(client: Client) -> None:
    name = "projectcalico-default-allow"
    with pytest.raises(Invalid, match="built in"):
        client.create(resource(PROFILE, name, PROFILE.spec()))
    with pytest.raises(Unsupported, match=f"operation delete is not supported on {name}"):
        client.delete(PROFILE, name)


@pytest.mark.parametrize("cidr", ["10.65.0.0/24", "10.0.0.0/8", "10.65.0.0/16"])
def test_3_4_pools_do_not_overlap(client: Client, cidr: str) -> None:
    client.create(pool("a", "10.65.0.0/16"))
    with pytest.raises(Invalid, match=r"IPPool\(b\) CIDR overlaps with IPPool\(a\) CIDR 10.65.0.0/16"):
        client.create(pool("b", cidr))
    client.create(pool("b", "10.66.0.0/16"))
    client.create(pool("six", "fd00::/64"))
    assert names(client, IP_POOL) == ["a", "b", "six"]


def test_trap_43_a_pools_range_and_block_size_stay(client: Client) -> None:
    made = client.create(pool("a", "10.65.0.0/16"))
    for change, said in (
        ({"cidr": "10.65.0.0/17"}, "CIDR cannot be modified"),
        ({"block_size": 28}, "BlockSize cannot"),
    ):
        wanted = replace(made, spec=msgspec.structs.replace(made.spec, **change))
        for call in (client.update, client.apply):
            with pytest.raises(Invalid, match=said):
                call(wanted)
    client.update(replace(made, spec=msgspec.structs.replace(made.spec, disabled=True)))


def test_3_4_the_blocks_of_a_new_pool_have_its_size(client: Client) -> None:
    """`existing blocks in it must have the same size`"""
    block = Block(cidr="10.65.0.0/26", allocations=(None,) * 64, unallocated=tuple(range(64)))
    client.datastore.commit([Put(block_key(ip_network("10.65.0.0/26")), to_json(block))])
    with pytest.raises(Invalid, match=r"the block 10\.65\.0\.0/26 exists already and is of another size"):
        client.create(pool("a", "10.65.0.0/16", block_size=28))
    client.create(pool("a", "10.65.0.0/16"))


def test_3_5_the_filters_of_a_peer_exist(client: Client) -> None:
    peer = resource(BGP_PEER, "tor", BGPPeerSpec(peer_ip="192.0.2.1", as_number=65001, filters=("out",)))
    with pytest.raises(Missing, match="BGPFilter out does not exist"):
        client.create(peer)
    client.create(resource(BGP_FILTER, "out", BGPFilterSpec()))
    client.create(peer)


def test_trap_30_the_cluster_keeps_its_guid(client: Client) -> None:
    made = client.create(resource(CLUSTER_INFORMATION, "default", ClusterInformationSpec(cluster_guid="a" * 32)))
    with pytest.raises(Invalid, match="ClusterGUID cannot be modified"):
        client.update(replace(made, spec=ClusterInformationSpec(cluster_guid="b" * 32)))
    client.update(replace(made, spec=ClusterInformationSpec(cluster_guid="a" * 32, datastore_ready=False)))


def test_trap_27_an_endpoint_bears_the_computed_name(client: Client) -> None:
    spec = WorkloadEndpointSpec(node="host-a", orchestrator="cni", container_id="6f1c", endpoint="eth0")
    with pytest.raises(Invalid, match="expected name host--a-cni-6f1c-eth0"):
        client.create(resource(WORKLOAD_ENDPOINT, "web", spec, "default"))
    client.create(resource(WORKLOAD_ENDPOINT, name_of(spec), spec, "default"))


class Meanwhile:
    """A store in which somebody else acts between what a writer reads and what it commits, the first time."""

    def __init__(self, store: Datastore, act: Callable[[], object]) -> None:
        self._store, self._act = store, act
        self.commits = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def commit(self, writes: Sequence[Write], compares: Sequence[Condition] = ()) -> int:
        self.commits += 1
        if self.commits == 1:
            self._act()
        return self._store.commit(writes, compares)


def racing(client: Client, act: Callable[[Client], object]) -> Client:
    client.era()
    return Client(Meanwhile(client.datastore, lambda: act(client)))


def test_a_pool_that_comes_meanwhile_is_seen(client: Client) -> None:
    late = racing(client, lambda other: other.create(pool("a", "10.65.0.0/16")))
    with pytest.raises(Invalid, match="overlaps"):
        late.create(pool("b", "10.65.1.0/24"))
    assert names(client, IP_POOL) == ["a"]


def test_a_tier_that_goes_meanwhile_is_missed(client: Client) -> None:
    client.create(tier("security"))
    late = racing(client, lambda other: other.delete(TIER, "security"))
    with pytest.raises(Missing):
        late.create(policy("security.a", "security"))
    assert names(client, NETWORK_POLICY) == []


def test_a_policy_that_comes_meanwhile_keeps_its_tier(client: Client) -> None:
    client.create(tier("security"))
    late = racing(client, lambda other: other.create(policy("security.a", "security")))
    with pytest.raises(Unsupported, match="non-empty"):
        late.delete(TIER, "security")
    assert names(client, TIER) == ["security"]


def test_what_another_program_does_to_the_pools_is_seen_too(client: Client) -> None:
    """It writes the pool alone, as every client of the family does."""
    other = pool("a", "10.65.0.0/16")
    late = racing(client, lambda one: one.datastore.commit([Put(other.key, encode(other))]))
    with pytest.raises(Invalid, match="overlaps"):
        late.create(pool("b", "10.65.1.0/24"))


def test_many_create_one_pool_each_and_none_overlaps(url: str) -> None:
    def create(number: int) -> bool:
        with_own = open_store(url)
        try:
            Client(with_own).create(pool(f"p{number}", "10.65.0.0/16"))
        except (Invalid, Conflict):
            return False
        finally:
            with_own.close()
        return True

    with ThreadPoolExecutor(6) as workers:
        assert sum(workers.map(create, range(6))) == 1


def test_the_first_policies_of_many_writers_share_one_tier(url: str) -> None:
    def create(number: int) -> str:
        with_own = open_store(url)
        try:
            return Client(with_own).create(policy(f"p{number}", "")).name
        finally:
            with_own.close()

    with ThreadPoolExecutor(6) as workers:
        assert sorted(workers.map(create, range(6))) == [f"p{number}" for number in range(6)]
