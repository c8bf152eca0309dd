"""One block's arithmetic: give an address, take it back, let it cool down. Values in, values out.

Free addresses are taken from the front of the list and come back at its end, so that an address rests as long as
possible. The sequence number grows with every change; each allocation remembers the number it was made under.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import TypeAlias

import msgspec

from tortie.ipam.errors import HandleMismatch, StaleRelease
from tortie.model.ipam import Attribute, Block, Network

Address: TypeAlias = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who gets an address."""

    handle: str | None
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Assigned:
    """The block with the addresses given, each to the claimant in the same place; the rest of them got none."""

    addresses: tuple[Address, ...]
    block: Block


@dataclass(frozen=True, slots=True)
class Released:
    """The block without the addresses, and which handle had how many of them."""

    block: Block
    addresses: tuple[Address, ...]
    handles: Mapping[str, int]


def new_block(cidr: Network, node: str, now: float) -> Block:
    size = cidr.num_addresses
    return Block(
        cidr=str(cidr),
        affinity=f"host:{node}",
        affinity_claim_time=rfc3339(now),
        allocations=(None,) * size,
        unallocated=tuple(range(size)),
        sequence_number=int(now * 1e9),
    )


def claimed(block: Block, node: str, now: float) -> Block:
    """The block affine to `node`."""
    return _changed(block, affinity=f"host:{node}", affinity_claim_time=rfc3339(now))


def unclaimed(block: Block) -> Block:
    """The block without an owner."""
    return _changed(block, affinity=None, affinity_claim_time=msgspec.UNSET)


def assign_next(block: Block, claimants: Sequence[Claimant], reserved: Collection[Network] = ()) -> Assigned | None:
    """The free addresses that have rested longest, reserved ones passed over; None when there is none."""
    base = _network(block.cidr)
    free = (o for o in block.unallocated if not any(base[o] in network for network in reserved))
    addresses: list[Address] = []
    for ordinal, claimant in zip(free, claimants, strict=False):
        block = _give(block, ordinal, claimant)
        addresses.append(base[ordinal])
    return Assigned(tuple(addresses), block) if addresses else None


def assign_address(block: Block, address: Address, claimant: Claimant) -> Block | None:
    """The block with this address given away; None when somebody has it. A cooling address is free."""
    ordinal = _ordinal(block, address)
    if ordinal not in block.unallocated and not _cooling(block, ordinal):
        return None
    return _give(block, ordinal, claimant)


def holder(block: Block, address: Address) -> Attribute | None:
    """Who has the address now; None when it is free or cools down."""
    ordinal = _ordinal(block, address)
    index = block.allocations[ordinal]
    return None if index is None or _cooling(block, ordinal) else block.attributes[index]


def addresses_of(block: Block, handle: str) -> tuple[Address, ...]:
    """The addresses that the handle has here."""
    base = _network(block.cidr)
    wanted = same_handle(handle)
    return tuple(
        base[ordinal]
        for ordinal, index in enumerate(block.allocations)
        if index is not None and same_handle(block.attributes[index].handle_id) == wanted
    )


def release(
    block: Block,
    addresses: Collection[Address],
    now: float,
    cooldown: float,
    handle: str | None = None,
    sequence: int | None = None,
) -> Released | None:
    """The block without these addresses; None when nobody had any of them.

    With `handle`, HandleMismatch when one of them belongs to another; with `sequence`, StaleRelease when one of them
    was given under another number.
    """
    taken = [(address, who) for address in addresses if (who := holder(block, address)) is not None]
    for address, who in taken:
        if handle is not None and same_handle(who.handle_id) != same_handle(handle):
            raise HandleMismatch(str(address), handle, who.handle_id)
        given = block.sequence_number_for_allocation.get(str(_ordinal(block, address)), 0)
        if sequence is not None and sequence != given:
            raise StaleRelease(str(address), sequence, given)
    if not taken:
        return None
    handles: dict[str, int] = {}
    for _, who in taken:
        if who.handle_id:
            handles[who.handle_id] = handles.get(who.handle_id, 0) + 1
    ordinals = [_ordinal(block, address) for address, _ in taken]
    resting = _rest(block, ordinals, Attribute(released_at=rfc3339(math.ceil(now))))
    return Released(settle(resting, now, cooldown), tuple(address for address, _ in taken), handles)


def settle(block: Block, now: float, cooldown: float) -> Block:
    """The block with every address free again whose time of rest is over. Writes nothing else."""
    over = {
        index
        for index, attribute in enumerate(block.attributes)
        if attribute.released_at is not None and (cooldown <= 0 or now - _seconds(attribute.released_at) >= cooldown)
    }
    done = [ordinal for ordinal, index in enumerate(block.allocations) if index in over]
    if not done:
        return block
    allocations = list(block.allocations)
    for ordinal in done:
        allocations[ordinal] = None
    numbers = {o: n for o, n in block.sequence_number_for_allocation.items() if int(o) not in done}
    return _compact(
        msgspec.structs.replace(
            block,
            allocations=tuple(allocations),
            unallocated=(*block.unallocated, *done),
            sequence_number_for_allocation=numbers,
        )
    )


def empty(block: Block) -> bool:
    return not any(index is not None for index in block.allocations)


def same_handle(handle: str | None) -> str | None:
    """A handle as it is compared: what follows a carriage return does not count."""
    return handle.partition("\r")[0] if handle else handle


def rfc3339(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _give(block: Block, ordinal: int, claimant: Claimant) -> Block:
    wanted = Attribute(handle_id=claimant.handle, secondary=dict(sorted(claimant.attributes.items())))
    known = list(block.attributes)
    if wanted not in known:
        known.append(wanted)
    allocations = list(block.allocations)
    allocations[ordinal] = known.index(wanted)
    numbers = {**block.sequence_number_for_allocation, str(ordinal): block.sequence_number}
    return _compact(
        _changed(
            block,
            allocations=tuple(allocations),
            unallocated=tuple(free for free in block.unallocated if free != ordinal),
            attributes=tuple(known),
            sequence_number_for_allocation=dict(sorted(numbers.items())),
        )
    )


def _rest(block: Block, ordinals: Collection[int], mark: Attribute) -> Block:
    """The block with these allocations turned into cooling ones."""
    known = [*block.attributes] if mark in block.attributes else [*block.attributes, mark]
    index = known.index(mark)
    allocations = tuple(index if ordinal in ordinals else old for ordinal, old in enumerate(block.allocations))
    return _compact(_changed(block, allocations=allocations, attributes=tuple(known)))


def _compact(block: Block) -> Block:
    """Without the attributes that no address uses, the others renumbered."""
    used = sorted({index for index in block.allocations if index is not None})
    if len(used) == len(block.attributes):
        return block
    place: dict[int | None, int | None] = {old: new for new, old in enumerate(used)}
    return msgspec.structs.replace(
        block,
        attributes=tuple(block.attributes[index] for index in used),
        allocations=tuple(place.get(index) for index in block.allocations),
    )


def _changed(block: Block, **fields: object) -> Block:
    return msgspec.structs.replace(block, sequence_number=block.sequence_number + 1, **fields)


def _cooling(block: Block, ordinal: int) -> bool:
    index = block.allocations[ordinal]
    return index is not None and block.attributes[index].released_at is not None


@lru_cache(maxsize=256)
def _network(cidr: str) -> Network:
    return ip_network(cidr)


def _ordinal(block: Block, address: Address) -> int:
    return int(address) - int(_network(block.cidr).network_address)


def _seconds(text: str) -> float:
    """A time of the store in seconds; one that does not parse counts as long ago."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0
