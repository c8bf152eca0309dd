"""Addresses for net-modules out of our own IPAM, each under the uid that it was asked for. Every call blocks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from tortie.base.errors import Conflict, Invalid, TortieError
from tortie.ipam.check import given_at
from tortie.ipam.errors import AddressTaken, OutsidePools
from tortie.plugins.netmodules.names import ALLOCATION, HANDLE_PREFIX
from tortie.plugins.ports import Addresses

log = logging.getLogger("netmodules")
_ATTRIBUTES = {"type": ALLOCATION}


@dataclass(frozen=True, slots=True)
class Taker:
    """Takes and gives back what nobody else has."""

    addresses: Addresses
    clock: Callable[[], float]

    def take(self, handle: str, named: Sequence[str], counts: Mapping[int, int]) -> list[str]:
        """As many of each family as `counts` says, then the named ones; all or none of them. What the handle has
        already of the named ones is its own."""
        taken: list[str] = []
        try:
            for address in named:
                if self._take_named(address, handle):
                    taken.append(address)
            found = []
            for version, count in counts.items():
                for _ in range(count):
                    given = self.addresses.auto_assign(handle, _ATTRIBUTES, now=self.clock(), version=version)
                    found.append(str(given))
                    taken.append(str(given))
        except TortieError:
            for address in taken:
                self.addresses.release(address, handle, now=self.clock())
            raise
        return found + list(named)

    def _take_named(self, address: str, handle: str) -> bool:
        """Whether it was free. Conflict, in the original's words, when somebody else has it."""
        try:
            self.addresses.assign(address, handle, _ATTRIBUTES, now=self.clock())
        except AddressTaken as error:
            if self.handle_of(address) == handle:
                return False
            raise in_use(address) from error
        return True

    def handle_of(self, address: str) -> str:
        """The handle of an address that was taken here; empty for one that nobody has, or somebody else."""
        holder = self.addresses.holder(address)
        if holder is None or holder.secondary.get("type") != ALLOCATION:
            return ""
        handle = holder.handle_id or ""
        return handle if handle.startswith(HANDLE_PREFIX) else ""

    def handle_among(self, addresses: Sequence[str], otherwise: str) -> str:
        """The handle that a container's addresses were taken under; `otherwise` when they were not taken here."""
        handles = {handle for address in addresses if (handle := self.handle_of(address))}
        if len(handles) > 1:
            raise Invalid(f"{', '.join(addresses)}: these addresses were taken under different uids")
        return handles.pop() if handles else otherwise

    def own(self, addresses: Sequence[str], handle: str, used: Collection[str]) -> tuple[list[str], bool]:
        """Sees to it that the handle has every one of them, but those of no pool, which are somebody else's to give.

        Which of them were free until now, and whether the handle has any. Conflict when somebody has one.
        """
        taken: list[str] = []
        ours = False
        try:
            for address in addresses:
                if address in used:
                    raise in_use(address)
                try:
                    if self._take_named(address, handle):
                        taken.append(address)
                    ours = True
                except OutsidePools:
                    log.info("address %s is in none of our pools: it is taken as it is", address)
        except TortieError:
            for address in taken:
                self.addresses.release(address, handle, now=self.clock())
            raise
        return taken, ours

    def give_back(self, handle: str) -> None:
        """Everything that it has. Twice is fine, and so is before anything was taken."""
        self.addresses.release_by_handle(handle, now=self.clock())

    def give_back_one(self, address: str, handle: str, before: float) -> None:
        """Unless it is somebody else's by now, or was given anew since `before`."""
        holder = self.addresses.holder(address)
        if holder is None or holder.handle_id != handle or given_at(holder) > before:
            return
        try:
            self.addresses.release(address, handle, now=self.clock())
        except Conflict as error:
            log.debug("%s", error)


def in_use(address: str) -> Conflict:
    return Conflict(f"IP '{address}' already in use.")
