"""Statements of calico-model.md chapter 6, and the traps of 9.1 about addresses, each on both stores.

What other files hold already is not here: claims, leaks, configuration, tunnels (test_ipam_audit), giving and taking
(test_allocator), removal (test_ipam_removal), the pure parts (tests/pure/ipam).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from tests.support import stores
from tests.support.stores import BACKENDS, Url

from tortie.base.errors import Conflict, Invalid
from tortie.ipam.allocator import Allocator
from tortie.ipam.audit import Audit
from tortie.ipam.cluster import ownership
from tortie.ipam.errors import BlockLimit, Exhausted, HandleMismatch, StaleRelease
from tortie.ipam.release import releaser
from tortie.model.ipam import CONFIG_KEY, IPAM, Network, affinity_key, block_key, handle_key
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.ip_reservation import IP_RESERVATION, IPReservationSpec
from tortie.model.kinds.ipam_configuration import IPAM_CONFIGURATION, IPAMConfigurationSpec
from tortie.model.kinds.node import NODE, NodeSpec
from tortie.model.resource import Metadata, Resource
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.store.port import Datastore, Drop, Put

NOW = 1_800_000_000.0


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Url]:
    with stores.backend(request.param, tmp_path_factory.mktemp("etcd")) as url:
        yield url


@pytest.fixture
def store(backend: Url, tmp_path: Path) -> Iterator[Datastore]:
    found = open_store(backend(tmp_path))
    for name in ("host-1", "host-10"):
        Client(found).create(Resource(kind=NODE, metadata=Metadata(name=name), spec=NodeSpec()))
    yield found
    found.close()


@pytest.fixture
def pool(store: Datastore) -> Network:
    """Four blocks of four addresses."""
    return add_pool(store, "pool", "10.65.0.0/28", block_size=30)


def add_pool(store: Datastore, name: str, cidr: str, **fields: Any) -> Network:
    Client(store).create(Resource(kind=IP_POOL, metadata=Metadata(name=name), spec=IPPoolSpec(cidr=cidr, **fields)))
    return ip_network(cidr)


def reserve(store: Datastore, name: str, *cidrs: str) -> None:
    spec = IPReservationSpec(reserved_cidrs=cidrs)
    Client(store).apply(Resource(kind=IP_RESERVATION, metadata=Metadata(name=name), spec=spec))


def raw(store: Datastore, key: str) -> Any:
    kv = store.get(key)
    assert kv is not None
    return json.loads(kv.value)


def write(store: Datastore, key: str, value: Any) -> None:
    store.commit([Put(key, json.dumps(value, separators=(",", ":")).encode())])


def around(address: object, size: int = 30) -> Network:
    return ip_network(f"{address}/{size}", strict=False)


def test_6_1_what_other_programs_keep_in_a_block_stays(store: Datastore, pool: Network) -> None:
    a = Allocator(store, "host-1")
    cidr = around(a.auto_assign("h0", {}, now=NOW))
    block = raw(store, block_key(cidr))
    block["hostAffinity"] = "host-9"
    block["attributes"][0]["alternateOwnerAttrs"] = {"node": "host-10"}
    write(store, block_key(cidr), block)
    config = {"strict_affinity": False, "auto_allocate_blocks": True, "kubeVirtVMAddressPersistence": "Enabled"}
    write(store, CONFIG_KEY, config)
    a.auto_assign("h1", {}, now=NOW)
    a.release_by_handle("h1", now=NOW)
    after = raw(store, block_key(cidr))
    assert after["hostAffinity"] == "host-9"
    assert after["attributes"][0]["alternateOwnerAttrs"] == {"node": "host-10"}


@pytest.mark.parametrize("state", [b"", b"{}", b'{"state":"","deleted":false}'])
def test_6_1_a_claim_without_a_state_is_confirmed(store: Datastore, pool: Network, state: bytes) -> None:
    a = Allocator(store, "host-1")
    cidr = around(a.auto_assign("h", {}, now=NOW))
    store.commit([Put(affinity_key("host-1", cidr), state)])
    assert ownership({kv.key: kv.value for kv in store.list(IPAM).items}).owners == {cidr: "host-1"}
    assert a.auto_assign("h2", {}, now=NOW) in cidr


@pytest.mark.parametrize("state", ["pending", "pendingDeletion"])
@pytest.mark.parametrize("there", [True, False])
def test_6_1_another_state_is_confirmed_before_use(store: Datastore, pool: Network, state: str, there: bool) -> None:
    """9.1, 39: until then the block is nobody's."""
    a = Allocator(store, "host-1")
    cidr = around(a.auto_assign("h", {}, now=NOW))
    a.release_by_handle("h", now=NOW)
    if not there:
        store.commit([Drop(block_key(cidr))])
    write(store, affinity_key("host-1", cidr), {"state": state, "deleted": False})
    assert ownership({kv.key: kv.value for kv in store.list(IPAM).items}).owners == {}
    assert Allocator(store, "host-1").auto_assign("h", {}, now=NOW) in cidr
    assert raw(store, affinity_key("host-1", cidr)) == {"state": "confirmed", "deleted": False}
    assert ownership({kv.key: kv.value for kv in store.list(IPAM).items}).owners == {cidr: "host-1"}


