"""Taking back: one address, all of a handle, a host's claim on a block, all claims of a host that is gone."""

from __future__ import annotations

from ipaddress import ip_address

from tortie.base.errors import Conflict, Invalid
from tortie.ipam import assign as choose
from tortie.ipam import block as blocks
from tortie.ipam.block import Address, Released
from tortie.ipam.ledger import Change, Ledger, counted, put
from tortie.ipam.search import Searches
from tortie.ipam.turns import Turns
from tortie.model.codec import from_json
from tortie.model.ipam import CONFIG_KEY, Block, Handle, Network, affinity_key, block_key, handle_key
from tortie.store.port import Compare, CompareFailed, Datastore, Drop, KeyValue, Put


class Releaser:
    """Takes addresses and blocks back, whoever has them."""

    def __init__(self, datastore: Datastore, ledger: Ledger, searches: Searches, turns: Turns) -> None:
        self._store = datastore
        self._ledger = ledger
        self._searches = searches
        self._turns = turns

    def release(
        self, address: str | Address, handle: str | None = None, *, now: float, sequence: int | None = None
    ) -> bool:
        """False when nobody had it. Raises HandleMismatch; StaleRelease when it was given anew since `sequence`."""
        wanted = parse_address(address)
        return self._turns.retried(f"address {wanted}", lambda: self._release_once(wanted, handle, now, sequence))

    def release_by_handle(self, handle: str, *, now: float) -> tuple[Address, ...]:
        """Every address of the handle; none when the handle does not exist."""
        check_handle(handle)
        kv = self._store.get(handle_key(handle))
        released: list[Address] = []
        for cidr in from_json(Handle, kv.value, f"handle {handle}").block if kv else ():
            if released:  # the handle was written with the block before
                kv = self._store.get(handle_key(handle))
            released += self._of_block(cidr, handle, kv, now)
        return tuple(released)

    def _of_block(self, cidr: str, handle: str, read: KeyValue | None, now: float) -> tuple[Address, ...]:
        """The handle is read again only when its own write was refused."""
        kv = read

        def once() -> tuple[Address, ...]:
            nonlocal kv
            try:
                return self._release_block(cidr, handle, now, kv)
            except CompareFailed as error:
                if error.key == handle_key(handle):
                    kv = error.now
                raise

        return self._turns.retried(f"block {cidr}", once)

    def release_affinity(self, cidr: Network, node: str, *, now: float, must_be_empty: bool = False) -> bool:
        """The node's claim on the block ends; the block goes when it is empty, else it stays without an owner.

        False when the node had no claim. Raises Conflict when the block `must_be_empty` and is not.
        """
        released = self._turns.retried(
            f"block {cidr}", lambda: self.release_affinity_once(cidr, node, now, must_be_empty=must_be_empty)
        )
        if released is None:
            raise Conflict(f"block {cidr} of node {node} is not empty")
        return released

    def release_host(self, node: str, *, now: float) -> tuple[Network, ...]:
        """Every claim of a node, of both families; says which. Addresses that are in use stay in use."""
        theirs = Ledger(self._store, node)
        claims = [
            cidr for version in (4, 6) for cidr, (claim, _) in theirs.claims(version).items() if not claim.deleted
        ]
        return tuple(cidr for cidr in claims if self.release_affinity(cidr, node, now=now))

    # One round each

    def _release_once(self, address: Address, handle: str | None, now: float, sequence: int | None) -> bool:
        cidr = self._ledger.block_around(address)
        block, at = self._ledger.block(cidr) if cidr is not None else (None, 0)
        if cidr is None or block is None:
            return False
        config, revision = self._ledger.config()
        released = blocks.release(block, [address], now, config.ip_cooldown_seconds, handle, sequence)
        if released is None:
            return False
        change = Change((), (Compare(CONFIG_KEY, revision),))
        for owner, count in released.handles.items():
            change += self._ledger.count(owner, cidr, -count)
        self._write(cidr, at, released, change)
        return True

    def _release_block(self, cidr: str, handle: str, now: float, kv: KeyValue | None) -> tuple[Address, ...]:
        """All that the handle, as it was read, has in this block; with nothing else read where it is remembered."""
        found = choose.networks([cidr])
        if not found:
            raise Invalid(f"handle {handle}: {cidr!r} is no block")
        network = found[0]
        block, at = self._with_addresses_of(handle, network)
        config, revision = self._ledger.remembered_config()
        addresses = blocks.addresses_of(block, handle) if block else ()
        released = blocks.release(block, addresses, now, config.ip_cooldown_seconds, handle) if block else None
        if released is None:
            self._ledger.write(counted(handle, network, None, kv))
            return ()
        change = Change((), (Compare(CONFIG_KEY, revision),))
        for owner, count in released.handles.items():
            # What follows a carriage return does not count when handles are compared, yet is part of the key.
            its = counted(owner, network, -count, kv) if owner == handle else self._ledger.count(owner, network, -count)
            change += its
        self._write(network, at, released, change)
        return released.addresses

    def _with_addresses_of(self, handle: str, cidr: Network) -> tuple[Block | None, int]:
        """The block as it is remembered, if the handle has addresses in it; else as it is."""
        remembered = self._ledger.remembered(cidr)
        if remembered is not None and blocks.addresses_of(remembered[0], handle):
            return remembered
        return self._ledger.block(cidr)

    def _write(self, cidr: Network, at: int, released: Released, change: Change) -> None:
        left = self._leave(cidr, released.block, at)
        self._ledger.write(left + change, cidr, released.block if isinstance(left.writes[0], Put) else None)

    def release_affinity_once(self, cidr: Network, node: str, now: float, *, must_be_empty: bool) -> bool | None:
        """None when the block is in use and must not be."""
        claim = affinity_key(node, cidr)
        revision = self._ledger.revision(claim)
        block, at = self._ledger.block(cidr)
        if revision == 0 and (block is None or block.node != node):
            return False
        change = Change((Drop(claim),), (Compare(claim, revision),))
        if block is not None and block.node == node:
            settled = blocks.settle(block, now, self._ledger.config()[0].ip_cooldown_seconds)
            if blocks.empty(settled):
                change += Change((Drop(block_key(cidr)),), (Compare(block_key(cidr), at),))
            elif must_be_empty:
                return None
            else:
                change += put(block_key(cidr), blocks.unclaimed(settled), at)
        self._ledger.write(change)
        return True

    def _leave(self, cidr: Network, block: Block, at: int) -> Change:
        """The block after a release: written, or removed when it is empty and nobody has it, or may not keep it."""
        key = block_key(cidr)
        if not blocks.empty(block) or (block.affinity and not self._to_be_given_up(block, cidr)):
            return put(key, block, at)
        change = Change((Drop(key),), (Compare(key, at),))
        if block.node is None:
            return change
        claim = affinity_key(block.node, cidr)
        return change + Change((Drop(claim),), (Compare(claim, self._ledger.revision(claim)),))

    def _to_be_given_up(self, block: Block, cidr: Network) -> bool:
        """True when no pool with this block selects its owner any more."""
        if block.node is None:
            return False
        return not choose.inside(self._searches.selecting(block.node), cidr)


def releaser(datastore: Datastore, node: str = "") -> Releaser:
    """For whoever only takes back: a command line, a collector."""
    ledger = Ledger(datastore, node)
    return Releaser(datastore, ledger, Searches(datastore, node, ledger), Turns(ledger))


def parse_address(text: str | Address) -> Address:
    try:
        return ip_address(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is not an IP address") from error


def check_handle(handle: str | None) -> None:
    if handle is not None and (not handle or "/" in handle):
        raise Invalid(f"handle {handle!r}: must not be empty or contain '/'")
