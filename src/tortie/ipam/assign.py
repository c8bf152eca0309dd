"""Which pool and which block an address comes from. Pure: the allocator reads, asks here, writes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Literal

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Invalid
from tortie.ipam.block import empty, settle
from tortie.ipam.errors import NoPool, OutsidePools, PoolGone, UnknownSubnet
from tortie.model.codec import UNREADABLE
from tortie.model.ipam import Block, IpamConfig, Network
from tortie.model.kinds.ip_pool import IPPoolSpec
from tortie.model.resource import Resource
from tortie.model.selector import parse

Use = Literal["Workload", "Tunnel", "LoadBalancer"]
BLOCKS_PER_HOST = 20
RECLAIM_AFTER = 60.0


@dataclass(frozen=True, slots=True)
class Pool:
    """An enabled pool, as far as addresses are concerned. `key`, `revision`: of its resource as it was read."""

    cidr: Network
    block_size: int
    key: str = ""
    revision: int = 0

    def block_of(self, address: IPv4Address | IPv6Address) -> Network:
        return ip_network((address, self.block_size), strict=False)

    def blocks(self, first: int) -> Iterator[Network]:
        """Every block of the pool once, beginning with number `first`."""
        count = 1 << (self.block_size - self.cidr.prefixlen)
        size = 1 << (self.cidr.max_prefixlen - self.block_size)
        base = int(self.cidr.network_address)
        make = type(self.cidr.network_address)
        for step in range(count):
            yield ip_network((make(base + (first + step) % count * size), self.block_size))

    def start(self, node: str) -> int:
        """Where the node's search begins: the same for one node, spread over many."""
        return fnv1(node) % (1 << (self.block_size - self.cidr.prefixlen))


def pool_of(resource: Resource[IPPoolSpec]) -> Pool | None:
    """None for one that gives no addresses: disabled, being deleted, not allocatable, or its CIDR does not parse."""
    if resource.spec.disabled or _being_deleted(resource) or not _allocatable(resource):
        return None
    return _range_of(resource)


def _range_of(resource: Resource[IPPoolSpec]) -> Pool | None:
    try:
        cidr = ip_network(resource.spec.cidr)
    except ValueError:
        return None
    if not cidr.prefixlen <= resource.spec.block_size <= cidr.max_prefixlen:
        return None
    return Pool(cidr, resource.spec.block_size, resource.key, resource.revision)


def _being_deleted(resource: Resource[IPPoolSpec]) -> bool:
    return any(name == "deletionTimestamp" for name, _ in resource.metadata.unknown)


class _Condition(msgspec.Struct):
    type: str = ""
    status: str = ""


class _Status(msgspec.Struct):
    conditions: list[_Condition] = []


def _allocatable(resource: Resource[IPPoolSpec]) -> bool:
    """False when whoever keeps the pools' status says so; a status that makes no sense says nothing."""
    text = dict(resource.unknown).get("status")
    try:
        status = msgspec.json.decode(text, type=ready(_Status)) if text else _Status()
    except UNREADABLE:
        return True
    return not any(c.type == "Allocatable" and c.status == "False" for c in status.conditions)


def pools_for(
    resources: Iterable[Resource[IPPoolSpec]],
    node: str,
    labels: Mapping[str, str],
    version: int,
    use: Use = "Workload",
    namespace: Mapping[str, str] | None = None,
) -> list[Pool]:
    """The pools that may serve this node automatically. Raises NoPool.

    `namespace`: the labels of the workload's namespace. Without one, a namespaceSelector selects by no labels.
    """
    pools, notes = [], []
    for resource in resources:
        pool, spec = pool_of(resource), resource.spec
        if pool is None or pool.cidr.version != version:
            continue
        if spec.assignment_mode != "Automatic" or use not in spec.allowed_uses:
            continue
        try:
            if _selects(resource, labels, namespace or {}):
                pools.append(pool)
        except Invalid as error:
            notes.append(f"IPPool {resource.name}: {error}")
    if not pools:
        raise NoPool(node, notes)
    return pools


def _selects(resource: Resource[IPPoolSpec], labels: Mapping[str, str], namespace: Mapping[str, str]) -> bool:
    """Raises Invalid, with the field's name, for a selector that does not parse."""
    spec = resource.spec
    for field, selector, subject in (
        ("nodeSelector", spec.node_selector, labels),
        ("namespaceSelector", spec.namespace_selector or "", namespace),
    ):
        try:
            if not parse(selector).matches(subject):
                return False
        except Invalid as error:
            raise Invalid(f"{field}: {error}") from error
    return True


def selecting(resources: Iterable[Resource[IPPoolSpec]], labels: Mapping[str, str] | None) -> list[Pool]:
    """The pools, disabled ones too, in which a node with these labels may keep its blocks; all of them for None.

    One whose selector does not parse counts as selecting: nothing is taken away by a typing error.
    """
    found = []
    for resource in resources:
        pool = _range_of(resource)
        try:
            selects = labels is None or parse(resource.spec.node_selector).matches(labels)
        except Invalid:
            selects = True
        if pool is not None and selects:
            found.append(pool)
    return found


