"""One block over random steps against a plain dictionary; who owns what in a cluster; the order of a search."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tortie.base.errors import Invalid
from tortie.ipam.assign import Pool, borrow_order, fnv1, next_block
from tortie.ipam.block import Claimant, addresses_of, assign_address, assign_next, holder, new_block, release, settle
from tortie.ipam.cluster import ownership
from tortie.ipam.errors import HandleMismatch
from tortie.model.codec import from_json, to_json
from tortie.model.ipam import Affinity, Block, affinity_key, affinity_of_key, block_key, block_of_key, parse_block

NET = ip_network("10.65.0.0/29")
HANDLES = st.sampled_from(["a", "b", "c"])
ORDINALS = st.integers(0, 7)


class Walk(RuleBasedStateMachine):
    """Gives, takes back and lets time pass; the twin knows who has which address and when the others came free."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.cooldown = 30.0
        self.block = new_block(NET, "host-a", self.now)
        self.owner: dict[int, str] = {}
        self.rest: dict[int, float] = {}
        self.sequence = self.block.sequence_number

    def resting(self) -> set[int]:
        return {ordinal for ordinal, until in self.rest.items() if self.now < until}

    @rule(handles=st.lists(HANDLES, min_size=1, max_size=3))
    def give_next(self, handles: list[str]) -> None:
        settled = settle(self.block, self.now, self.cooldown)
        found = assign_next(settled, [Claimant(handle, {"node": "host-a"}) for handle in handles])
        free = set(range(8)) - self.owner.keys() - self.resting()
        if found is None:
            assert not free
            return
        ordinals = [int(address) - int(NET[0]) for address in found.addresses]
        assert ordinals == list(settled.unallocated[: len(handles)])
        assert len(ordinals) == min(len(handles), len(free))
        assert set(ordinals) <= free
        self.block = found.block
        for ordinal, handle in zip(ordinals, handles, strict=False):
            self.owner[ordinal] = handle
            self.rest.pop(ordinal, None)

    @rule(handle=HANDLES, ordinal=ORDINALS)
    def give_this(self, handle: str, ordinal: int) -> None:
        given = assign_address(self.block, NET[ordinal], Claimant(handle, {}))
        assert (given is None) == (ordinal in self.owner)
        if given is not None:
            self.owner[ordinal], self.block = handle, given
            self.rest.pop(ordinal, None)

    @rule(handle=HANDLES, ordinal=ORDINALS)
    def take_back(self, handle: str, ordinal: int) -> None:
        if self.owner.get(ordinal, handle) != handle:
            with pytest.raises(HandleMismatch):
                release(self.block, [NET[ordinal]], self.now, self.cooldown, handle)
            return
        released = release(self.block, [NET[ordinal]], self.now, self.cooldown, handle)
        assert (released is None) == (ordinal not in self.owner)
        if released is not None:
            assert released.handles == {handle: 1}
            del self.owner[ordinal]
            self.rest[ordinal], self.block = self.now + self.cooldown, released.block

    @rule(seconds=st.sampled_from([1.0, 29.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def adds_up(self) -> None:
        assert parse_block(to_json(self.block), "k") == self.block
        assert {o: who.handle_id for o in range(8) if (who := holder(self.block, NET[o]))} == self.owner
        for handle in "abc":
            assert addresses_of(self.block, handle) == tuple(
                NET[o] for o in sorted(self.owner) if self.owner[o] == handle
            )
        used = {index for index in self.block.allocations if index is not None}
        assert used == set(range(len(self.block.attributes)))
        assert self.block.sequence_number >= self.sequence
        self.sequence = self.block.sequence_number
        numbers = self.block.sequence_number_for_allocation
        assert {int(ordinal) for ordinal in numbers} >= self.owner.keys()
        assert all(number < self.block.sequence_number for number in numbers.values())


TestWalk = Walk.TestCase
TestWalk.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)


def test_the_original_s_block_comes_back_byte_for_byte() -> None:
    text = (
        b'{"cidr":"10.65.0.0/30","affinity":"host:host-a","affinity_claim_time":"2026-05-01T10:00:01Z",'
        b'"allocations":[0,null,null,1],"unallocated":[1,2],'
        b'"attributes":[{"handle_id":"t","secondary":{"node":"host-a"}},'
        b'{"handle_id":"web-net.6f1c2d3e","secondary":{"node":"host-a",'
        b'"timestamp":"2026-05-01 10:00:02.1 +0000 UTC"}}],'
        b'"sequenceNumber":1777629601000000003,'
        b'"sequenceNumberForAllocation":{"0":1777629601000000001,"3":1777629601000000002},"deleted":false}'
    )
    assert to_json(from_json(Block, text, "block")) == text


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{", "truncated"),
        (b"{}", "cidr"),
        (b'{"cidr":"10.0.0.1/30"}', "host bits"),
        (b'{"cidr":"10.0.0.0/31","allocations":[null]}', "1 entries for 2"),
        (b'{"cidr":"10.0.0.0/32","allocations":[0]}', "behind the attributes"),
        (b'{"cidr":"10.0.0.0/32","allocations":[null],"unallocated":[]}', "exactly the free"),
        (b'{"cidr":"10.0.0.0/32","allocations":[null],"unallocated":[0,0]}', "exactly the free"),
    ],
)
def test_a_block_that_does_not_add_up_is_refused(value: bytes, reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        parse_block(value, "k")


def test_keys_and_back() -> None:
    for text in ("10.65.0.0/26", "fd00::/122"):
        cidr = ip_network(text)
        assert block_of_key(block_key(cidr)) == cidr
        assert affinity_of_key(affinity_key("host-1", cidr)) == ("host-1", cidr)
        assert affinity_of_key(block_key(cidr)) is None
        assert block_of_key(affinity_key("host-1", cidr)) is None
    assert block_of_key("/calico/ipam/v2/assignment/ipv4/block/x") is None
    assert block_key(ip_network("10.65.0.0/26")) == "/calico/ipam/v2/assignment/ipv4/block/10.65.0.0-26"


@pytest.mark.parametrize(
    ("state", "owned"), [("confirmed", True), ("", True), ("pending", False), ("pendingDeletion", False)]
)
def test_only_a_confirmed_claim_owns_a_block(state: str, owned: bool) -> None:
    found = assign_next(new_block(NET, "host-a", 1.0), [Claimant("h", {"node": "host-a"})])
    assert found is not None
    claim = to_json(Affinity(state=state))  # type: ignore[arg-type]
    entries = {
        block_key(NET): to_json(found.block),
        affinity_key("host-a", NET): claim,
        "/calico/ipam/v2/config": b"{}",
    }
    result = ownership(entries)
    assert dict(result.owners) == ({NET: "host-a"} if owned else {})
    assert dict(result.borrowed) == ({} if owned else {ip_address("10.65.0.0"): "host-a"})
    assert ownership({block_key(NET): b"x"}).unreadable == (block_key(NET),)


def test_a_search_visits_every_block_once_from_a_start_of_its_own() -> None:
    pool = Pool(ip_network("10.65.0.0/24"), 26)
    blocks = list(pool.blocks(pool.start("host-a")))
    assert sorted(map(str, blocks)) == [f"10.65.0.{number}/26" for number in (0, 128, 192, 64)]
    assert next_block([pool], "host-a", blocks[:2], []) == blocks[2]
    assert next_block([pool], "host-a", blocks[:2], [blocks[2]]) == blocks[3]
    assert next_block([pool], "host-a", blocks, []) is None
    assert borrow_order(blocks[::-1], [pool], "host-a") == blocks
    assert fnv1("a") == 0x050C5D7E
