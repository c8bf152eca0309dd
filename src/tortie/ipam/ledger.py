"""What the allocator keeps in the datastore: blocks, affinities and handles read, and the parts of a transaction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from tortie.ipam.block import Address
from tortie.model.codec import from_json, to_json
from tortie.model.ipam import (
    CONFIG_KEY,
    DEFAULT_CONFIG,
    Affinity,
    Block,
    Handle,
    IpamConfig,
    Network,
    affinities_prefix,
    affinity_key,
    affinity_of_key,
    block_key,
    block_of_key,
    blocks_prefix,
    handle_key,
    parse_block,
)
from tortie.store.port import Compare, Datastore, Drop, Put, Write

CONFIRMED = to_json(Affinity(state="confirmed"))


@dataclass(frozen=True, slots=True)
class Change:
    """What one transaction is to write, and what must not have changed since it was read."""

    writes: tuple[Write, ...]
    compares: tuple[Compare, ...]

    def __add__(self, other: Change) -> Change:
        return Change(self.writes + other.writes, self.compares + other.compares)


class Ledger:
    """The address manager's keys, as one node reads them."""

    def __init__(self, datastore: Datastore, node: str) -> None:
        self._store = datastore
        self._node = node

    def config(self) -> IpamConfig:
        kv = self._store.get(CONFIG_KEY)
        return from_json(IpamConfig, kv.value, f"IPAM configuration {CONFIG_KEY}") if kv else DEFAULT_CONFIG

    def block(self, cidr: Network) -> tuple[Block | None, int]:
        key = block_key(cidr)
        kv = self._store.get(key)
        return (parse_block(kv.value, key), kv.revision) if kv else (None, 0)

    def existing(self, version: int) -> dict[Network, tuple[Block, int]]:
        listing = self._store.list(blocks_prefix(version)).items
        return {cidr: (parse_block(kv.value, kv.key), kv.revision) for kv in listing if (cidr := block_of_key(kv.key))}

    def block_around(self, address: Address) -> Network | None:
        """The existing block that holds the address, whatever became of its pool."""
        for kv in self._store.list(blocks_prefix(address.version)).items:
            cidr = block_of_key(kv.key)
            if cidr is not None and address in cidr:
                return cidr
        return None

    def own_affinities(self, version: int) -> Iterator[tuple[Network, int, bool]]:
        for kv in self._store.list(affinities_prefix(self._node, version)).items:
            claim = affinity_of_key(kv.key)
            if claim is not None:
                yield claim[1], kv.revision, from_json(Affinity, kv.value, f"affinity {kv.key}").confirmed

    def confirm(self, cidr: Network, revision: int) -> Change:
        key = affinity_key(self._node, cidr)
        return Change((Put(key, CONFIRMED),), (Compare(key, revision),))

    def take_over(self, cidr: Network, block: Block) -> Change:
        change = self.confirm(cidr, self.revision(affinity_key(self._node, cidr)))
        if block.node is None or block.node == self._node:
            return change
        theirs = affinity_key(block.node, cidr)
        return change + Change((Drop(theirs),), (Compare(theirs, self.revision(theirs)),))

    def count(self, handle: str | None, cidr: Network, by: int | None) -> Change:
        """The handle with its number of addresses in this block changed; `by` None: it has none there."""
        if not handle:
            return Change((), ())
        key = handle_key(handle)
        kv = self._store.get(key)
        known = from_json(Handle, kv.value, f"handle {handle}") if kv else Handle()
        count = 0 if by is None else max(known.block.get(str(cidr), 0) + by, 0)
        counts = {name: number for name, number in known.block.items() if name != str(cidr)}
        if count:
            counts[str(cidr)] = count
        compare = Compare(key, kv.revision if kv else 0)
        if not counts:
            return Change((Drop(key),), (compare,))
        changed = msgspec.structs.replace(known, block=dict(sorted(counts.items())))
        return Change((Put(key, to_json(changed)),), (compare,))

    def revision(self, key: str) -> int:
        kv = self._store.get(key)
        return kv.revision if kv else 0


def put(key: str, block: Block, at: int) -> Change:
    return Change((Put(key, to_json(block)),), (Compare(key, at),))