def test_6_1_a_handle_ends_at_a_carriage_return_when_it_is_compared(store: Datastore, pool: Network) -> None:
    a = Allocator(store, "host-1")
    first, second = a.auto_assign("h\rmore", {}, now=NOW), a.auto_assign("other", {}, now=NOW)
    assert a.release(first, "h", now=NOW)
    with pytest.raises(HandleMismatch):
        a.release(second, "oth", now=NOW)
    assert store.get(handle_key("h\rmore")) is None


def test_6_1_a_configuration_without_auto_allocate_blocks_makes_none(store: Datastore, pool: Network) -> None:
    """9.1, 31: a missing field is false, a missing key is true."""
    a, b = Allocator(store, "host-1"), Allocator(store, "host-10")
    given = [a.auto_assign("h", {}, now=NOW) for _ in range(3)]
    write(store, CONFIG_KEY, {"strict_affinity": True})
    assert a.auto_assign("h", {}, now=NOW) in around(given[0])
    for allocator in (a, b):
        with pytest.raises(Exhausted):
            allocator.auto_assign("h", {}, now=NOW)
    store.commit([Drop(CONFIG_KEY)])
    assert b.auto_assign("h", {}, now=NOW) not in around(given[0])


def test_6_1_the_resource_ipamconfiguration_is_not_what_the_allocator_reads(store: Datastore, pool: Network) -> None:
    """9.1, 32."""
    spec = IPAMConfigurationSpec(strict_affinity=True, auto_allocate_blocks=False)
    Client(store).create(Resource(kind=IPAM_CONFIGURATION, metadata=Metadata(name="default"), spec=spec))
    assert Allocator(store, "host-1").auto_assign("h", {}, now=NOW) in pool


def test_6_1_sequence_numbers_begin_in_nanoseconds_and_tell_allocations_apart(store: Datastore, pool: Network) -> None:
    """9.1, 38: they do not fit into 53 bits, and a release under an old one fails."""
    a = Allocator(store, "host-1")
    address = a.auto_assign("h", {}, now=NOW)
    key = block_key(around(address))
    block = raw(store, key)
    first = block["sequenceNumberForAllocation"]["0"]
    assert first == int(NOW * 1e9)
    assert first > 2**53
    assert block["sequenceNumber"] == first + 1
    a.release(address, "h", now=NOW, sequence=first)
    assert raw(store, key)["sequenceNumberForAllocation"] == {}
    a.assign(address, "h", {}, now=NOW)
    assert raw(store, key)["sequenceNumberForAllocation"]["0"] == first + 2
    with pytest.raises(StaleRelease):
        a.release(address, "h", now=NOW, sequence=first)
    assert a.release(address, "h", now=NOW, sequence=first + 2)


