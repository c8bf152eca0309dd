"""Addresses out of a datastore: read, ask the pure modules, write everything in one transaction, again on a conflict.

One transaction holds the block, the handle and, for a new block, the affinity. So a crash leaves no claim half made,
and a handle counts exactly the addresses that it has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tortie.base.errors import Invalid, Unavailable
from tortie.ipam import assign as choose
from tortie.ipam import block as blocks
from tortie.ipam.block import Address, Claimant
from tortie.ipam.errors import AddressTaken, BlockLimit, Exhausted
from tortie.ipam.ledger import NOTHING, Change, Ledger, counted, put
from tortie.ipam.release import Releaser, check_handle, parse_address
from tortie.ipam.search import Search, Searches, Wish
from tortie.ipam.turns import RETRIES, Together, Turns
from tortie.model.ipam import HANDLES, Block, Network, affinity_key, block_key
from tortie.model.kinds.ip_pool import IPPoolSpec
from tortie.model.resource import Resource
from tortie.store.port import Compare, CompareFailed, Datastore, Drop, KeyValue


@dataclass(frozen=True, slots=True)
class _Asking:
    """Who asks for an address, and when."""

    claimant: Claimant
    now: float


class Allocator:
    """Gives addresses to workloads of one node. Any number of processes and threads may do so at once."""

    def __init__(self, datastore: Datastore, node: str) -> None:
        self._store = datastore
        self._node = node.strip().lower()
        self._ledger = Ledger(datastore, self._node)
        self._searches = Searches(datastore, self._node, self._ledger)
        self._turns = Turns(self._ledger)
        self._releaser = Releaser(datastore, self._ledger, self._searches, self._turns)
        self._roomy: dict[Wish, Network] = {}
        self._queue = Together[Wish, _Asking, Address](self._turns, self._serve)

    def pool_for_subnet(self, subnet: str) -> Resource[IPPoolSpec]:
        """The pool whose CIDR equals `subnet`. Raises UnknownSubnet, or Invalid when it is no CIDR."""
        return choose.pool_for_subnet(self._searches.pools(), subnet)

    def auto_assign(
        self,
        handle: str | None,
        attributes: Mapping[str, str],
        *,
        now: float,
        pool: str | Sequence[str] | None = None,
        version: int = 4,
        use: choose.Use = "Workload",
        namespace: Mapping[str, str] | None = None,
        max_blocks: int = 0,
    ) -> Address:
        """A free address, from the node's own blocks first. It is no network: the mask is the caller's affair.

        `pool`: CIDRs of the only pools it may come from, whatever their selectors say. `namespace`: labels of the
        workload's namespace. `max_blocks`: how many blocks the node may have for it, if fewer than the cluster allows.
        Raises NotFound when the Node does not exist, NoPool, PoolGone, Exhausted, BlockLimit.
        """
        check_handle(handle)
        wish = Wish(
            version=version,
            use=use,
            pools=None if pool is None else (pool,) if isinstance(pool, str) else tuple(pool),
            namespace=None if namespace is None else tuple(sorted(namespace.items())),
            max_blocks=max_blocks,
        )
        return self._queue.ask(wish, _Asking(Claimant(handle, self._stamped(attributes, now)), now))

    def assign(
        self,
        address: str | Address,
        handle: str | None,
        attributes: Mapping[str, str],
        *,
        now: float,
        use: choose.Use | None = None,
    ) -> None:
        """This very address, reserved or not, borrowed when its block belongs to another node.

        Raises AddressTaken, OutsidePools, Invalid for a text that is no address or a `use` that its pool is not for.
        """
        check_handle(handle)
        wanted = parse_address(address)
        asking = _Asking(Claimant(handle, self._stamped(attributes, now)), now)
        self._turns.retried(f"address {wanted}", lambda: self._assign_once(wanted, asking, use))

    def release(
        self, address: str | Address, handle: str | None = None, *, now: float, sequence: int | None = None
    ) -> bool:
        """Takes the address back; False when nobody had it.

        Raises HandleMismatch when `handle` is not its handle, StaleRelease when it was given anew since `sequence`.
        """
        return self._releaser.release(address, handle, now=now, sequence=sequence)

    def release_by_handle(self, handle: str, *, now: float) -> tuple[Address, ...]:
        """Takes back every address of the handle and says which; none when the handle does not exist."""
        return self._releaser.release_by_handle(handle, now=now)

    def _stamped(self, attributes: Mapping[str, str], now: float) -> dict[str, str]:
        moment = datetime.fromtimestamp(now, UTC).isoformat(" ", "microseconds")[:26].rstrip("0").rstrip(".")
        return {"node": self._node, "timestamp": f"{moment} +0000 UTC", **attributes}

    # One round each: one block, one transaction

    def _serve(self, wish: Wish, asking: Sequence[_Asking]) -> Sequence[Address]:
        """Addresses for the first of those who ask, as many as the block has that is found."""
        return self._turns.held(
            f"an address for node {self._node}", lambda: self._again(wish, asking) or self._find(wish, asking)
        )

    def _again(self, wish: Wish, asking: Sequence[_Asking]) -> Sequence[Address]:
        """As last time, from the block that had room then, with nothing read: the write compares it all."""
        cidr, search = self._roomy.get(wish), self._searches.known(wish)
        remembered = self._ledger.remembered(cidr) if cidr is not None else None
        if cidr is None or search is None or remembered is None:
            return ()
        block, at = remembered
        if block.node != self._node:
            return ()
        return self._give(block, cidr, at, search, asking)

    def _find(self, wish: Wish, asking: Sequence[_Asking]) -> Sequence[Address]:
        self._roomy.pop(wish, None)
        search = self._searches.make(wish)
        for attempt in (self._from_own, self._from_new, self._from_others):
            addresses = attempt(search, asking)
            if addresses:
                return addresses
        raise Exhausted

    def _from_own(self, search: Search, asking: Sequence[_Asking]) -> Sequence[Address]:
        """From a block that this node has claimed already; one that this node may not keep is given up if empty."""
        now = asking[0].now
        for cidr, revision, confirmed in list(self._ledger.own_affinities(search.wish.version)):
            if not choose.inside(search.pools, cidr):
                if not choose.inside(search.selecting, cidr):
                    self._releaser.release_affinity_once(cidr, self._node, now, must_be_empty=True)
                continue
            block, at = self._ledger.block(cidr)
            if block is not None and block.node != self._node:
                self._store.commit(
                    [Drop(affinity_key(self._node, cidr))], [Compare(affinity_key(self._node, cidr), revision)]
                )
                continue
            mine = NOTHING if block and confirmed else self._ledger.confirm(cidr, revision)
            block = block or blocks.new_block(cidr, self._node, now)
            addresses = self._give(block, cidr, at, search, asking, mine)
            if addresses:
                self._roomy[search.wish] = cidr
                return addresses
        return ()

    def _from_new(self, search: Search, asking: Sequence[_Asking]) -> Sequence[Address]:
        """From a block that nobody has, else from one that its owner does not use."""
        now = asking[0].now
        owned = sum(1 for _ in self._ledger.own_affinities(search.wish.version))
        limit = choose.block_limit(search.config, search.wish.max_blocks)
        if owned >= limit:
            raise BlockLimit(limit)
        if not search.config.auto_allocate_blocks:
            return ()
        existing, deleted = self._ledger.taken(search.wish.version)
        cidr = choose.next_block(search.pools, self._node, existing, search.reserved)
        if cidr is not None:
            claim = self._ledger.confirm(cidr, self._ledger.revision(affinity_key(self._node, cidr)))
            self._roomy[search.wish] = cidr
            new = blocks.new_block(cidr, self._node, now)
            return self._give(new, cidr, deleted.get(cidr, 0), search, asking, claim)
        readable = {cidr: block for cidr, (block, _) in existing.items()}
        for cidr in choose.reclaimable(readable, search.pools, now, search.config.ip_cooldown_seconds):
            block, at = existing[cidr]
            change = self._ledger.take_over(cidr, block)
            addresses = self._give(blocks.claimed(block, self._node, now), cidr, at, search, asking, change)
            if addresses:
                return addresses
        return ()

    def _from_others(self, search: Search, asking: Sequence[_Asking]) -> Sequence[Address]:
        """Borrowed from a block of another node, unless affinity is strict."""
        if search.config.strict_affinity:
            return ()
        existing = self._ledger.existing(search.wish.version)
        for cidr in choose.borrow_order(existing, search.pools, self._node):
            block, at = existing[cidr]
            addresses = self._give(block, cidr, at, search, asking)
            if addresses:
                return addresses
        return ()

    def _give(
        self, block: Block, cidr: Network, at: int, search: Search, asking: Sequence[_Asking], also: Change = NOTHING
    ) -> Sequence[Address]:
        """The next free addresses of this block, written; none when it has none."""
        settled = blocks.settle(block, max(one.now for one in asking), search.config.ip_cooldown_seconds)
        claimants = [one.claimant for one in asking]
        found = blocks.assign_next(settled, claimants, search.reserved)
        if found is None:
            return ()
        change = also + Change((), search.proof(cidr)) + put(block_key(cidr), found.block, at)
        self._write_given(change, claimants[: len(found.addresses)], cidr, found.block)
        return found.addresses

    def _write_given(self, change: Change, claimants: Sequence[Claimant], cidr: Network, block: Block) -> None:
        """With the handles counted. Most are new: each is taken for one until the transaction says what it holds."""
        given = Counter(claimant.handle for claimant in claimants if claimant.handle)
        there: dict[str, KeyValue | None] = dict.fromkeys(given)
        for _ in range(RETRIES):
            handles = [counted(handle, cidr, given[handle], kv) for handle, kv in there.items()]
            try:
                return self._ledger.write(sum(handles, start=change), cidr, block)
            except CompareFailed as error:
                handle = error.key.removeprefix(HANDLES)
                if handle not in there:
                    raise
                there[handle] = error.now
        raise Unavailable(f"handles {', '.join(given)}: changed by others {RETRIES} times in a row")

    def _assign_once(self, address: Address, asking: _Asking, use: choose.Use | None) -> None:
        pool = choose.pool_around(self._searches.pools(), address, use)
        cidr = self._block_cidr(pool, address)
        config, revision = self._ledger.config()
        block, at = self._ledger.block(cidr)
        change = Change((), (Compare(pool.key, pool.revision), Compare(self._ledger.CONFIG, revision)))
        if block is None:
            block = blocks.new_block(cidr, self._node, asking.now)
            change += self._ledger.confirm(cidr, self._ledger.revision(affinity_key(self._node, cidr)))
        elif block.node != self._node and config.strict_affinity:
            raise Invalid(f"The address {address} is in block {cidr}, which does not belong to node {self._node}")
        given = blocks.assign_address(block, address, asking.claimant)
        if given is None:
            raise AddressTaken(str(address))
        self._write_given(change + put(block_key(cidr), given, at), [asking.claimant], cidr, given)

    def _block_cidr(self, pool: choose.Pool, address: Address) -> Network:
        """The block that has the address: a pool made anew with another block size keeps its old blocks."""
        cidr = pool.block_of(address)
        if self._ledger.block(cidr)[0] is not None:
            return cidr
        existing: Collection[Network] = self._ledger.existing(cidr.version)
        around = next((block for block in existing if address in block), None)
        if around is None and (other := choose.overlapping(cidr, existing)) is not None:
            raise Invalid(f"The address {address}: its block {cidr} would overlap block {other}, of another size")
        return around or cidr
