"""Which pools serve whom (calico-model.md 6.2, 6.3), what the configuration may say (6.1), what `show` counts (3.6)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network
from typing import Any

import msgspec
import pytest

from tortie.base.errors import Invalid
from tortie.ipam import assign as choose
from tortie.ipam.assign import Pool
from tortie.ipam.block import Claimant, assign_address, claimed, new_block, release, settle
from tortie.ipam.books import Books, Kept
from tortie.ipam.errors import NoPool, OutsidePools, PoolGone, StaleRelease
from tortie.ipam.settings import changed, split
from tortie.ipam.show import Borrowed, Usage, allocation_of, borrowed, usage
from tortie.model.checks import seconds_of
from tortie.model.ipam import DEFAULT_CONFIG, Block, IpamConfig
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.resource import Metadata, Resource

NOW = 1_800_000_000.0


def pool(name: str = "p", cidr: str = "10.65.0.0/24", **fields: Any) -> Resource[IPPoolSpec]:
    return Resource(kind=IP_POOL, metadata=Metadata(name=name), spec=IPPoolSpec(cidr=cidr, **fields), revision=3)


def served(*pools: Resource[IPPoolSpec], use: choose.Use = "Workload", version: int = 4, **namespace: str) -> list[str]:
    found = choose.pools_for(pools, "host-a", {"rack": "1"}, version, use, namespace or None)
    return [str(found_pool.cidr) for found_pool in found]


@pytest.mark.parametrize(
    "fields",
    [
        {"node_selector": "rack == '2'"},
        {"assignment_mode": "Manual"},
        {"disabled": True},
        {"allowed_uses": ("Tunnel",)},
        {"namespace_selector": "team == 'red'"},
        {"node_selector": "rack ==", "namespace_selector": "all()"},
        {"block_size": 33},
    ],
)
def test_6_2_pools_that_do_not_serve(fields: dict[str, Any]) -> None:
    with pytest.raises(NoPool, match="no configured Calico pools for node host-a"):
        served(pool(**fields))


def test_6_2_pools_that_serve() -> None:
    red = pool("r", "10.66.0.0/24", namespace_selector="team == 'red'")
    assert served(pool(), red) == ["10.65.0.0/24"]
    assert served(pool(), red, team="red") == ["10.65.0.0/24", "10.66.0.0/24"]
    assert served(pool(node_selector="has(rack)")) == ["10.65.0.0/24"]
    assert served(pool(allowed_uses=("Tunnel",)), use="Tunnel") == ["10.65.0.0/24"]
    assert served(pool("six", "fd00::/64", block_size=122), pool(), version=6) == ["fd00::/64"]
    with pytest.raises(NoPool, match="namespaceSelector"):
        served(pool(namespace_selector="("))


def test_6_2_a_pool_that_is_not_allocatable_or_being_deleted_gives_nothing() -> None:
    status = '{"conditions":[{"type":"Allocatable","status":"%s","reason":"CIDROverlap"}]}'
    assert served(replace(pool(), unknown=(("status", status % "True"),))) == ["10.65.0.0/24"]
    assert served(replace(pool(), unknown=(("status", "7"),))) == ["10.65.0.0/24"]
    going = Metadata(name="p", unknown=(("deletionTimestamp", '"2027-01-15T08:00:00Z"'),))
    for gone in (replace(pool(), unknown=(("status", status % "False"),)), replace(pool(), metadata=going)):
        with pytest.raises(NoPool):
            served(gone)


def test_6_2_pools_that_are_named_need_no_selector_but_must_be_enabled_and_for_the_use() -> None:
    pools = [
        pool(node_selector="rack == '2'", assignment_mode="Manual"),
        pool("off", "10.66.0.0/24", disabled=True),
        pool("tunnels", "10.67.0.0/24", allowed_uses=("Tunnel",)),
    ]
    assert choose.pools_named(pools, ["10.65.0.0/24"], "n", 4, "Workload") == [
        Pool(ip_network("10.65.0.0/24"), 26, pools[0].key, 3)
    ]
    for cidr in ("10.66.0.0/24", "10.68.0.0/24", "10.65.0.0/25"):
        with pytest.raises(PoolGone):
            choose.pools_named(pools, ["10.65.0.0/24", cidr], "n", 4, "Workload")
    with pytest.raises(NoPool):
        choose.pools_named(pools, ["10.67.0.0/24"], "n", 4, "Workload")


def test_6_3_a_chosen_address_ignores_selectors_not_the_pool_or_a_given_use() -> None:
    pools = [pool(node_selector="rack == '2'"), pool("off", "10.66.0.0/24", disabled=True)]
    assert choose.pool_around(pools, ip_address("10.65.0.9")).block_of(ip_address("10.65.0.70")) == ip_network(
        "10.65.0.64/26"
    )
    with pytest.raises(OutsidePools):
        choose.pool_around(pools, ip_address("10.66.0.1"))
    with pytest.raises(Invalid, match="IPPool p is not for the use LoadBalancer"):
        choose.pool_around(pools, ip_address("10.65.0.1"), "LoadBalancer")


def test_6_2_the_limit_of_blocks_is_the_smaller_one_and_20_when_there_is_none() -> None:
    limits = [(0, 0, 20), (5, 0, 5), (0, 7, 7), (5, 7, 5), (30, 0, 30), (9, 3, 3)]
    for cluster, own, limit in limits:
        assert choose.block_limit(IpamConfig(max_blocks_per_host=cluster), own) == limit


def test_6_2_a_new_block_never_overlaps_one_of_another_size() -> None:
    pools = [Pool(ip_network("10.65.0.0/24"), 26)]
    taken = [ip_network("10.65.0.0/25"), ip_network("10.65.0.130/31")]
    assert choose.next_block(pools, "host-a", taken, []) == ip_network("10.65.0.192/26")
    assert choose.next_block(pools, "host-a", [*taken, ip_network("10.65.0.192/26")], []) is None


def test_6_2_an_empty_block_is_reclaimed_after_a_minute_but_never_from_a_virtual_owner() -> None:
    net = IPv4Network("10.65.0.0/30")
    pools, fresh = [Pool(ip_network("10.65.0.0/24"), 30)], new_block(net, "host-b", NOW - 59)
    old = claimed(fresh, "host-b", NOW - 60)
    virtual = msgspec.structs.replace(old, affinity="virtual:load-balancer")
    nobodys = msgspec.structs.replace(fresh, affinity=None)
    used = assign_address(old, net[0], Claimant("h", {}))
    assert used is not None
    for block, expected in ((fresh, []), (old, [net]), (virtual, []), (nobodys, [net]), (used, [])):
        assert choose.reclaimable({net: block}, pools, NOW, 0) == expected


def test_6_4_a_release_under_an_old_sequence_number_fails() -> None:
    net = IPv4Network("10.65.0.0/30")
    block = assign_address(new_block(net, "host-a", NOW), net[1], Claimant("h", {}))
    assert block is not None
    number = block.sequence_number_for_allocation["1"]
    assert number > 2**53
    assert block.sequence_number == number + 1
    with pytest.raises(StaleRelease):
        release(block, [net[1]], NOW, 0, "h", number - 1)
    assert release(block, [net[1]], NOW, 0, "h", number) is not None


def test_6_1_rules_of_the_configuration() -> None:
    assert changed(DEFAULT_CONFIG, strict_affinity=True).auto_allocate_blocks
    with pytest.raises(Invalid) as error:
        changed(DEFAULT_CONFIG, auto_allocate_blocks=False, max_blocks_per_host=3, ip_cooldown_seconds=1201)
    assert error.value.problems == (
        "Cannot disable 'StrictAffinity' and 'AutoAllocateBlocks' at the same time",
        "MaxBlocksPerHost requires StrictAffinity to be enabled",
        "IPCooldownSeconds must be between 0 and 1200: 1201",
    )
    with pytest.raises(Invalid, match="must not be negative"):
        changed(DEFAULT_CONFIG, max_blocks_per_host=-1)
    kept = IpamConfig(auto_allocate_blocks=True, unknown=(("kubeVirtVMAddressPersistence", '"Enabled"'),))
    assert changed(kept, ip_cooldown_seconds=5).unknown == kept.unknown


def test_3_6_a_pool_is_split_into_equal_parts() -> None:
    parts = split(pool(nat_outgoing=True), 4)
    assert [(p.name, p.spec.cidr) for p in parts] == [
        ("split-p-0", "10.65.0.0/26"),
        ("split-p-1", "10.65.0.64/26"),
        ("split-p-2", "10.65.0.128/26"),
        ("split-p-3", "10.65.0.192/26"),
    ]
    assert all(p.spec.nat_outgoing and p.revision == 0 for p in parts)
    for wrong in (0, 1, 3, -2):
        with pytest.raises(Invalid, match="power of two"):
            split(pool(), wrong)
    with pytest.raises(Invalid, match="smaller than a /26 block"):
        split(pool(), 8)


def books(*blocks: Block) -> Books:
    return Books(blocks={ip_network(block.cidr): Kept(block, 1) for block in blocks})


def test_3_6_how_full_pools_and_blocks_are() -> None:
    net, lone = IPv4Network("10.65.0.0/30"), IPv4Network("10.70.0.0/30")
    block = new_block(net, "host-a", NOW)
    for ordinal, handle in ((0, "h"), (1, "g")):
        given = assign_address(block, net[ordinal], Claimant(handle, {"node": "host-a"}))
        assert given is not None
        block = given
    cooling = release(block, [net[1]], NOW, 30)
    assert cooling is not None
    found = books(cooling.block, new_block(lone, "host-b", NOW))
    pools = [Pool(ip_network("10.65.0.0/24"), 30)]
    reserved = [ip_network("10.65.0.0/31"), ip_network("10.65.0.3/32"), ip_network("10.65.0.128/25")]
    assert usage(found, pools, reserved, blocks=True) == [
        Usage("IP Pool", ip_network("10.65.0.0/24"), 256, 2, 129),
        Usage("Block", net, 4, 2, 1),
        Usage("Block", lone, 4, 0, 0),
    ]
    assert usage(found, pools, [])[0].free == 254
    assert [row.grouping for row in usage(found, pools, [])] == ["IP Pool"]
    assert usage(books(settle(cooling.block, NOW + 60, 30)), pools, [])[0].in_use == 1
    assert allocation_of(found, IPv4Address("10.65.0.1")) is None
    held = allocation_of(found, IPv4Address("10.65.0.0"))
    assert held is not None
    assert (held.attribute.handle_id, held.node) == ("h", "host-a")


def test_3_6_borrowed_addresses() -> None:
    net = IPv4Network("10.65.0.0/30")
    block = new_block(net, "host-a", NOW)
    for ordinal, attributes in enumerate(
        (
            {"node": "host-a"},
            {"node": "host-b", "pod": "web", "namespace": "shop"},
            {"node": "host-c", "type": "docker"},
            {},
        )
    ):
        given = assign_address(block, net[ordinal], Claimant(f"h{ordinal}", attributes))
        assert given is not None
        block = given
    assert borrowed(books(block)) == [
        Borrowed(net[1], "host-b", net, "host-a", "pod", "shop/web"),
        Borrowed(net[2], "host-c", net, "host-a", "docker", "h2"),
    ]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15m0s", 900), ("1h30m", 5400), ("500ms", 0.5), ("0", 0), ("0s", 0), (".5s", 0.5), ("1.5h", 5400)]
    + [(text, None) for text in ("", "15", "15 m", "-1s", "m", "1d", "1m x")],
)
def test_3_5_the_grace_of_a_leak_is_a_duration_as_go_writes_it(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == seconds
