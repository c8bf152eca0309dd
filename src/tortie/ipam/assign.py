"""Which pool and which block an address comes from. Pure: the allocator reads, asks here, writes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_network

from tortie.base.errors import Invalid
from tortie.ipam.block import empty, settle
from tortie.ipam.errors import NoPool, OutsidePools, PoolGone, UnknownSubnet
from tortie.model.ipam import Block, Network
from tortie.model.kinds.ip_pool import IPPoolSpec
from tortie.model.resource import Resource
from tortie.model.selector import parse

BLOCKS_PER_HOST = 20
RECLAIM_AFTER = 60.0


@dataclass(frozen=True, slots=True)
class Pool:
    """An enabled pool, as far as addresses are concerned."""

    cidr: Network
    block_size: int

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
    """None for one that gives no addresses: disabled, or its CIDR does not parse."""
    if resource.spec.disabled:
        return None
    try:
        cidr = ip_network(resource.spec.cidr)
    except ValueError:
        return None
    if not cidr.prefixlen <= resource.spec.block_size <= cidr.max_prefixlen:
        return None
    return Pool(cidr, resource.spec.block_size)


def pools_for(
    resources: Iterable[Resource[IPPoolSpec]], node: str, labels: Mapping[str, str], version: int
) -> list[Pool]:
    """The pools that may serve a workload of this node automatically. Raises NoPool."""
    pools, notes = [], []
    for resource in resources:
        pool, spec = pool_of(resource), resource.spec
        if pool is None or pool.cidr.version != version:
            continue
        if spec.assignment_mode != "Automatic" or "Workload" not in spec.allowed_uses:
            continue
        try:
            if parse(spec.node_selector).matches(labels):
                pools.append(pool)
        except Invalid as error:
            notes.append(f"IPPool {resource.name}: nodeSelector: {error}")
    if not pools:
        raise NoPool(node, notes)
    return pools


def pool_named(resources: Iterable[Resource[IPPoolSpec]], cidr: str) -> Pool:
    """The enabled pool with exactly this CIDR; its selectors do not count. Raises PoolGone."""
    wanted = _network(cidr)
    for resource in resources:
        pool = pool_of(resource)
        if pool is not None and pool.cidr == wanted:
            return pool
    raise PoolGone


def pool_for_subnet(resources: Iterable[Resource[IPPoolSpec]], subnet: str) -> Resource[IPPoolSpec]:
    """The pool that `--subnet` names: it must equal the pool's CIDR. Raises UnknownSubnet, Invalid for no CIDR."""
    wanted = _network(subnet)
    for resource in resources:
        pool = pool_of(resource)
        if pool is not None and pool.cidr == wanted:
            return resource
    raise UnknownSubnet


def pool_around(resources: Iterable[Resource[IPPoolSpec]], address: IPv4Address | IPv6Address) -> Pool:
    """The enabled pool that holds the address. Raises OutsidePools."""
    for resource in resources:
        pool = pool_of(resource)
        if pool is not None and address in pool.cidr:
            return pool
    raise OutsidePools(str(address))


def inside(pools: Collection[Pool], cidr: Network) -> bool:
    return any(within(cidr, pool.cidr) for pool in pools)


def within(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def next_block(
    pools: Collection[Pool], node: str, taken: Collection[Network], reserved: Collection[Network]
) -> Network | None:
    """The next CIDR that nobody has, in the order of this node's search; wholly reserved ones passed over."""
    for pool in pools:
        for cidr in pool.blocks(pool.start(node)):
            if cidr not in taken and not any(within(cidr, network) for network in reserved):
                return cidr
    return None


def reclaimable(blocks: Mapping[Network, Block], pools: Collection[Pool], now: float, cooldown: float) -> list[Network]:
    """Blocks in the pools that nobody uses: without an owner, or claimed a minute ago or longer and still empty."""
    return [
        cidr
        for cidr, block in blocks.items()
        if inside(pools, cidr)
        and empty(settle(block, now, cooldown))
        and (block.node is None or now - _claimed_at(block) >= RECLAIM_AFTER)
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


def _claimed_at(block: Block) -> float:
    """When the block was claimed; 0 for one that does not say."""
    text = block.affinity_claim_time
    if not isinstance(text, str):
        return 0.0
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0
