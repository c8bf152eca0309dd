"""Everything that the address manager has written down, as one value; and the same after a transaction. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import Generic, TypeVar

from tortie.base.errors import Invalid
from tortie.ipam.block import Address
from tortie.ipam.ledger import Change
from tortie.model.codec import from_json
from tortie.model.ipam import (
    BLOCKS,
    HANDLES,
    HOSTS,
    Affinity,
    Attribute,
    Block,
    Handle,
    Network,
    affinity_key,
    affinity_of_key,
    block_key,
    block_of_key,
    parse_block,
)
from tortie.store.port import KeyValue, Put

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    value: T
    revision: int


@dataclass(frozen=True, slots=True)
class Allocation:
    """One address that somebody has; a cooling one is nobody's."""

    address: Address
    cidr: Network
    attribute: Attribute

    @property
    def node(self) -> str:
        return self.attribute.secondary.get("node", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Blocks by CIDR, handles by name, claims by (node, CIDR); `unreadable`: key -> why it makes no sense."""

    blocks: Mapping[Network, Kept[Block]] = field(default_factory=dict)
    handles: Mapping[str, Kept[Handle]] = field(default_factory=dict)
    claims: Mapping[tuple[str, Network], Kept[Affinity]] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def allocations(self) -> Iterator[Allocation]:
        for cidr, kept in self.blocks.items():
            yield from allocations(cidr, kept.value)


def allocations(cidr: Network, block: Block) -> Iterator[Allocation]:
    for ordinal, index in enumerate(block.allocations):
        if index is not None and block.attributes[index].released_at is None:
            yield Allocation(cidr[ordinal], cidr, block.attributes[index])


@dataclass(frozen=True, slots=True)
class Held:
    """`handles` have addresses of one node only; `single`: (address, its handle if any), for each one apart."""

    handles: tuple[str, ...]
    single: tuple[tuple[Address, str | None], ...]


def held_by(books: Books, node: str, used: Collection[Address] = ()) -> Held:
    """What a node holds: the addresses that were given to it, and of those that do not say to whom, those `used`."""
    own: dict[str | None, list[Allocation]] = {}
    shared: set[str | None] = {None}
    for allocation in books.allocations():
        handle = allocation.attribute.handle_id or None
        if allocation.node == node or (not allocation.node and allocation.address in used):
            own.setdefault(handle, []).append(allocation)
        else:
            shared.add(handle)
    return Held(
        tuple(sorted(handle for handle in own if handle is not None and handle not in shared)),
        tuple((a.address, handle) for handle, held in own.items() if handle in shared for a in held),
    )


def read_books(items: Iterable[KeyValue]) -> Books:
    """From every key under `/calico/ipam/v2/`; what is marked deleted is not there, other keys are passed over."""
    blocks: dict[Network, Kept[Block]] = {}
    handles: dict[str, Kept[Handle]] = {}
    claims: dict[tuple[str, Network], Kept[Affinity]] = {}
    unreadable: dict[str, str] = {}
    for kv in items:
        try:
            if cidr := block_of_key(kv.key):
                block = parse_block(kv.value, kv.key)
                if ip_network(block.cidr) != cidr:
                    raise Invalid(f"block {kv.key}: says that it is {block.cidr}")
                if not block.deleted:
                    blocks[cidr] = Kept(block, kv.revision)
            elif claim := affinity_of_key(kv.key):
                affinity = from_json(Affinity, kv.value, f"affinity {kv.key}")
                if not affinity.deleted:
                    claims[claim] = Kept(affinity, kv.revision)
            elif kv.key.startswith(HANDLES):
                handle = from_json(Handle, kv.value, f"handle {kv.key}")
                if not handle.deleted:
                    handles[kv.key.removeprefix(HANDLES)] = Kept(handle, kv.revision)
            elif kv.key.startswith((BLOCKS, HOSTS)):
                raise Invalid(f"{kv.key}: is no key of a block or an affinity")
        except Invalid as error:
            unreadable[kv.key] = str(error)
    return Books(blocks=blocks, handles=handles, claims=claims, unreadable=unreadable)


def after(books: Books, change: Change, revision: int) -> Books:
    """The books once the change is written under this revision."""
    puts = [KeyValue(w.key, w.value, revision, 0) for w in change.writes if isinstance(w, Put)]
    gone = {write.key for write in change.writes}
    new = read_books(puts)
    return replace(
        books,
        blocks={c: k for c, k in books.blocks.items() if block_key(c) not in gone} | dict(new.blocks),
        handles={h: k for h, k in books.handles.items() if HANDLES + h not in gone} | dict(new.handles),
        claims={c: k for c, k in books.claims.items() if affinity_key(*c) not in gone} | dict(new.claims),
    )
