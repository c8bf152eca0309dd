"""How full the pools are, who borrows, who has an address: what `ipam show` prints, as values. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import collapse_addresses
from typing import Literal

from tortie.ipam.assign import Pool, within
from tortie.ipam.block import Address
from tortie.ipam.books import Allocation, Books
from tortie.model.ipam import Block, Network


@dataclass(frozen=True, slots=True)
class Usage:
    """Addresses of a pool or a block. `in_use` has those that cool down; `reserved` those that nobody has either."""

    grouping: Literal["IP Pool", "Block"]
    cidr: Network
    total: int
    in_use: int
    reserved: int

    @property
    def free(self) -> int:
        return self.total - self.in_use - self.reserved


@dataclass(frozen=True, slots=True)
class Borrowed:
    """An address that a node uses out of another's block. `owner` is empty for a block that nobody has."""

    address: Address
    borrower: str
    block: Network
    owner: str
    type: str
    allocated_to: str


def usage(books: Books, pools: Collection[Pool], reserved: Collection[Network], *, blocks: bool = False) -> list[Usage]:
    """One row for each pool, with `blocks` followed by one for each of its blocks; blocks of no pool come last."""
    rows: list[Usage] = []
    rest = dict(books.blocks)
    for pool in sorted(pools, key=lambda p: (p.cidr.version, int(p.cidr.network_address), p.cidr.prefixlen)):
        inside = {cidr: rest.pop(cidr) for cidr in sorted(rest, key=_order) if within(cidr, pool.cidr)}
        parts = [_block_usage(cidr, kept.value, reserved) for cidr, kept in inside.items()]
        in_use = sum(part.in_use for part in parts)
        spared = _size(pool.cidr, reserved) - sum(_in_use_of(c, k.value, reserved) for c, k in inside.items())
        rows.append(Usage("IP Pool", pool.cidr, pool.cidr.num_addresses, in_use, spared))
        rows += parts if blocks else []
    if blocks:
        rows += [_block_usage(cidr, rest[cidr].value, reserved) for cidr in sorted(rest, key=_order)]
    return rows


def borrowed(books: Books) -> list[Borrowed]:
    """In the order of the addresses."""
    found = []
    for allocation in books.allocations():
        block = books.blocks[allocation.cidr].value
        if allocation.node and allocation.node != block.node:
            owner = block.node or ""
            found.append(
                Borrowed(
                    allocation.address,
                    allocation.node,
                    allocation.cidr,
                    owner,
                    _type(allocation),
                    _allocated_to(allocation),
                )
            )
    return sorted(found, key=lambda row: (row.address.version, int(row.address)))


def allocation_of(books: Books, address: Address) -> Allocation | None:
    """Who has the address; None when nobody has, or it cools down."""
    return next((a for a in books.allocations() if a.address == address), None)


def _block_usage(cidr: Network, block: Block, reserved: Collection[Network]) -> Usage:
    in_use = len(block.allocations) - len(block.unallocated)
    spared = _size(cidr, reserved) - _in_use_of(cidr, block, reserved)
    return Usage("Block", cidr, cidr.num_addresses, in_use, spared)


def _in_use_of(cidr: Network, block: Block, reserved: Collection[Network]) -> int:
    """How many of the reserved addresses somebody has all the same: they were asked for by name."""
    ordinals = [ordinal for ordinal, index in enumerate(block.allocations) if index is not None]
    near = _common(cidr, reserved)
    return sum(1 for ordinal in ordinals if any(cidr[ordinal] in network for network in near))


def _size(cidr: Network, reserved: Collection[Network]) -> int:
    return sum(network.num_addresses for network in _common(cidr, reserved))


def _common(cidr: Network, others: Collection[Network]) -> Sequence[Network]:
    """What the others have in common with `cidr`, without overlaps."""

    def parts() -> Iterator[Network]:
        for other in others:
            if within(other, cidr):
                yield other
            elif within(cidr, other):
                yield cidr

    return list(collapse_addresses(parts()))  # type: ignore[type-var]


def _type(allocation: Allocation) -> str:
    known = allocation.attribute.secondary
    return "pod" if "pod" in known else known.get("type", "")


def _allocated_to(allocation: Allocation) -> str:
    known = allocation.attribute.secondary
    if "pod" in known:
        return f"{known.get('namespace', '')}/{known['pod']}"
    return allocation.attribute.handle_id or ""


def _order(cidr: Network) -> tuple[int, int, int]:
    return cidr.version, int(cidr.network_address), cidr.prefixlen