def test_6_2_a_claimed_block_that_is_missing_is_made_again(store: Datastore, pool: Network) -> None:
    a = Allocator(store, "host-1")
    cidr = around(a.auto_assign("h", {}, now=NOW))
    a.release_by_handle("h", now=NOW)
    store.commit([Drop(block_key(cidr))])
    assert a.auto_assign("h", {}, now=NOW) == cidr[0]
    assert Audit(store).look().findings == ()


def test_6_2_wholly_reserved_blocks_are_passed_over_and_reserved_addresses_keep_their_place(
    store: Datastore, pool: Network
) -> None:
    reserve(store, "half", "10.65.0.0/29", "10.65.0.8/30")
    reserve(store, "one", "10.65.0.13/32")
    a = Allocator(store, "host-1")
    assert [str(a.auto_assign("h", {}, now=NOW)) for _ in range(3)] == ["10.65.0.12", "10.65.0.14", "10.65.0.15"]
    with pytest.raises(Exhausted):
        a.auto_assign("h", {}, now=NOW)
    Client(store).delete(IP_RESERVATION, "one")
    assert str(a.auto_assign("h", {}, now=NOW)) == "10.65.0.13"
    with pytest.raises(Exhausted):
        a.auto_assign("h", {}, now=NOW)


def test_6_2_many_reservations_hold_like_few(store: Datastore, pool: Network) -> None:
    for number in range(40):
        reserve(store, f"r{number}", f"10.99.0.{number}/32")
    a = Allocator(store, "host-1")
    first = a.auto_assign("h", {}, now=NOW)
    reserve(store, "r0", f"{first + 1}/32")
    assert a.auto_assign("h", {}, now=NOW) == first + 2
    Client(store).delete(IP_RESERVATION, "r0")
    assert a.auto_assign("h", {}, now=NOW) == first + 1


def test_6_2_twenty_blocks_are_the_limit_and_there_is_no_borrowing_at_it(store: Datastore) -> None:
    """9.1, 40."""
    add_pool(store, "wide", "10.65.0.0/24", block_size=30)
    a, b = Allocator(store, "host-1"), Allocator(store, "host-10")
    theirs = b.auto_assign("theirs", {}, now=NOW)
    for _ in range(80):
        a.auto_assign("h", {}, now=NOW)
    assert sum(claim[0] == "host-1" for claim in Audit(store).books().claims) == 20
    with pytest.raises(BlockLimit, match="per host block limit: 20"):
        a.auto_assign("h", {}, now=NOW)
    assert b.auto_assign("theirs", {}, now=NOW) in around(theirs)


def test_6_2_borrowing_takes_a_block_without_an_owner_too_and_strict_affinity_none(
    store: Datastore, pool: Network
) -> None:
    """9.1, 41."""
    a, b = Allocator(store, "host-1"), Allocator(store, "host-10")
    cidr = around(a.auto_assign("h", {}, now=NOW))
    releaser(store).release_affinity(cidr, "host-1", now=NOW)
    rest = [b.auto_assign("b", {}, now=NOW) for _ in range(12)]
    assert not any(address in cidr for address in rest)
    write(store, CONFIG_KEY, {"strict_affinity": True, "auto_allocate_blocks": True})
    with pytest.raises(Exhausted):
        b.auto_assign("b", {}, now=NOW)
    with pytest.raises(Invalid, match="does not belong to node host-10"):
        b.assign(cidr[3], "b", {}, now=NOW)
    store.commit([Drop(CONFIG_KEY)])
    borrowed = b.auto_assign("b", {}, now=NOW)
    assert borrowed in cidr
    assert ownership({kv.key: kv.value for kv in store.list(IPAM).items}).borrowed[borrowed] == "host-10"


def test_6_2_freed_addresses_rest_longest(store: Datastore, pool: Network) -> None:
    """9.1, 36: from the front, back to the end."""
    a = Allocator(store, "host-1")
    first = a.auto_assign("h", {}, now=NOW)
    a.release(first, now=NOW)
    assert raw(store, block_key(around(first)))["unallocated"] == [1, 2, 3, 0]


