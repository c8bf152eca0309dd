"""Addresses out of a datastore: read, ask the pure modules, write everything in one transaction, again on a conflict.

One transaction holds the block, the handle and, for a new block, the affinity. So a crash leaves no claim half made,
and a handle counts exactly the addresses that it has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tortie.base.errors import Invalid, Unavailable
from tortie.ipam import assign as choose
from tortie.ipam import block as blocks
from tortie.ipam.block import Address, Claimant
from tortie.ipam.errors import AddressTaken, BlockLimit, Exhausted
from tortie.ipam.ledger import NOTHING, Change, Ledger, block_in, counted, marked_deleted, put
from tortie.ipam.release import Releaser, check_handle, parse_address
from tortie.ipam.search import Search, Searches, Wish
from tortie.ipam.turns import RETRIES, Together, Turns
from tortie.model.ipam import HANDLES, Affinity, Attribute, Block, Network, affinity_key, block_key
from tortie.model.kinds.ip_pool import IPPoolSpec
from tortie.model.resource import Resource
from tortie.store.port import Compare, CompareFailed, Datastore, Drop, KeyValue

FEW = 3
"""With more blocks of its own a node reads all of them at once, not one after the other."""


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

    def holder(self, address: str | Address) -> Attribute | None:
        """Who has the address; None when nobody has."""
        wanted = parse_address(address)
        cidr = self._ledger.block_around(wanted)
        block, _ = self._ledger.block(cidr) if cidr is not None else (None, 0)
        return blocks.holder(block, wanted) if block is not None else None

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
        claims = self._ledger.claims(wish.version)
        listed = self._ledger.all_blocks(wish.version) if len(claims) > FEW else None
        addresses = self._from_own(search, asking, claims, listed)
        if not addresses:
            listed = self._ledger.all_blocks(wish.version) if listed is None else listed
            addresses = self._from_new(search, asking, claims, listed) or self._from_others(search, asking, listed)
        if not addresses:
            raise Exhausted
        return addresses

    def _from_own(
        self,
        search: Search,
        asking: Sequence[_Asking],
        claims: Mapping[Network, tuple[Affinity, int]],
        listed: Mapping[Network, KeyValue] | None,
    ) -> Sequence[Address]:
        """From a block that this node has claimed already; one that this node may not keep is given up if empty."""
        now = asking[0].now
        for cidr, (claim, revision) in claims.items():
            if claim.deleted:
                continue
            if not choose.inside(search.pools, cidr):
                if not choose.inside(search.selecting, cidr):
                    self._releaser.release_affinity_once(cidr, self._node, now, must_be_empty=True)
                continue
            block, at = self._ledger.block(cidr) if listed is None else self._ledger.listed(cidr, listed)
            if block is not None and block.node != self._node:
                self._store.commit(
                    [Drop(affinity_key(self._node, cidr))], [Compare(affinity_key(self._node, cidr), revision)]
                )
                continue
            mine = NOTHING if block and claim.confirmed else self._ledger.confirm(cidr, revision)
            block = block or blocks.new_block(cidr, self._node, now)
            addresses = self._give(block, cidr, at, search, asking, mine)
            if addresses:
                self._roomy[search.wish] = cidr
                return addresses
        return ()

    def _from_new(
        self,
        search: Search,
        asking: Sequence[_Asking],
        claims: Mapping[Network, tuple[Affinity, int]],
        listed: Mapping[Network, KeyValue],
    ) -> Sequence[Address]:
        """From a block that nobody has, else from one that its owner does not use."""
        now = asking[0].now
        owned = sum(1 for claim, _ in claims.values() if not claim.deleted)
        limit = choose.block_limit(search.config, search.wish.max_blocks)
        if owned >= limit:
            raise BlockLimit(limit)
        if not search.config.auto_allocate_blocks:
            return ()
        taken = [cidr for cidr, kv in listed.items() if not marked_deleted(kv)]
        cidr = choose.next_block(search.pools, self._node, taken, search.reserved)
        if cidr is not None:
            change = self._ledger.confirm(cidr, claims[cidr][1] if cidr in claims else 0)
            at = listed[cidr].revision if cidr in listed else 0
            self._roomy[search.wish] = cidr
            return self._give(blocks.new_block(cidr, self._node, now), cidr, at, search, asking, change)
        existing = {cidr: block for cidr in taken if (block := block_in(listed[cidr]))}
        for cidr in choose.reclaimable(existing, search.pools, now, search.config.ip_cooldown_seconds):
            change = self._ledger.take_over(cidr, existing[cidr])
            mine = blocks.claimed(existing[cidr], self._node, now)
            addresses = self._give(mine, cidr, listed[cidr].revision, search, asking, change)
            if addresses:
                return addresses
        return ()

    def _from_others(
        self, search: Search, asking: Sequence[_Asking], listed: Mapping[Network, KeyValue]
    ) -> Sequence[Address]:
        """Borrowed from a block of another node, unless affinity is strict."""
        if search.config.strict_affinity:
            return ()
        for cidr in choose.borrow_order(listed, search.pools, self._node):
            block, at = self._ledger.listed(cidr, listed)
            addresses = self._give(block, cidr, at, search, asking) if block is not None else ()
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
        existing = [cidr for cidr, kv in self._ledger.all_blocks(cidr.version).items() if not marked_deleted(kv)]
        around = next((block for block in existing if address in block), None)
        if around is None and (other := choose.overlapping(cidr, existing)) is not None:
            raise Invalid(f"The address {address}: its block {cidr} would overlap block {other}, of another size")
        return around or cidr
