"""What one search for a free address goes by: pools, reservations, configuration, and proof that they still hold.

Reading them takes longer than taking an address, so a search is remembered. It is right all the same: whatever is
written by it compares the revisions of all that decided it, so a change of a pool, the node, the configuration or a
reservation makes the write fail and the search is made anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tortie.base.errors import NotFound
from tortie.ipam import assign as choose
from tortie.ipam.ledger import Ledger
from tortie.model.ipam import IpamConfig, Network
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.ip_reservation import IP_RESERVATION
from tortie.model.kinds.node import NODE
from tortie.model.resource import Resource
from tortie.store.client import Client
from tortie.store.port import Compare, Condition, Datastore, Unchanged

REMEMBERED = 16
GUARDED = 32
"""Reservations that a write compares one by one; with more of them no search is remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What kind of address is wanted. `pools`: the CIDRs of the only pools it may come from; `namespace`: the labels of
    the workload's namespace, None when it has none; `max_blocks`: the caller's own limit of blocks, 0 for none."""

    version: int = 4
    use: choose.Use = "Workload"
    pools: tuple[str, ...] | None = None
    namespace: tuple[tuple[str, str], ...] | None = None
    max_blocks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """`selecting`: every pool whose nodeSelector takes this node, whatever it may be used for."""

    wish: Wish
    pools: Sequence[choose.Pool]
    selecting: Sequence[choose.Pool]
    reserved: Sequence[Network]
    config: IpamConfig
    guards: tuple[Condition, ...]
    proofs: dict[Network, tuple[Condition, ...]] = field(default_factory=dict)

    def proof(self, cidr: Network) -> tuple[Condition, ...]:
        """What must not have changed when an address of this block is given."""
        if cidr not in self.proofs:
            pools = [pool for pool in self.pools if pool.key and choose.within(cidr, pool.cidr)]
            self.proofs[cidr] = (*self.guards, *(Compare(pool.key, pool.revision) for pool in pools[:1]))
        return self.proofs[cidr]


class Searches:
    """Makes searches for one node and remembers the last few."""

    def __init__(self, datastore: Datastore, node: str, ledger: Ledger) -> None:
        self._client = Client(datastore)
        self._node = node
        self._ledger = ledger
        self._known: dict[Wish, Search] = {}

    def known(self, wish: Wish) -> Search | None:
        """The search as it was last made: for whoever compares its proof when writing."""
        return self._known.get(wish)

    def make(self, wish: Wish) -> Search:
        """A new one. Raises NotFound when the Node does not exist, NoPool, PoolGone."""
        node = self._client.find(NODE, self._node)
        if node is None:
            raise NotFound(f"Node {self._node} does not exist")
        found = self.pools()
        config, revision = self._ledger.config()
        reserved, guards = self._reserved()
        labels = node.metadata.labels
        search = Search(
            wish=wish,
            pools=_pools(found, wish, self._node, labels),
            selecting=choose.selecting(found, labels),
            reserved=reserved,
            config=config,
            guards=(Compare(node.key, node.revision), Compare(self._ledger.CONFIG, revision), *guards),
        )
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known.pop(wish, None)
        if guards:
            self._known[wish] = search
        return search

    def pools(self) -> list[Resource[IPPoolSpec]]:
        return list(self._client.list(IP_POOL).items)

    def selecting(self, node_name: str) -> Sequence[choose.Pool]:
        """The pools that take a node; every pool when there is no such Node to be selected."""
        node = self._client.find(NODE, node_name)
        return choose.selecting(self.pools(), node.metadata.labels if node else None)

    def _reserved(self) -> tuple[Sequence[Network], tuple[Condition, ...]]:
        """What is reserved, and the proof that it still is just that; no proof when it would be too long."""
        found = self._client.list(IP_RESERVATION)
        reserved = choose.networks(cidr for item in found.items for cidr in item.spec.reserved_cidrs)
        if len(found.items) > GUARDED:
            return reserved, ()
        same = (Compare(item.key, item.revision) for item in found.items)
        return reserved, (Unchanged(IP_RESERVATION.prefix, found.revision), *same)


def _pools(
    found: Sequence[Resource[IPPoolSpec]], wish: Wish, node: str, labels: Mapping[str, str]
) -> Sequence[choose.Pool]:
    if wish.pools is not None:
        return choose.pools_named(found, wish.pools, node, wish.version, wish.use)
    namespace = dict(wish.namespace) if wish.namespace is not None else None
    return choose.pools_for(found, node, labels, wish.version, wish.use, namespace)
