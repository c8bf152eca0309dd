"""The allocator on a real store: who gets which address, and that no two ever get the same."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from tests.support import stores
from tests.support.stores import BACKENDS, Url

from tortie.base.errors import Invalid, NotFound
from tortie.ipam.allocator import Allocator
from tortie.ipam.cluster import Ownership, ownership
from tortie.ipam.errors import (
    AddressTaken,
    BlockLimit,
    Exhausted,
    HandleMismatch,
    NoPool,
    OutsidePools,
    PoolGone,
    UnknownSubnet,
)
from tortie.model.codec import from_json, to_json
from tortie.model.ipam import (
    CONFIG_KEY,
    IPAM,
    Affinity,
    Handle,
    IpamConfig,
    affinity_key,
    block_key,
    handle_key,
    parse_block,
)
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.ip_reservation import IP_RESERVATION, IPReservationSpec
from tortie.model.kinds.node import NODE, NodeSpec
from tortie.model.resource import Metadata, Resource
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.store.port import Datastore, Drop, Put

NOW = 1_800_000_000.0
POOL = "10.65.0.0/24"


def prepare(
    store: Datastore, *, nodes: tuple[str, ...] = ("host-a", "host-b"), cidr: str = POOL, size: int = 26
) -> None:
    client = Client(store)
    for name in nodes:
        client.apply(Resource(kind=NODE, metadata=Metadata(name=name), spec=NodeSpec()))
    client.apply(Resource(kind=IP_POOL, metadata=Metadata(name="pool"), spec=IPPoolSpec(cidr=cidr, block_size=size)))


def configure(store: Datastore, **settings: bool | int) -> None:
    config = IpamConfig(**{"auto_allocate_blocks": True, **settings})  # type: ignore[arg-type]
    store.commit([Put(CONFIG_KEY, to_json(config))])


def owned(store: Datastore) -> Ownership:
    return ownership({kv.key: kv.value for kv in store.list(IPAM).items})


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Url]:
    with stores.backend(request.param, tmp_path_factory.mktemp("etcd")) as url:
        yield url


@pytest.fixture
def url(backend: Url, tmp_path: Path) -> str:
    return backend(tmp_path)


@pytest.fixture
def empty(url: str) -> Iterator[Datastore]:
    found = open_store(url)
    yield found
    found.close()


@pytest.fixture
def store(empty: Datastore) -> Datastore:
    prepare(empty)
    return empty


def test_a_host_claims_a_block_and_fills_it_from_its_first_address(store: Datastore) -> None:
    a = Allocator(store, "host-a")
    first = [a.auto_assign("h1", {}, now=NOW) for _ in range(3)]
    block = ip_network(f"{first[0]}/26")
    assert first == [block[0], block[1], block[2]]
    assert owned(store).owners == {block: "host-a"}
    kv = store.get(affinity_key("host-a", block))
    assert kv is not None
    assert kv.value == b'{"state":"confirmed","deleted":false}'
    handle = store.get(handle_key("h1"))
    assert handle is not None
    assert handle.value == b'{"block":{"%s":3},"deleted":false}' % str(block).encode()


def test_attributes_say_who_and_when(store: Datastore) -> None:
    address = Allocator(store, "host-a").auto_assign("h1", {"namespace": "libnetwork"}, now=NOW + 0.1)
    kv = store.get(block_key(ip_network(f"{address}/26")))
    assert kv is not None
    block = parse_block(kv.value, kv.key)
    assert block.attributes[0].secondary == {
        "namespace": "libnetwork",
        "node": "host-a",
        "timestamp": "2027-01-15 08:00:00.1 +0000 UTC",
    }


def test_two_hosts_have_two_blocks(store: Datastore) -> None:
    a = Allocator(store, "host-a").auto_assign(None, {}, now=NOW)
    b = Allocator(store, "host-b").auto_assign(None, {}, now=NOW)
    assert ip_network(f"{a}/26", strict=False) != ip_network(f"{b}/26", strict=False)


def test_a_chosen_address_claims_its_block_or_is_borrowed(store: Datastore) -> None:
    a, b = Allocator(store, "host-a"), Allocator(store, "host-b")
    a.assign("10.65.0.254", "h1", {}, now=NOW)
    b.assign("10.65.0.253", "h2", {}, now=NOW)
    found = owned(store)
    assert found.owners == {ip_network("10.65.0.192/26"): "host-a"}
    assert found.borrowed == {ip_address("10.65.0.253"): "host-b"}
    with pytest.raises(AddressTaken, match=r"^The address 10\.65\.0\.254 is already in use$"):
        b.assign("10.65.0.254", "h3", {}, now=NOW)
    assert store.get(handle_key("h3")) is None


@pytest.mark.parametrize("address", ["10.66.0.1", "fd00::1"])
def test_an_address_outside_the_pools_is_refused(store: Datastore, address: str) -> None:
    with pytest.raises(OutsidePools, match=f"^The address {address} is not in one of the configured Calico IP pools$"):
        Allocator(store, "host-a").assign(address, "h", {}, now=NOW)


@pytest.mark.parametrize("address", ["", "x", "10.65.0.300", "10.65.0.0/26"])
def test_what_is_no_address_is_invalid(store: Datastore, address: str) -> None:
    for call in (
        Allocator(store, "host-a").release,
        lambda text, now: Allocator(store, "a").assign(text, "h", {}, now=now),
    ):
        with pytest.raises(Invalid, match="is not an IP address"):
            call(address, now=NOW)


@pytest.mark.parametrize("handle", ["", "a/b"])
def test_a_handle_that_is_no_key_is_refused(store: Datastore, handle: str) -> None:
    with pytest.raises(Invalid, match="handle"):
        Allocator(store, "host-a").auto_assign(handle, {}, now=NOW)


def test_released_addresses_rest_but_may_be_asked_for(store: Datastore) -> None:
    configure(store, ip_cooldown_seconds=30)
    a = Allocator(store, "host-a")
    block = ip_network(f"{a.auto_assign('h', {}, now=NOW)}/26")
    for number in range(1, 64):
        a.assign(block[number], f"h{number}", {}, now=NOW)
    assert a.release(block[5], "h5", now=NOW + 0.5)
    a.release(block[6], "h6", now=NOW + 0.5)
    configure(store, ip_cooldown_seconds=30, strict_affinity=True, max_blocks_per_host=1)
    with pytest.raises(BlockLimit):
        a.auto_assign("new", {}, now=NOW + 30.9)
    a.assign(block[6], "again", {}, now=NOW + 1)
    assert a.auto_assign("new", {}, now=NOW + 31) == block[5]


def test_a_freed_address_comes_last(store: Datastore) -> None:
    a = Allocator(store, "host-a")
    first = a.auto_assign("h", {}, now=NOW)
    assert a.release(first, now=NOW)
    later = [a.auto_assign("h", {}, now=NOW) for _ in range(64)]
    assert later[-1] == first
    assert later[0] == first + 1


def test_release_twice_and_by_a_wrong_handle(store: Datastore) -> None:
    a = Allocator(store, "host-a")
    address = a.auto_assign("mine", {}, now=NOW)
    with pytest.raises(HandleMismatch):
        a.release(address, "yours", now=NOW)
    assert a.release(address, "mine", now=NOW)
    assert not a.release(address, "mine", now=NOW)
    assert not a.release("10.65.0.200", now=NOW)
    assert store.get(handle_key("mine")) is None


def test_release_by_handle_takes_all_back_also_from_other_blocks(store: Datastore) -> None:
    a, b = Allocator(store, "host-a"), Allocator(store, "host-b")
    mine = [a.auto_assign("h", {}, now=NOW), b.auto_assign("h", {}, now=NOW)]
    other = a.auto_assign("other", {}, now=NOW)
    assert sorted(a.release_by_handle("h", now=NOW)) == sorted(mine)
    assert a.release_by_handle("h", now=NOW) == ()
    assert store.get(handle_key("h")) is None
    assert not a.release(mine[0], now=NOW)
    assert a.release(other, "other", now=NOW)


def test_a_handle_that_counts_too_many_is_put_right(store: Datastore) -> None:
    store.commit([Put(handle_key("h"), b'{"block":{"10.65.0.0/26":3,"10.65.0.64/26":1},"deleted":false}')])
    assert Allocator(store, "host-a").release_by_handle("h", now=NOW) == ()
    assert store.get(handle_key("h")) is None


def test_a_full_host_borrows_and_a_full_cluster_says_so(empty: Datastore) -> None:
    store = empty
    prepare(store, cidr="10.65.0.0/29", size=30)
    a, b = Allocator(store, "host-a"), Allocator(store, "host-b")
    a.auto_assign("h", {}, now=NOW)
    given = [b.auto_assign("h", {}, now=NOW) for _ in range(7)]
    assert len(owned(store).borrowed) == 3
    assert len(set(given)) == 7
    with pytest.raises(Exhausted, match=r"^There are no available IP addresses in the configured Calico IP pools$"):
        a.auto_assign("h", {}, now=NOW)


def test_strict_affinity_never_borrows(empty: Datastore) -> None:
    store = empty
    prepare(store, cidr="10.65.0.0/30", size=30)
    configure(store, strict_affinity=True)
    Allocator(store, "host-a").auto_assign("h", {}, now=NOW)
    b = Allocator(store, "host-b")
    with pytest.raises(Exhausted):
        b.auto_assign("h", {}, now=NOW)
    with pytest.raises(Invalid, match="does not belong to node host-b"):
        b.assign("10.65.0.3", "h", {}, now=NOW)


def test_an_empty_block_of_another_host_is_taken_over_after_a_minute(empty: Datastore) -> None:
    store = empty
    prepare(store, cidr="10.65.0.0/30", size=30)
    a, b = Allocator(store, "host-a"), Allocator(store, "host-b")
    address = a.auto_assign("h", {}, now=NOW)
    a.release(address, now=NOW)
    b.auto_assign("h", {}, now=NOW + 59)
    assert owned(store).owners == {ip_network("10.65.0.0/30"): "host-a"}
    b.release_by_handle("h", now=NOW + 59)
    b.auto_assign("h", {}, now=NOW + 60)
    assert owned(store).owners == {ip_network("10.65.0.0/30"): "host-b"}
    assert store.get(affinity_key("host-a", ip_network("10.65.0.0/30"))) is None


def test_a_claim_that_another_program_left_half_made_is_finished(store: Datastore) -> None:
    a = Allocator(store, "host-a")
    cidr = ip_network("10.65.0.64/26")
    store.commit([Put(affinity_key("host-a", cidr), to_json(Affinity(state="pending")))])
    assert owned(store).owners == {}
    assert a.auto_assign("h", {}, now=NOW) == cidr[0]
    assert owned(store).owners == {cidr: "host-a"}


def test_a_stale_affinity_to_a_block_of_another_host_is_dropped(store: Datastore) -> None:
    first = Allocator(store, "host-a").auto_assign("h", {}, now=NOW)
    cidr = ip_network(f"{first}/26")
    store.commit([Put(affinity_key("host-b", cidr), b"")])
    second = Allocator(store, "host-b").auto_assign("h", {}, now=NOW)
    assert second not in cidr
    assert store.get(affinity_key("host-b", cidr)) is None


def test_reserved_addresses_are_given_only_when_asked_for(store: Datastore) -> None:
    spec = IPReservationSpec(reserved_cidrs=("10.65.0.0/25", "10.65.0.128/31"))
    Client(store).apply(Resource(kind=IP_RESERVATION, metadata=Metadata(name="r"), spec=spec))
    a = Allocator(store, "host-a")
    given = {a.auto_assign("h", {}, now=NOW) for _ in range(126)}
    assert given == set(map(ip_address, range(int(ip_address("10.65.0.130")), int(ip_address("10.65.1.0")))))
    a.assign("10.65.0.1", "h", {}, now=NOW)


def test_pools(store: Datastore) -> None:
    client, a = Client(store), Allocator(store, "host-a")
    assert a.pool_for_subnet(POOL).name == "pool"
    with pytest.raises(UnknownSubnet):
        a.pool_for_subnet("10.65.0.0/25")
    with pytest.raises(Invalid, match=r"^Invalid CIDR$"):
        a.pool_for_subnet("10.65.0.0/x")
    with pytest.raises(PoolGone):
        a.auto_assign("h", {}, pool="10.66.0.0/16", now=NOW)
    with pytest.raises(NotFound, match="Node host-c does not exist"):
        Allocator(store, "host-c").auto_assign("h", {}, now=NOW)
    spec = IPPoolSpec(cidr="10.70.0.0/24", node_selector="rack == '1'")
    client.apply(Resource(kind=IP_POOL, metadata=Metadata(name="other"), spec=spec))
    assert a.auto_assign("h", {}, pool="10.70.0.0/24", now=NOW) in ip_network("10.70.0.0/24")
    client.delete(IP_POOL, "pool")
    with pytest.raises(NoPool, match=r"^no configured Calico pools for node host-a$"):
        a.auto_assign("h", {}, now=NOW)


def test_the_last_address_of_a_deleted_pool_takes_its_block_along(store: Datastore) -> None:
    a = Allocator(store, "host-a")
    a.auto_assign("h", {}, now=NOW)
    Client(store).delete(IP_POOL, "pool")
    a.release_by_handle("h", now=NOW)
    assert not store.list(IPAM).items


def test_ipv6(store: Datastore) -> None:
    spec = IPPoolSpec(cidr="fd00:10::/64", block_size=122)
    Client(store).apply(Resource(kind=IP_POOL, metadata=Metadata(name="six"), spec=spec))
    address = Allocator(store, "host-a").auto_assign("h", {}, version=6, now=NOW)
    block = ip_network(f"{address}/122", strict=False)
    assert address == block[0]
    assert store.get(f"/calico/ipam/v2/assignment/ipv6/block/{str(block).replace('/', '-')}") is not None


def test_a_damaged_block_is_refused_and_named(store: Datastore) -> None:
    a = Allocator(store, "host-a")
    key = block_key(ip_network(f"{a.auto_assign('h', {}, now=NOW)}/26"))
    store.commit([Put(key, b'{"cidr":"10.65.0.0/26","allocations":[null],"unallocated":[0]}')])
    with pytest.raises(Invalid, match="allocations: 1 entries for 64 addresses"):
        a.auto_assign("h", {}, now=NOW)
    assert owned(store).unreadable == (key,)
    store.commit([Drop(key)])
    a.auto_assign("h", {}, now=NOW)


WORKER = """
import sys
from tortie.ipam.allocator import Allocator
from tortie.store.open import open_store