def pools_named(
    resources: Collection[Resource[IPPoolSpec]], cidrs: Iterable[str], node: str, version: int, use: Use
) -> list[Pool]:
    """The enabled pools with exactly these CIDRs; their selectors and mode do not count, their uses do.

    Raises PoolGone for one that is not there or not enabled, NoPool when none may be used so.
    """
    found = []
    for cidr in cidrs:
        wanted = _network(cidr)
        named = [(pool, r.spec) for r in resources if (pool := pool_of(r)) is not None and pool.cidr == wanted]
        if not named:
            raise PoolGone
        found += [pool for pool, spec in named if use in spec.allowed_uses and pool.cidr.version == version]
    if not found:
        raise NoPool(node, [f"none of the pools named is an IPv{version} pool for the use {use}"])
    return found


def pool_for_subnet(resources: Iterable[Resource[IPPoolSpec]], subnet: str) -> Resource[IPPoolSpec]:
    """The pool that `--subnet` names: it must equal the pool's CIDR. Raises UnknownSubnet, Invalid for no CIDR."""
    wanted = _network(subnet)
    for resource in resources:
        pool = pool_of(resource)
        if pool is not None and pool.cidr == wanted:
            return resource
    raise UnknownSubnet


def pool_around(
    resources: Iterable[Resource[IPPoolSpec]], address: IPv4Address | IPv6Address, use: Use | None = None
) -> Pool:
    """The enabled pool that holds the address. Raises OutsidePools; Invalid when it is not for the `use` given."""
    for resource in resources:
        pool = pool_of(resource)
        if pool is not None and address in pool.cidr:
            if use is not None and use not in resource.spec.allowed_uses:
                raise Invalid(f"IPPool {resource.name} is not for the use {use}, wanted for address {address}")
            return pool
    raise OutsidePools(str(address))


def inside(pools: Collection[Pool], cidr: Network) -> bool:
    return any(within(cidr, pool.cidr) for pool in pools)


def within(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def next_block(
    pools: Collection[Pool], node: str, taken: Collection[Network], reserved: Collection[Network]
) -> Network | None:
    """The next CIDR that overlaps no block, in the order of this node's search; wholly reserved ones passed over.

    Blocks of another size than the pool's are there when a pool was made anew with another block size.
    """
    existing = frozenset(taken)
    odd = [cidr for cidr in existing if not any(within(cidr, p.cidr) and cidr.prefixlen == p.block_size for p in pools)]
    for pool in pools:
        for cidr in pool.blocks(pool.start(node)):
            if cidr not in existing and not overlapping(cidr, odd) and not any(within(cidr, r) for r in reserved):
                return cidr
    return None


def overlapping(cidr: Network, blocks: Iterable[Network]) -> Network | None:
    """The first of these blocks that has addresses of `cidr`."""
    return next((block for block in blocks if within(block, cidr) or within(cidr, block)), None)


def block_limit(config: IpamConfig, own: int = 0) -> int:
    """How many blocks a host may have: the smaller of the cluster's and the caller's limit, else 20."""
    return min((limit for limit in (config.max_blocks_per_host, own) if limit > 0), default=BLOCKS_PER_HOST)


def reclaimable(blocks: Mapping[Network, Block], pools: Collection[Pool], now: float, cooldown: float) -> list[Network]:
    """Blocks in the pools that nobody uses: without an owner, or claimed a minute ago or longer and still empty.

    Those of a virtual owner (a load balancer) are never taken.
    """
    return [
        cidr
        for cidr, block in blocks.items()
        if inside(pools, cidr)
        and empty(settle(block, now, cooldown))
        and (not block.affinity or (block.node is not None and now - claimed_at(block) >= RECLAIM_AFTER))
    ]


def borrow_order(blocks: Collection[Network], pools: Collection[Pool], node: str) -> list[Network]:
    """The existing blocks in which to borrow, in the order of this node's search."""

    def place(pool: Pool, cidr: Network) -> int:
        size = 1 << (cidr.max_prefixlen - pool.block_size)
        count = 1 << (pool.block_size - pool.cidr.prefixlen)
        index = (int(cidr.network_address) - int(pool.cidr.network_address)) // size
        return (index - pool.start(node)) % count

    ordered: list[Network] = []
    for pool in pools:
        ordered += sorted((c for c in blocks if within(c, pool.cidr)), key=lambda c, p=pool: place(p, c))  # type: ignore[misc]
    return ordered


def networks(cidrs: Iterable[str]) -> list[Network]:
    """The CIDRs that parse; a reservation with a fault must not stop every allocation."""
    found = []
    for cidr in cidrs:
        try:
            found.append(ip_network(cidr, strict=False))
        except ValueError:
            continue
    return found


def fnv1(text: str) -> int:
    value = 0x811C9DC5
    for byte in text.encode():
        value = (value * 0x01000193 & 0xFFFFFFFF) ^ byte
    return value


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise Invalid("Invalid CIDR") from error


def claimed_at(block: Block) -> float:
    """When the block was claimed; 0 for one that does not say."""
    text = block.affinity_claim_time
    if not isinstance(text, str):
        return 0.0
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0
