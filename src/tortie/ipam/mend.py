"""The writes that mend one finding, decided on the books as they were read. Pure."""

from __future__ import annotations

from ipaddress import ip_network

import msgspec

from tortie.ipam import block as blocks
from tortie.ipam.books import Books, allocations
from tortie.ipam.check import Claim, CountHandle, FreeHandle, Mend, Unclaim, counts
from tortie.ipam.ledger import CONFIRMED, NOTHING, Change, put
from tortie.model.codec import to_json
from tortie.model.ipam import Block, Handle, Network, affinity_key, block_key, handle_key
from tortie.store.port import Compare, Drop, Put


def writes_of(books: Books, mend: Mend, *, now: float, cooldown: float) -> Change:
    """One transaction, with the compares of everything it was decided on; nothing when there is nothing left to do."""
    match mend:
        case FreeHandle(handle):
            return _free(books, handle, now, cooldown)
        case CountHandle(handle):
            return _count(books, handle)
        case Claim(node, cidr):
            change = Change((Put(affinity_key(node, cidr), CONFIRMED),), (_claim_as_read(books, node, cidr),))
            return change + _block_as_read(books, cidr)
        case Unclaim(node, cidr):
            return _unclaim(books, node, cidr, now, cooldown)


def _free(books: Books, handle: str, now: float, cooldown: float) -> Change:
    """Every address of the handle in every block, and the handle, at once."""
    change, wanted = NOTHING, blocks.same_handle(handle)
    for cidr, kept in books.blocks.items():
        held = [
            a.address
            for a in allocations(cidr, kept.value)
            if a.attribute.handle_id and blocks.same_handle(a.attribute.handle_id) == wanted
        ]
        released = blocks.release(kept.value, held, now, cooldown, handle) if held else None
        if released is not None:
            change += _rest_of(cidr, released.block, kept.revision)
    known = books.handles.get(handle)
    return change + (NOTHING if known is None else _drop(handle_key(handle), known.revision))


def _rest_of(cidr: Network, block: Block, at: int) -> Change:
    """An empty block stays its owner's; one that nobody has goes."""
    gone = blocks.empty(block) and not block.affinity
    return _drop(block_key(cidr), at) if gone else put(block_key(cidr), block, at)


def _count(books: Books, handle: str) -> Change:
    """The handle as the blocks have it; every block that it names or is in must be as it was read."""
    known, key = books.handles.get(handle), handle_key(handle)
    at = known.revision if known else 0
    really = counts(books).get(blocks.same_handle(handle) or handle, {})
    named = {*really, *(known.value.block if known else ())}
    change = NOTHING
    for cidr in sorted(named):
        change += _block_as_read(books, ip_network(cidr))
    if not really:
        return change + _drop(key, at) if known else NOTHING
    value = msgspec.structs.replace(known.value if known else Handle(), block=dict(sorted(really.items())))
    return change + Change((Put(key, to_json(value)),), (Compare(key, at),))


def _unclaim(books: Books, node: str, cidr: Network, now: float, cooldown: float) -> Change:
    kept = books.blocks.get(cidr)
    key = affinity_key(node, cidr)
    change = Change((Drop(key),), (_claim_as_read(books, node, cidr),))
    if kept is None or kept.value.node != node:
        return change + _block_as_read(books, cidr)
    settled = blocks.settle(kept.value, now, cooldown)
    if blocks.empty(settled):
        return change + _drop(block_key(cidr), kept.revision)
    return change + put(block_key(cidr), blocks.unclaimed(settled), kept.revision)


def _drop(key: str, at: int) -> Change:
    return Change((Drop(key),), (Compare(key, at),))


def _block_as_read(books: Books, cidr: Network) -> Change:
    kept = books.blocks.get(cidr)
    return Change((), (Compare(block_key(cidr), kept.revision if kept else 0),))


def _claim_as_read(books: Books, node: str, cidr: Network) -> Compare:
    kept = books.claims.get((node, cidr))
    return Compare(affinity_key(node, cidr), kept.revision if kept else 0)