url, node, name = sys.argv[1:]
allocator = Allocator(open_store(url), node)
held = [str(allocator.auto_assign(name, {}, now=1.8e9)) for _ in range(30)]
for address in held[::3]:
    assert allocator.release(address, name, now=1.8e9)
print(*[address for index, address in enumerate(held) if index % 3])
"""


def test_processes_never_share_an_address(store: Datastore, url: str) -> None:
    commands = [[sys.executable, "-c", WORKER, url, f"host-{'ab'[number % 2]}", f"w{number}"] for number in range(3)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    held = [process.communicate(timeout=200)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    _check_held(store, [(f"w{number}", part) for number, part in enumerate(held)])


def test_threads_never_share_an_address(store: Datastore) -> None:
    def work(number: int) -> tuple[str, list[str]]:
        allocator = Allocator(store, f"host-{'ab'[number % 2]}")
        return f"w{number}", [str(allocator.auto_assign(f"w{number}", {}, now=NOW)) for _ in range(20)]

    with ThreadPoolExecutor(4) as threads:
        _check_held(store, list(threads.map(work, range(4))))


def _check_held(store: Datastore, held: list[tuple[str, list[str]]]) -> None:
    """Everybody has addresses of his own, and each handle counts just them."""
    assert len({address for _, part in held for address in part}) == 20 * len(held)
    for name, part in held:
        kv = store.get(handle_key(name))
        assert kv is not None
        counts = from_json(Handle, kv.value, "handle").block
        assert counts == Counter(str(ip_network(f"{address}/26", strict=False)) for address in part)
