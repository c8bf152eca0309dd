"""Which endpoint of a host has which interface and which address, where several claim one: the first by key has it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tortie.policy.values import Resolved


class Owner(NamedTuple):
    """Whose an address is, and where it is attached."""

    key: str
    interface: str


class Claims:
    """An endpoint whose interface is another's has no address either. Each change costs what it touches. `sixes`: how
    many of the addresses that have an owner are of IPv6."""

    def __init__(self) -> None:
        self._claimed: dict[str, Resolved] = {}
        self._interfaces: dict[str, set[str]] = {}
        self._addresses: dict[str, set[str]] = {}
        self._owners: dict[str, Owner] = {}
        self._attached: dict[str, set[str]] = {}
        self._moved: dict[str, Owner | None] = {}
        self.sixes = 0

    def set(self, key: str, endpoint: Resolved | None) -> set[str]:
        """Enter, replace or (None) remove; the keys that may have gained or lost by it, this one among them."""
        touched, addresses = {key}, set[str]()
        old = self._claimed.pop(key, None)
        if old is not None:
            touched |= _leave(self._interfaces, (old.interface,), key) | _leave(self._addresses, old.addresses, key)
            addresses.update(old.addresses)
        if endpoint is not None:
            self._claimed[key] = endpoint
            touched |= _enter(self._interfaces, (endpoint.interface,), key)
            touched |= _enter(self._addresses, endpoint.addresses, key)
        for other in list(touched):
            if other in self._claimed:
                addresses.update(self._claimed[other].addresses)
        for address in addresses:
            touched |= self._addresses.get(address, set())
            self._settle(address)
        return touched

    def holder(self, interface: str) -> str | None:
        """The endpoint that has an interface."""
        return min(self._interfaces.get(interface, ()), default=None)

    def owner(self, address: str) -> Owner | None:
        return self._owners.get(address)

    def addresses(self) -> dict[str, str]:
        """Every address that has an owner, with its interface."""
        return {address: owner.interface for address, owner in self._owners.items()}

    def attached(self, interface: str) -> frozenset[str]:
        """The addresses on an interface."""
        return frozenset(self._attached.get(interface, ()))

    def take_moved(self) -> dict[str, Owner | None]:
        """The addresses that have another owner than when this was last asked, with the one they had."""
        moved, self._moved = self._moved, {}
        return {address: before for address, before in moved.items() if before != self._owners.get(address)}

    def _settle(self, address: str) -> None:
        claimants = (k for k in self._addresses.get(address, ()) if self.holder(self._claimed[k].interface) == k)
        key, before = min(claimants, default=None), self._owners.pop(address, None)
        if before is not None:
            self.sixes -= ":" in address
            _leave(self._attached, (before.interface,), address)
        after = Owner(key, self._claimed[key].interface) if key is not None else None
        if after is not None:
            self.sixes += ":" in address
            self._owners[address] = after
            _enter(self._attached, (after.interface,), address)
        if before != after:
            self._moved.setdefault(address, before)


def _enter(register: dict[str, set[str]], names: Iterable[str], key: str) -> set[str]:
    found = set[str]()
    for name in names:
        register.setdefault(name, set()).add(key)
        found |= register[name]
    return found


def _leave(register: dict[str, set[str]], names: Iterable[str], key: str) -> set[str]:
    """Those who are left."""
    found = set[str]()
    for name in names:
        keys = register[name]
        keys.discard(key)
        found |= keys
        if not keys:
            del register[name]
    return found
