"""What the allocator keeps in the datastore: blocks, affinities and handles read, and the parts of a transaction."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from tortie.ipam.block import Address
from tortie.model.codec import from_json, to_json
from tortie.model.ipam import (
    CONFIG_KEY,
    DEFAULT_CONFIG,
    HANDLES,
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
from tortie.store.port import Compare, CompareFailed, Condition, Datastore, Drop, KeyValue, Put, Write

REMEMBERED = 64
_MARK = re.compile(rb'"deleted"\s*:\s*true')
CONFIRMED = to_json(Affinity(state="confirmed"))


@dataclass(frozen=True, slots=True)
class Change:
    """What one transaction is to write, and what must not have changed since it was read."""

    writes: tuple[Write, ...]
    compares: tuple[Condition, ...]

    def __add__(self, other: Change) -> Change:
        return Change(self.writes + other.writes, self.compares + other.compares)


NOTHING = Change((), ())


class Ledger:
    """The address manager's keys, as one node reads them. What is marked deleted counts as absent."""

    CONFIG = CONFIG_KEY

    def __init__(self, datastore: Datastore, node: str) -> None:
        self._store = datastore
        self._node = node
        self._seen: dict[Network, tuple[Block, int]] = {}
        self._config: tuple[IpamConfig, int] | None = None

    def config(self) -> tuple[IpamConfig, int]:
        kv = self._store.get(CONFIG_KEY)
        found = from_json(IpamConfig, kv.value, f"IPAM configuration {CONFIG_KEY}") if kv else DEFAULT_CONFIG
        self._config = found, kv.revision if kv else 0
        return self._config

    def remembered_config(self) -> tuple[IpamConfig, int]:
        """As this process saw it last: for whoever compares the revision when writing."""
        return self._config or self.config()

    def block(self, cidr: Network) -> tuple[Block | None, int]:
        """As it is now; parsed only when it is not as this process saw it last."""
        key = block_key(cidr)
        kv = self._store.get(key)
        if kv is None:
            return None, 0
        seen = self._seen.get(cidr)
        block = seen[0] if seen is not None and seen[1] == kv.revision else parse_block(kv.value, key)
        self._remember(cidr, block, kv.revision)
        return (None if block.deleted else block), kv.revision

    def listed(self, cidr: Network, listed: Mapping[Network, KeyValue]) -> tuple[Block | None, int]:
        """As `block`, out of a listing."""
        kv = listed.get(cidr)
        return (None, 0) if kv is None else (block_in(kv), kv.revision)

    def remembered(self, cidr: Network) -> tuple[Block, int] | None:
        """As this process saw it last, without reading: for whoever compares the revision when writing."""
        seen = self._seen.get(cidr)
        return None if seen is None or seen[0].deleted else seen

    def learn(self, stale: CompareFailed, *, told_now: bool = True) -> None:
        """Another's write to a block is told with the refusal of ours, and read anew when that was some time ago;
        handles are not remembered; after the refusal of anything else all is forgotten."""
        cidr = block_of_key(stale.key)
        if cidr is not None and not told_now:
            self._seen.pop(cidr, None)
            self.block(cidr)
        elif cidr is not None and stale.now is not None:
            self._remember(cidr, parse_block(stale.now.value, stale.key), stale.now.revision)
        elif not stale.key.startswith(HANDLES):
            self.forget()

    def forget(self) -> None:
        self._seen.clear()
        self._config = None

    def _remember(self, cidr: Network, block: Block, revision: int) -> None:
        if len(self._seen) >= REMEMBERED and cidr not in self._seen:
            self._seen.clear()
        self._seen[cidr] = block, revision

    def write(self, change: Change, cidr: Network | None = None, block: Block | None = None) -> None:
        """In one transaction; `block` is remembered as what `cidr` holds now. Raises CompareFailed."""
        revision = self._store.commit(change.writes, change.compares)
        if cidr is not None and block is not None:
            self._remember(cidr, block, revision)

    def all_blocks(self, version: int) -> dict[Network, KeyValue]:
        """Every block as it is kept, those marked deleted too, all of one and the same moment: a place that this shows
        to be free is compared with the revision that it shows, so a block made since then is never written over."""
        listing = self._store.list(blocks_prefix(version)).items
        return {cidr: kv for kv in listing if (cidr := block_of_key(kv.key))}

    def block_around(self, address: Address) -> Network | None:
        """The existing block that holds the address, whatever became of its pool."""
        for cidr, kv in self.all_blocks(address.version).items():
            if address in cidr and not marked_deleted(kv):
                return cidr
        return None

    def claims(self, version: int) -> dict[Network, tuple[Affinity, int]]:
        """This node's claims with their revisions, those marked deleted too."""
        found = {}
        for kv in self._store.list(affinities_prefix(self._node, version)).items:
            claim = affinity_of_key(kv.key)
            if claim is not None:
                found[claim[1]] = from_json(Affinity, kv.value, f"affinity {kv.key}"), kv.revision
        return found

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
        return counted(handle, cidr, by, self._store.get(handle_key(handle))) if handle else NOTHING

    def revision(self, key: str) -> int:
        kv = self._store.get(key)
        return kv.revision if kv else 0


def counted(handle: str, cidr: Network, by: int | None, kv: KeyValue | None) -> Change:
    """As `Ledger.count`, of a handle as it was read; None: it is not there, as nearly every handle before its first
    address, so that an allocation begins with that."""
    key = handle_key(handle)
    known = from_json(Handle, kv.value, f"handle {handle}") if kv else Handle()
    known = Handle() if known.deleted else known
    count = 0 if by is None else max(known.block.get(str(cidr), 0) + by, 0)
    counts = {name: number for name, number in known.block.items() if name != str(cidr)}
    if count:
        counts[str(cidr)] = count
    compare = Compare(key, kv.revision if kv else 0)
    if not counts:
        return Change((Drop(key),), (compare,))
    changed = msgspec.structs.replace(known, block=dict(sorted(counts.items())))
    return Change((Put(key, to_json(changed)),), (compare,))


def block_in(kv: KeyValue) -> Block | None:
    """None for one that is marked deleted. Raises Invalid."""
    block = parse_block(kv.value, kv.key)
    return None if block.deleted else block


def marked_deleted(kv: KeyValue) -> bool:
    """Nearly no block is, and reading one as a whole takes long."""
    return _MARK.search(kv.value) is not None and block_in(kv) is None


def put(key: str, block: Block, at: int) -> Change:
    return Change((Put(key, to_json(block)),), (Compare(key, at),))
