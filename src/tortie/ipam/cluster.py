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
    """From every key under `/calico/ipam/v2/`; other keys are passed over."""
    holdings, unreadable = Holdings(), []
    for key, value in entries.items():
        try:
            holdings.learn(key, value)
        except Invalid:
            unreadable.append(key)
    return Ownership(holdings.owners, holdings.borrowed, tuple(unreadable))


@dataclass(frozen=True, slots=True)
class _Held:
    """What one block says: the node that it names, and the addresses in use by node."""

    node: str | None
    used: Mapping[str, tuple[Address, ...]]


class Holdings:
    """Owners and borrowers, kept up to date key by key: a change costs what its own block costs.

    A block belongs to the node that it names once that node's affinity is confirmed: a pending claim owns nothing.
    """

    def __init__(self) -> None:
        self.owners: dict[Network, str] = {}
        self.borrowed: dict[Address, str] = {}
        self._blocks: dict[Network, _Held] = {}
        self._confirmed: set[tuple[str, Network]] = set()
        self._lent: dict[Network, dict[Address, str]] = {}

    def learn(self, key: str, value: bytes | None) -> set[Network]:
        """One key (None: gone); the networks whose node changed: blocks, and borrowed addresses as networks of one.

        Invalid when the value makes no sense: then nothing was learned.
        """
        if claim := affinity_of_key(key):
            confirmed = value is not None and from_json(Affinity, value, f"affinity {key}").confirmed
            (self._confirmed.add if confirmed else self._confirmed.discard)(claim)
            return self._settle(claim[1])
        if cidr := block_of_key(key):
            block = parse_block(value, key) if value is not None else None
            if block is None or block.deleted:
                self._blocks.pop(cidr, None)
            else:
                self._blocks[cidr] = _Held(block.node, _used(block))
            return self._settle(cidr)
        return set()

    def _settle(self, cidr: Network) -> set[Network]:
        held = self._blocks.get(cidr)
        owner = held.node if held is not None and (held.node, cidr) in self._confirmed else None
        changed: set[Network] = set()
        if owner != self.owners.get(cidr):
            changed.add(cidr)
            if owner is None:
                del self.owners[cidr]
            else:
                self.owners[cidr] = owner
        used = held.used if held is not None else {}
        lent = {address: node for node, addresses in used.items() if node != owner for address in addresses}
        before = self._lent.pop(cidr, {})
        if lent:
            self._lent[cidr] = lent
        for address in before.keys() | lent.keys():
            if before.get(address) != lent.get(address):
                changed.add(ip_network(address))
                if address in lent:
                    self.borrowed[address] = lent[address]
                else:
                    del self.borrowed[address]
        return changed


def _used(block: Block) -> dict[str, tuple[Address, ...]]:
    base = ip_network(block.cidr)
    found: dict[str, list[Address]] = {}
    for ordinal, index in enumerate(block.allocations):
        node = block.attributes[index].secondary.get("node") if index is not None else None
        if node:
            found.setdefault(node, []).append(base[ordinal])
    return {node: tuple(addresses) for node, addresses in found.items()}
