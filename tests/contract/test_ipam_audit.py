"""Check, repair, claims given up, configuration, split and tunnels on a real store (calico-model.md 6.2 to 6.5)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from tests.support import stores
from tests.support.stores import BACKENDS, Url

from tortie.base.errors import Conflict, Invalid, NotFound, Unavailable
from tortie.ipam.allocator import Allocator
from tortie.ipam.audit import Audit, Source
from tortie.ipam.check import Living
from tortie.ipam.cluster import ownership
from tortie.ipam.errors import BlockLimit, NoPool
from tortie.ipam.release import releaser
from tortie.ipam.settings import configure, split_pool
from tortie.ipam.tunnel import held, tunnel_address
from tortie.model.codec import from_json
from tortie.model.ipam import BLOCKS, CONFIG_KEY, IPAM, Handle, affinity_key, block_key, handle_key
from tortie.model.kinds.cluster_information import CLUSTER_INFORMATION, ClusterInformationSpec
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.ip_reservation import IP_RESERVATION, IPReservationSpec
from tortie.model.kinds.node import NODE, NodeSpec
from tortie.model.resource import Metadata, Resource, encode
from tortie.plugins.docker.holdings import PREFIX, Holdings
from tortie.plugins.docker.names import endpoint_resource
from tortie.plugins.docker.source import docker_source
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.store.port import Datastore, Drop, Listing, Put

NOW = 1_800_000_000.0


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Url]:
    with stores.backend(request.param, tmp_path_factory.mktemp("etcd")) as url:
        yield url


@pytest.fixture
def store(backend: Url, tmp_path: Path) -> Iterator[Datastore]:
    found = open_store(backend(tmp_path))
    for name in ("host-a", "host-b"):
        node(found, name)
    pool(found, "pool", "10.65.0.0/24", block_size=28)
    yield found
    found.close()


def node(store: Datastore, name: str, **labels: str) -> None:
    Client(store).apply(Resource(kind=NODE, metadata=Metadata(name=name, labels=labels), spec=NodeSpec()))


def pool(store: Datastore, name: str, cidr: str, **fields: Any) -> None:
    """As another program writes it: ours refuses some of the changes that the tests are about."""
    made = Resource(kind=IP_POOL, metadata=Metadata(name=name), spec=IPPoolSpec(cidr=cidr, **fields))
    store.commit([Put(made.key, encode(made))])


def audit(store: Datastore, alive: Collection[str] = (), now: float = NOW) -> Audit:
    return Audit(store, [Source("cni", "cni.", lambda: Living(alive))], clock=lambda: now)


# Remembered searches: whatever decides an address counts from the very next one


def test_9_1_42_a_search_that_is_remembered_never_outlives_what_it_was_made_from(store: Datastore) -> None:
    a, client = Allocator(store, "host-a"), Client(store)
    first = a.auto_assign("cni.1", {}, now=NOW)
    block = ip_network(f"{first}/28", strict=False)
    spec = IPReservationSpec(reserved_cidrs=(f"{block[1]}/32",))
    client.apply(Resource(kind=IP_RESERVATION, metadata=Metadata(name="r"), spec=spec))
    assert a.auto_assign("cni.2", {}, now=NOW) == block[2]
    client.delete(IP_RESERVATION, "r")
    assert a.auto_assign("cni.3", {}, now=NOW) == block[1]
    pool(store, "pool", "10.65.0.0/24", block_size=28, disabled=True)
    with pytest.raises(NoPool):
        a.auto_assign("cni.4", {}, now=NOW)
    pool(store, "pool", "10.65.0.0/24", block_size=28, node_selector="rack == '1'")
    with pytest.raises(NoPool):
        a.auto_assign("cni.4", {}, now=NOW)
    node(store, "host-a", rack="1")
    assert a.auto_assign("cni.4", {}, now=NOW) in ip_network("10.65.0.0/24")
    client.delete(NODE, "host-a")
    with pytest.raises(NotFound):
        a.auto_assign("cni.5", {}, now=NOW)
    client.delete(IP_POOL, "pool")
    node(store, "host-a")
    with pytest.raises(NoPool):
        a.auto_assign("cni.5", {}, now=NOW)


def test_a_block_given_up_by_another_program_is_not_used_on(store: Datastore) -> None:
    a = Allocator(store, "host-a")
    first = a.auto_assign("cni.1", {}, now=NOW)
    block = ip_network(f"{first}/28", strict=False)
    releaser(store).release_host("host-a", now=NOW)
    second = a.auto_assign("cni.2", {}, now=NOW)
    assert second not in block
    assert ownership({kv.key: kv.value for kv in store.list(IPAM).items}).borrowed == {first: "host-a"}


def test_a_handle_with_many_addresses_counts_them_all(store: Datastore) -> None:
    a, b = Allocator(store, "host-a"), Allocator(store, "host-a")
    for _ in range(5):
        a.auto_assign("cni.1", {}, now=NOW)
        b.auto_assign("cni.1", {}, now=NOW)
    kv = store.get(handle_key("cni.1"))
    assert kv is not None
    assert list(from_json(Handle, kv.value, "handle").block.values()) == [10]
    assert audit(store, ["cni.1"]).look().findings == ()


def test_6_2_pools_by_namespace_use_and_the_callers_limit(store: Datastore) -> None:
    pool(store, "red", "10.66.0.0/24", namespace_selector="team == 'red'", node_selector="all()")
    pool(store, "ends", "10.67.0.0/24", allowed_uses=("Tunnel",))
    pool(store, "pool", "10.65.0.0/24", block_size=28, namespace_selector="team == 'blue'", allowed_uses=("Workload",))
    a = Allocator(store, "host-a")
    assert a.auto_assign("cni.1", {}, now=NOW, namespace={"team": "red"}) in ip_network("10.66.0.0/24")
    assert a.auto_assign("cni.2", {}, now=NOW, namespace={"team": "blue"}) in ip_network("10.65.0.0/24")
    assert a.auto_assign("cni.3", {}, now=NOW, use="Tunnel") in ip_network("10.67.0.0/24")
    with pytest.raises(NoPool):
        a.auto_assign("cni.4", {}, now=NOW)
    for number in range(63):
        a.auto_assign(f"cni.t{number}", {}, now=NOW, max_blocks=1, pool=["10.67.0.0/24"], use="Tunnel")
    with pytest.raises(BlockLimit, match="per host block limit: 1"):
        a.auto_assign("cni.4", {}, now=NOW, max_blocks=1, pool=["10.67.0.0/24"], use="Tunnel")


def test_6_2_an_empty_block_in_a_pool_that_selects_the_node_no_more_is_given_up(store: Datastore) -> None:
    a = Allocator(store, "host-a")
    a.auto_assign("cni.1", {}, now=NOW)
    kept = a.auto_assign("cni.2", {}, now=NOW)
    a.release_by_handle("cni.1", now=NOW)
    pool(store, "pool", "10.65.0.0/24", block_size=28, node_selector="rack == '1'")
    pool(store, "other", "10.66.0.0/24")
    assert a.auto_assign("cni.3", {}, now=NOW) in ip_network("10.66.0.0/24")
    cidr = ip_network(f"{kept}/28", strict=False)
    assert store.get(affinity_key("host-a", cidr)) is not None
    a.release_by_handle("cni.2", now=NOW)
    assert store.get(affinity_key("host-a", cidr)) is None
    assert store.get(block_key(cidr)) is None


# Claims


def test_6_4_a_claim_is_released_with_its_empty_block_or_leaves_a_block_without_an_owner(store: Datastore) -> None:
    a, take_back = Allocator(store, "host-a"), releaser(store)
    cidr = ip_network(f"{a.auto_assign('cni.1', {}, now=NOW)}/28", strict=False)
    assert not take_back.release_affinity(cidr, "host-b", now=NOW)
    with pytest.raises(Conflict, match="is not empty"):
        take_back.release_affinity(cidr, "host-a", now=NOW, must_be_empty=True)
    assert take_back.release_affinity(cidr, "host-a", now=NOW)
    assert ownership({kv.key: kv.value for kv in store.list(IPAM).items}).owners == {}
    a.release_by_handle("cni.1", now=NOW)
    assert not store.list(IPAM).items
    again = ip_network(f"{a.auto_assign('cni.1', {}, now=NOW)}/28", strict=False)
    a.release_by_handle("cni.1", now=NOW)
    assert take_back.release_host("host-a", now=NOW) == (again,)
    assert not store.list(IPAM).items


# Leaks


def test_6_4_a_leak_is_freed_and_what_comes_alive_between_the_looks_is_not(store: Datastore) -> None:
    a = Allocator(store, "host-a")
    for name in ("cni.dead", "cni.late", "cni.alive", "foreign.1"):
        a.auto_assign(name, {}, now=NOW)
    answers = iter([["cni.alive"], ["cni.alive", "cni.late"]])
    checked = Audit(store, [Source("cni", "cni.", lambda: Living(next(answers)))], clock=lambda: NOW + 900)
    repaired = checked.repair(pause=0)
    assert [f.subject for f in repaired.mended] == ["cni.dead"]
    left = {allocation.attribute.handle_id for allocation in checked.books().allocations()}
    assert left == {"cni.late", "cni.alive", "foreign.1"}
    assert audit(store, ["cni.late", "cni.alive"], NOW + 9000).look().findings == ()


def test_what_changes_while_it_is_mended_is_left_alone(store: Datastore) -> None:
    a = Allocator(store, "host-a")
    a.auto_assign("cni.dead", {}, now=NOW)
    looks = []

    def ask() -> Living:
        """Called after the books were read: the second time the block changes under the repair."""
        looks.append(1)
        if len(looks) == 2:
            a.auto_assign("cni.new", {}, now=NOW + 900)
        return Living(["cni.new"])

    repaired = Audit(store, [Source("cni", "cni.", ask)], clock=lambda: NOW + 900).repair(pause=0)
    assert ([f.subject for f in repaired.mended], [f.subject for f in repaired.failed]) == ([], ["cni.dead"])
    assert [f.subject for f in audit(store, ["cni.new"], NOW + 900).repair(pause=0).mended] == ["cni.dead"]


@pytest.mark.parametrize("error", [Unavailable("the engine is away"), ConnectionRefusedError(), Invalid("nonsense")])
def test_a_source_that_fails_counts_as_all_alive(store: Datastore, error: Exception) -> None:
    Allocator(store, "host-a").auto_assign("cni.1", {}, now=NOW)

    def ask() -> Living:
        raise error

    report = Audit(store, [Source("cni", "cni.", ask)], clock=lambda: NOW + 9000).look()
    assert (report.findings, report.suspects) == ((), {})


def test_dockers_endpoints_are_alive_by_record_by_endpoint_and_by_engine(store: Datastore) -> None:
    a, holdings, client = Allocator(store, "host-a"), Holdings(store, "host-a"), Client(store)
    pending = holdings.open(NOW)
    a.auto_assign(pending.holding.handle, {}, now=NOW)
    stored = holdings.open(NOW)
    a.auto_assign("libnetwork.e1", {}, now=NOW)
    holdings.step(stored, msgspec.structs.replace(stored.holding, endpoint="e1"))
    address = str(a.auto_assign("libnetwork.e2", {}, now=NOW))
    fields = {"network": "n", "mac": "02:00:00:00:00:01", "container": "", "labels": {}}
    client.create(endpoint_resource(node="host-a", endpoint_id="e2", address=address, **fields))  # type: ignore[arg-type]
    a.auto_assign("libnetwork.e3", {}, now=NOW)
    a.auto_assign("libnetwork.leaked", {}, now=NOW)
    checked = Audit(store, [docker_source(store, lambda: ["e3"])], clock=lambda: NOW + 900)
    assert [(f.kind, f.subject) for f in checked.look().findings] == [("leak", "libnetwork.leaked")]
    a.release(address, now=NOW)
    assert [f.kind for f in checked.look().findings] == ["leak", "not-allocated"]
    store.commit([Put(PREFIX + "host-b/x", b"\xff")])
    assert checked.look().findings == ()


def test_6_4_the_block_of_a_node_that_is_gone_goes_but_not_that_of_one_that_does_not_parse(store: Datastore) -> None:
    for name in ("host-a", "host-b"):
        Allocator(store, name).auto_assign("cni.1", {}, now=NOW)
        Allocator(store, name).release_by_handle("cni.1", now=NOW)
    Client(store).delete(NODE, "host-a")
    store.commit([Put(NODE.key("host-b"), b"\xff")])
    assert [f.kind for f in audit(store).repair(pause=0).mended] == ["node-gone"]
    assert {node for node, _ in audit(store).books().claims} == {"host-b"}


# Configuration, split, tunnels


def test_6_1_the_configuration_is_written_where_the_allocator_reads_it(store: Datastore) -> None:
    configure(store, strict_affinity=True, max_blocks_per_host=1)
    kv = store.get(CONFIG_KEY)
    assert kv is not None
    assert msgspec.json.decode(kv.value) == {
        "strict_affinity": True,
        "auto_allocate_blocks": True,
        "maxBlocksPerHost": 1,
    }
    a = Allocator(store, "host-a")
    for number in range(16):
        a.auto_assign(f"cni.{number}", {}, now=NOW)
    with pytest.raises(BlockLimit):
        a.auto_assign("cni.16", {}, now=NOW)
    with pytest.raises(Invalid):
        configure(store, strict_affinity=False)
    configure(store, max_blocks_per_host=0)
    a.auto_assign("cni.16", {}, now=NOW)


def test_3_6_a_pool_is_split_only_when_the_datastore_is_locked(store: Datastore) -> None:
    client = Client(store)
    Allocator(store, "host-a").auto_assign("cni.1", {}, now=NOW)
    for ready in (None, True):
        info = Resource(
            kind=CLUSTER_INFORMATION,
            metadata=Metadata(name="default"),
            spec=ClusterInformationSpec(datastore_ready=ready),
        )
        client.apply(info)
        with pytest.raises(Conflict, match="must be locked"):
            split_pool(store, 2, name="pool")
    locked = ClusterInformationSpec(datastore_ready=False)
    client.apply(Resource(kind=CLUSTER_INFORMATION, metadata=Metadata(name="default"), spec=locked))
    with pytest.raises(NotFound, match=r"IPPool 10.99.0.0/24 does not exist"):
        split_pool(store, 2, cidr="10.99.0.0/24")
    split_pool(store, 2, cidr="10.65.0.0/24")
    found = {p.name: (p.spec.cidr, bool(p.metadata.uid)) for p in client.list(IP_POOL).items}
    assert found == {"split-pool-0": ("10.65.0.0/25", True), "split-pool-1": ("10.65.0.128/25", True)}
    assert audit(store, ["cni.1"]).look().findings == ()


def test_6_5_a_tunnels_end_keeps_its_address(store: Datastore) -> None:
    pool(store, "six", "fd00:10::/64", block_size=122)
    pool(store, "pool", "10.65.0.0/24", block_size=28, allowed_uses=("Workload",))
    pool(store, "ends", "10.67.0.0/24", allowed_uses=("Tunnel",))
    address = tunnel_address(store, "Host-A", "vxlan", now=NOW)
    assert address in ip_network("10.67.0.0/24")
    assert tunnel_address(store, "host-a", "vxlan", now=NOW) == address
    assert tunnel_address(store, "host-a", "ipip", now=NOW) != address
    assert tunnel_address(store, "host-a", "wireguard-v6", now=NOW) in ip_network("fd00:10::/64")
    assert held(store, "vxlan-tunnel-addr-host-a") == (address,)
    Allocator(store, "host-a").auto_assign("vxlan-tunnel-addr-host-a", {}, now=NOW, pool="10.67.0.0/24", use="Tunnel")
    with pytest.raises(Conflict, match="has 2 addresses"):
        tunnel_address(store, "host-a", "vxlan", now=NOW)


def test_a_block_of_another_size_keeps_its_addresses(store: Datastore) -> None:
    a = Allocator(store, "host-a")
    first = a.auto_assign("cni.1", {}, now=NOW)
    old = ip_network(f"{first}/28", strict=False)
    Client(store).delete(IP_POOL, "pool")
    pool(store, "pool", "10.65.0.0/24", block_size=26)
    a.assign(old[9], "cni.2", {}, now=NOW)
    assert len(store.list(IPAM + "assignment/").items) == 1
    wide = ip_network(f"{old[0]}/26", strict=False)
    outside = next(address for address in wide if address not in old)
    with pytest.raises(Invalid, match="would overlap block"):
        a.assign(outside, "cni.3", {}, now=NOW)
    given = {a.auto_assign(f"cni.a{n}", {}, now=NOW) for n in range(14 + 3 * 64)}
    assert len(given) == 14 + 3 * 64
    assert audit(store, [], NOW).look().findings == ()


def test_a_deleted_mark_means_absent(store: Datastore) -> None:
    """9.1, 33."""
    a = Allocator(store, "host-a")
    cidr = ip_network(f"{a.auto_assign('cni.1', {}, now=NOW)}/28", strict=False)
    for key in (block_key(cidr), handle_key("cni.1")):
        kv = store.get(key)
        assert kv is not None
        store.commit([Put(key, kv.value.replace(b'"deleted":false', b'"deleted":true'))])
    store.commit([Drop(affinity_key("host-a", cidr))])
    assert list(audit(store).books().allocations()) == []
    assert a.auto_assign("cni.1", {}, now=NOW) == cidr[0]
    kv = store.get(handle_key("cni.1"))
    assert kv is not None
    assert from_json(Handle, kv.value, "handle").block == {str(cidr): 1}


class Meanwhile:
    """A store on which something happens once, just after the blocks were listed."""

    def __init__(self, store: Datastore, happens: Callable[[], object]) -> None:
        self._store, self._happens = store, [happens]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def list(self, prefix: str) -> Listing:
        listing = self._store.list(prefix)
        if prefix.startswith(BLOCKS) and self._happens:
            self._happens.pop()()
        return listing


@pytest.mark.parametrize("other", ["host-a", "host-b"])
def test_a_block_that_another_makes_meanwhile_is_never_written_over(store: Datastore, other: str) -> None:
    pool(store, "pool", "10.65.0.0/28", block_size=28)
    theirs = Allocator(store, other)
    slow = cast(Datastore, Meanwhile(store, lambda: theirs.auto_assign("cni.theirs", {}, now=NOW)))
    mine = Allocator(slow, "host-a").auto_assign("cni.mine", {}, now=NOW)
    held = {a.attribute.handle_id: str(a.address) for a in audit(store).books().allocations()}
    assert held == {"cni.theirs": "10.65.0.0", "cni.mine": str(mine)}


def test_threads_and_a_repair_at_the_same_time(store: Datastore) -> None:
    """A repair without grace takes the addresses of everybody alive under its nose; the books still add up."""
    allocator, over = Allocator(store, "host-a"), threading.Event()

    def work(name: str) -> None:
        for number in range(25):
            allocator.auto_assign(f"{name}.{number}", {}, now=NOW)
            if number % 3:
                allocator.release_by_handle(f"{name}.{number}", now=NOW)
        over.set()

    workers = [threading.Thread(target=work, args=(f"cni.{n}-{os.getpid()}",)) for n in range(3)]
    for worker in workers:
        worker.start()
    while not over.is_set():
        audit(store).repair(grace=0, pause=0)
    for worker in workers:
        worker.join()
    audit(store).repair(grace=0, pause=0)
    assert audit(store).look(grace=0).findings == ()
    assert list(audit(store).books().allocations()) == []
