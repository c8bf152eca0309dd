"""Addresses out of a datastore: read, ask the pure modules, write everything in one transaction, again on a conflict.

One transaction holds the block, the handle and, for a new block, the affinity. So a crash leaves no claim half made,
and a handle counts exactly the addresses that it has.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TypeVar

from tortie.base.errors import Invalid, NotFound, Unavailable
from tortie.ipam import assign as choose
from tortie.ipam import block as blocks
from tortie.ipam.block import Address
from tortie.ipam.errors import AddressTaken, BlockLimit, Exhausted
from tortie.ipam.ledger import Change, Ledger, put
from tortie.model.codec import from_json
from tortie.model.ipam import Block, Handle, IpamConfig, Network, affinity_key, block_key, handle_key
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.ip_reservation import IP_RESERVATION
from tortie.model.kinds.node import NODE
from tortie.model.resource import Resource
from tortie.store.client import Client
from tortie.store.port import Compare, CompareFailed, Datastore, Drop

RETRIES = 100

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Search:
    """What one search for a free address goes by."""

    pools: list[choose.Pool]
    reserved: Collection[Network]
    config: IpamConfig
    handle: str | None
    attributes: Mapping[str, str]
    now: float


class Allocator:
    """Gives addresses to workloads of one node. Any number of processes and threads may do so at once."""

    def __init__(self, datastore: Datastore, node: str) -> None:
        self._store = datastore
        self._client = Client(datastore)
        self._node = node.strip().lower()
        self._ledger = Ledger(datastore, self._node)
        self._lock = threading.Lock()
        self._roomy: Network | None = None

    def pool_for_subnet(self, subnet: str) -> Resource[IPPoolSpec]:
        """The pool whose CIDR equals `subnet`. Raises UnknownSubnet, or Invalid when it is no CIDR."""
        return choose.pool_for_subnet(self._pools(), subnet)

    def auto_assign(
        self,
        handle: str | None,
        attributes: Mapping[str, str],
        *,
        now: float,
        pool: str | None = None,
        version: int = 4,
    ) -> Address:
        """A free address, from the node's own blocks first; `pool` is the CIDR of the only pool it may come from.

        Raises NotFound when the Node does not exist, NoPool, PoolGone, Exhausted, BlockLimit.
        """
        _check_handle(handle)
        search = self._search(handle, attributes, now, pool, version)
        return self._retried(f"an address for node {self._node}", lambda: self._find(search, version))

    def assign(self, address: str | Address, handle: str | None, attributes: Mapping[str, str], *, now: float) -> None:
        """This very address, borrowed when its block belongs to another node.

        Raises AddressTaken, OutsidePools, Invalid for a text that is no address.
        """
        _check_handle(handle)
        wanted = _address(address)
        self._retried(f"address {wanted}", lambda: self._assign_once(wanted, handle, attributes, now))

    def release(self, address: str | Address, handle: str | None = None, *, now: float) -> bool:
        """Takes the address back; False when nobody had it. Raises HandleMismatch when `handle` is not its handle."""
        wanted = _address(address)
        return self._retried(f"address {wanted}", lambda: self._release_once(wanted, handle, now))

    def release_by_handle(self, handle: str, *, now: float) -> tuple[Address, ...]:
        """Takes back every address of the handle and says which; none when the handle does not exist."""
        _check_handle(handle)
        kv = self._store.get(handle_key(handle))
        released: list[Address] = []
        for cidr in from_json(Handle, kv.value, f"handle {handle}").block if kv else ():
            released += self._retried(f"block {cidr}", lambda cidr=cidr: self._release_block(cidr, handle, now))  # type: ignore[misc]
        return tuple(released)

    def _pools(self) -> list[Resource[IPPoolSpec]]:
        return list(self._client.list(IP_POOL).items)

    def _search(
        self, handle: str | None, attributes: Mapping[str, str], now: float, pool: str | None, version: int
    ) -> _Search:
        node = self._client.find(NODE, self._node)
        if node is None:
            raise NotFound(f"Node {self._node} does not exist")
        found = self._pools()
        pools = (
            choose.pools_for(found, self._node, node.metadata.labels, version)
            if pool is None
            else [choose.pool_named(found, pool)]
        )
        reserved = [cidr for item in self._client.list(IP_RESERVATION).items for cidr in item.spec.reserved_cidrs]
        return _Search(
            pools, choose.networks(reserved), self._ledger.config(), handle, self._stamped(attributes, now), now
        )

    def _stamped(self, attributes: Mapping[str, str], now: float) -> dict[str, str]:
        moment = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S.%f").rstrip("0").rstrip(".")
        return {"node": self._node, "timestamp": f"{moment} +0000 UTC", **attributes}

    # One round each

    def _find(self, search: _Search, version: int) -> Address:
        for attempt in (self._from_own, self._from_new, self._from_others):
            address = attempt(search, version)
            if address is not None:
                return address
        raise Exhausted

    def _from_own(self, search: _Search, version: int) -> Address | None:
        """From a block that this node has claimed already, the one that had room last time first."""
        claims = sorted(self._ledger.own_affinities(version), key=lambda claim: claim[0] != self._roomy)
        for cidr, revision, confirmed in claims:
            if not choose.inside(search.pools, cidr):
                continue
            block, at = self._ledger.block(cidr)
            if block is not None and block.node != self._node:
                self._store.commit(
                    [Drop(affinity_key(self._node, cidr))], [Compare(affinity_key(self._node, cidr), revision)]
                )
                continue
            mine = Change((), ()) if block and confirmed else self._ledger.confirm(cidr, revision)
            address = self._give(block or blocks.new_block(cidr, self._node, search.now), cidr, at, search, mine)
            if address is not None:
                self._roomy = cidr
                return address
        return None

    def _from_new(self, search: _Search, version: int) -> Address | None:
        """From a block that nobody has, else from one that its owner does not use."""
        owned = sum(1 for _ in self._ledger.own_affinities(version))
        limit = search.config.max_blocks_per_host or choose.BLOCKS_PER_HOST
        if owned >= limit:
            raise BlockLimit(limit)
        if not search.config.auto_allocate_blocks:
            return None
        existing = self._ledger.existing(version)
        cidr = choose.next_block(search.pools, self._node, existing, search.reserved)
        if cidr is not None:
            claim = self._ledger.confirm(cidr, self._ledger.revision(affinity_key(self._node, cidr)))
            return self._give(blocks.new_block(cidr, self._node, search.now), cidr, 0, search, claim)
        readable = {cidr: block for cidr, (block, _) in existing.items()}
        for cidr in choose.reclaimable(readable, search.pools, search.now, search.config.ip_cooldown_seconds):
            block, at = existing[cidr]
            change = self._ledger.take_over(cidr, block)
            address = self._give(blocks.claimed(block, self._node, search.now), cidr, at, search, change)
            if address is not None:
                return address
        return None

    def _from_others(self, search: _Search, version: int) -> Address | None:
        """Borrowed from a block of another node, unless affinity is strict."""
        if search.config.strict_affinity:
            return None
        existing = self._ledger.existing(version)
        for cidr in choose.borrow_order(existing, search.pools, self._node):
            block, at = existing[cidr]
            address = self._give(block, cidr, at, search, Change((), ()))
            if address is not None:
                return address
        return None

    def _give(self, block: Block, cidr: Network, at: int, search: _Search, also: Change) -> Address | None:
        """The next free address of this block, written; None when it has none."""
        settled = blocks.settle(block, search.now, search.config.ip_cooldown_seconds)
        found = blocks.assign_next(settled, search.handle, search.attributes, search.reserved)
        if found is None:
            return None
        self._write(also + put(block_key(cidr), found.block, at) + self._ledger.count(search.handle, cidr, +1))
        return found.address

    def _assign_once(self, address: Address, handle: str | None, attributes: Mapping[str, str], now: float) -> None:
        cidr = choose.pool_around(self._pools(), address).block_of(address)
        block, at = self._ledger.block(cidr)
        change = Change((), ())
        if block is None:
            block = blocks.new_block(cidr, self._node, now)
            change = self._ledger.confirm(cidr, self._ledger.revision(affinity_key(self._node, cidr)))
        elif block.node != self._node and self._ledger.config().strict_affinity:
            raise Invalid(f"The address {address} is in block {cidr}, which does not belong to node {self._node}")
        given = blocks.assign_address(block, address, handle, self._stamped(attributes, now))
        if given is None:
            raise AddressTaken(str(address))
        self._write(change + put(block_key(cidr), given, at) + self._ledger.count(handle, cidr, +1))

    def _release_once(self, address: Address, handle: str | None, now: float) -> bool:
        cidr = self._ledger.block_around(address)
        return cidr is not None and bool(self._release_in(cidr, [address], handle, now))

    def _release_block(self, cidr: str, handle: str, now: float) -> tuple[Address, ...]:
        network = _cidr(cidr)
        block, _ = self._ledger.block(network)
        addresses = blocks.addresses_of(block, handle) if block else ()
        released = self._release_in(network, addresses, handle, now) if addresses else ()
        if not released:
            self._write(self._ledger.count(handle, network, None))
        return released

    def _release_in(
        self, cidr: Network, addresses: Collection[Address], handle: str | None, now: float
    ) -> tuple[Address, ...]:
        block, at = self._ledger.block(cidr)
        if block is None:
            return ()
        released = blocks.release(block, addresses, now, self._ledger.config().ip_cooldown_seconds, handle)
        if released is None:
            return ()
        change = self._leave(cidr, released.block, at)
        for owner, count in released.handles.items():
            change += self._ledger.count(owner, cidr, -count)
        self._write(change)
        return released.addresses

    # Parts of a transaction

    def _leave(self, cidr: Network, block: Block, at: int) -> Change:
        """The block after a release: written, or removed when it is empty and has no owner or no pool any more."""
        key = block_key(cidr)
        gone = blocks.empty(block) and (block.node is None or not self._has_pool(cidr))
        if not gone:
            return put(key, block, at)
        change = Change((Drop(key),), (Compare(key, at),))
        if block.node is None:
            return change
        claim = affinity_key(block.node, cidr)
        return change + Change((Drop(claim),), (Compare(claim, self._ledger.revision(claim)),))

    def _has_pool(self, cidr: Network) -> bool:
        return choose.inside([pool for item in self._pools() if (pool := choose.pool_of(item))], cidr)

    def _write(self, change: Change) -> None:
        self._store.commit(change.writes, change.compares)

    def _retried(self, what: str, once: Callable[[], R]) -> R:
        """The result of one round that nobody else's write came between; threads of this process take turns."""
        with self._lock:
            for attempt in range(RETRIES):
                try:
                    return once()
                except CompareFailed:
                    if attempt > 2:
                        time.sleep(random.uniform(0.001, 0.01))
        raise Unavailable(f"{what}: changed by others {RETRIES} times in a row")


def _address(text: str | Address) -> Address:
    try:
        return ip_address(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is not an IP address") from error


def _cidr(text: str) -> Network:
    return choose.networks([text])[0]


def _check_handle(handle: str | None) -> None:
    if handle is not None and (not handle or "/" in handle):
        raise Invalid(f"handle {handle!r}: must not be empty or contain '/'")
