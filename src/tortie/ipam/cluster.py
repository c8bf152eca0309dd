"""Who has which addresses of the cluster, read from the address manager's keys: what routes are made of. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network

from tortie.base.errors import Invalid
from tortie.ipam.block import Address
from tortie.model.codec import from_json
from tortie.model.ipam import Affinity, Block, Network, affinity_of_key, block_of_key, parse_block


@dataclass(frozen=True, slots=True)
class Ownership:
    """`owners`: block -> its node. `borrowed`: address -> the node that uses it without having its block.

    `unreadable` names the keys whose value makes no sense; they own nothing.
    """

    owners: Mapping[Network, str]
    borrowed: Mapping[Address, str]
    unreadable: tuple[str, ...] = ()


def ownership(entries: Mapping[str, bytes]) -> Ownership:
    """From every key under `/calico/ipam/v2/`; other keys are passed over.

    A block belongs to the node that it names once that node's affinity is confirmed: a pending claim owns nothing.
    """
    confirmed: set[tuple[str, Network]] = set()
    blocks: dict[Network, Block] = {}
    unreadable = []
    for key, value in entries.items():
        try:
            if claim := affinity_of_key(key):
                if from_json(Affinity, value, f"affinity {key}").confirmed:
                    confirmed.add(claim)
            elif cidr := block_of_key(key):
                blocks[cidr] = parse_block(value, key)
        except Invalid:
            unreadable.append(key)
    owners, borrowed = {}, {}
    for cidr, block in blocks.items():
        if block.deleted:
            continue
        owner = block.node if block.node is not None and (block.node, cidr) in confirmed else None
        if owner is not None:
            owners[cidr] = owner
        borrowed.update(_borrowed(block, owner))
    return Ownership(owners, borrowed, tuple(unreadable))


def _borrowed(block: Block, owner: str | None) -> dict[Address, str]:
    base = ip_network(block.cidr)
    found: dict[Address, str] = {}
    for ordinal, index in enumerate(block.allocations):
        node = block.attributes[index].secondary.get("node") if index is not None else None
        if node and node != owner:
            found[base[ordinal]] = node
    return found