def test_6_3_a_chosen_address_ignores_reservations_and_selectors(store: Datastore) -> None:
    """9.1, 42."""
    add_pool(store, "red", "10.66.0.0/29", block_size=30, node_selector="colour == 'red'", assignment_mode="Manual")
    reserve(store, "all", "10.66.0.0/29")
    a = Allocator(store, "host-1")
    a.assign("10.66.0.1", "h", {}, now=NOW)
    a.assign("10.66.0.2", "h", {}, now=NOW, use="Tunnel")
    with pytest.raises(Invalid, match="not for the use LoadBalancer"):
        a.assign("10.66.0.3", "h", {}, now=NOW, use="LoadBalancer")
    assert raw(store, block_key(ip_network("10.66.0.0/30")))["affinity"] == "host:host-1"


def test_6_4_a_released_address_cools_down_as_the_original_writes_it(store: Datastore, pool: Network) -> None:
    write(store, CONFIG_KEY, {"auto_allocate_blocks": True, "ipCooldownSeconds": 30})
    a = Allocator(store, "host-1")
    first, second = a.auto_assign("h1", {}, now=NOW), a.auto_assign("h2", {}, now=NOW)
    key = block_key(around(first))
    a.release(first, now=NOW)
    block = raw(store, key)
    index = block["allocations"][0]
    assert block["attributes"][index] == {"releasedAt": "2027-01-15T08:00:00Z"}
    assert block["unallocated"] == [2, 3]
    assert store.get(handle_key("h1")) is None
    a.release(second, now=NOW + 31)
    block = raw(store, key)
    assert block["unallocated"] == [2, 3, 0]
    assert len(block["attributes"]) == 1
    assert block["allocations"] == [None, 0, None, None]


def test_6_4_an_empty_block_without_an_owner_goes_with_its_last_address(store: Datastore, pool: Network) -> None:
    a = Allocator(store, "host-1")
    address = a.auto_assign("h", {}, now=NOW)
    cidr = around(address)
    releaser(store).release_affinity(cidr, "host-1", now=NOW)
    assert raw(store, block_key(cidr))["affinity"] is None
    assert a.release(address, now=NOW)
    assert store.get(block_key(cidr)) is None


def test_9_1_26_a_hosts_claims_are_not_those_of_one_whose_name_begins_alike(store: Datastore, pool: Network) -> None:
    kept = Allocator(store, "host-10").auto_assign("h", {}, now=NOW)
    Allocator(store, "host-1").auto_assign("h1", {}, now=NOW)
    assert len(releaser(store).release_host("host-1", now=NOW)) == 1
    assert list(Audit(store).books().claims) == [("host-10", around(kept))]


def test_9_1_45_the_first_and_the_last_address_of_a_pool_are_given(store: Datastore, pool: Network) -> None:
    given = {Allocator(store, "host-1").auto_assign("h", {}, now=NOW) for _ in range(16)}
    assert given == set(pool)


def test_6_4_what_nobody_has_is_no_error_and_the_last_address_takes_the_handle(store: Datastore, pool: Network) -> None:
    """9.1, 37: never below what is recorded."""
    a = Allocator(store, "host-1")
    one, two = a.auto_assign("h", {}, now=NOW), a.auto_assign("h", {}, now=NOW)
    assert not a.release(pool[15], now=NOW)
    write(store, handle_key("h"), {"block": {str(around(one)): 1}, "deleted": False})
    assert a.release(one, now=NOW)
    assert store.get(handle_key("h")) is None
    assert a.release(two, now=NOW)
    assert Audit(store).look().findings == ()


def test_6_4_a_claim_that_must_be_empty_is_kept_while_it_is_not(store: Datastore, pool: Network) -> None:
    a = Allocator(store, "host-1")
    cidr = around(a.auto_assign("h", {}, now=NOW))
    with pytest.raises(Conflict):
        releaser(store).release_affinity(cidr, "host-1", now=NOW, must_be_empty=True)
    assert ownership({kv.key: kv.value for kv in store.list(IPAM).items}).owners == {cidr: "host-1"}
