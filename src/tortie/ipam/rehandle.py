"""A handle under a new name: for a runtime that asks for an address before it says for which endpoint."""

from __future__ import annotations

from ipaddress import ip_network

import msgspec

from tortie.base.errors import Unavailable
from tortie.ipam.block import same_handle
from tortie.model.codec import from_json, to_json
from tortie.model.ipam import Block, Handle, block_key, handle_key, parse_block
from tortie.store.port import Compare, CompareFailed, Datastore, Drop, Put, Write

RETRIES = 100


def renamed(block: Block, old: str, new: str) -> Block:
    """The block with every address of handle `old` belonging to `new`; the same block when there is none."""
    attributes = tuple(
        msgspec.structs.replace(attribute, handle_id=new)
        if attribute.handle_id and same_handle(attribute.handle_id) == same_handle(old)
        else attribute
        for attribute in block.attributes
    )
    if attributes == block.attributes:
        return block
    return msgspec.structs.replace(block, attributes=attributes, sequence_number=block.sequence_number + 1)


def rename_handle(datastore: Datastore, old: str, new: str) -> bool:
    """All that `old` holds belongs to `new`, in one transaction; False when `old` holds nothing.

    `new` must not be in use yet. Raises Unavailable when others change the same blocks all the time.
    """
    for _ in range(RETRIES):
        kv = datastore.get(handle_key(old))
        if kv is None:
            return False
        handle = from_json(Handle, kv.value, f"handle {old}")
        writes: list[Write] = [Drop(handle_key(old)), Put(handle_key(new), kv.value)]
        compares = [Compare(handle_key(old), kv.revision), Compare(handle_key(new), 0)]
        for cidr in handle.block:
            key = block_key(ip_network(cidr))
            held = datastore.get(key)
            if held is not None:
                writes.append(Put(key, to_json(renamed(parse_block(held.value, key), old, new))))
                compares.append(Compare(key, held.revision))
        try:
            datastore.commit(writes, compares)
        except CompareFailed:
            continue
        return True
    raise Unavailable(f"handle {old}: its blocks were changed by others {RETRIES} times in a row")
