"""One Marathon at a time: a leased key of the store, and writes that hold only while it is ours."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import anyio.to_thread

from tortie.base.errors import NotFound, Unavailable
from tortie.marathon.world import LEADER, PREFIX
from tortie.store.port import Compare, CompareFailed, Datastore, Put, Write

TTL = 10.0
RETRIES = 3


class LeadershipLost(Unavailable):
    """Another Marathon leads, or the store went away for longer than the lease: this process must end."""


class Leadership:
    """Held from `win` until the process ends. `name` is this Marathon's host:port.

    A key left behind under our own name is taken over at once: we hold the port it names, so its owner is gone.
    """

    def __init__(self, store: Datastore, name: str) -> None:
        self.store = store
        self.name = name
        self.held = False
        self._lease = 0
        self._revision = 0

    async def win(self) -> Sequence[tuple[str, bytes]]:
        """Waits until we lead; then everything stored, as (key, value)."""
        while not await anyio.to_thread.run_sync(self._try):
            await anyio.to_thread.run_sync(self._wait, abandon_on_cancel=True)
        self.held = True
        listing = await anyio.to_thread.run_sync(self.store.list, PREFIX)
        return [(kv.key, kv.value) for kv in listing.items]

    def _try(self) -> bool:
        found = self.store.get(LEADER)
        if found is not None and found.value.decode() != self.name:
            return False
        lease = self.store.grant(TTL)
        try:
            put = Put(LEADER, self.name.encode(), lease)
            self._revision = self.store.commit([put], [Compare(LEADER, found.revision if found else 0)])
        except CompareFailed:
            self.store.revoke(lease)
            return False
        self._lease = lease
        return True

    def _wait(self) -> None:
        """Until the leader's key changes, or a few seconds have passed."""
        watch = self.store.watch(LEADER, self.store.list(LEADER).revision)
        try:
            if self.store.get(LEADER) is not None:
                watch.next(2.0)
        finally:
            watch.close()

    def leader(self) -> str | None:
        """Who leads now."""
        if self.held:
            return self.name
        found = self.store.get(LEADER)
        return found.value.decode() if found else None

    async def keep(self) -> None:
        """Renews the lease until cancelled. Raises LeadershipLost."""
        missed = 0
        while True:
            await asyncio.sleep(TTL / 4)
            try:
                await anyio.to_thread.run_sync(self.store.keep_alive, self._lease)
                missed = 0
            except NotFound as error:
                raise LeadershipLost("the lease has ended") from error
            except Unavailable as error:
                missed += 1
                if missed >= RETRIES:
                    raise LeadershipLost(f"the store does not answer: {error}") from error

    async def commit(self, writes: Sequence[Write]) -> None:
        """One transaction, refused by the store unless we still lead. Raises LeadershipLost or Unavailable."""
        for attempt in range(RETRIES):
            try:
                await anyio.to_thread.run_sync(self.store.commit, writes, [Compare(LEADER, self._revision)])
                return
            except CompareFailed as error:
                raise LeadershipLost(f"another leads: {self.store.get(LEADER)}") from error
            except Unavailable:
                if attempt == RETRIES - 1:
                    raise
                await asyncio.sleep(0.2)

    async def resign(self) -> None:
        """Gives the place free at once; after this nothing more is written."""
        self.held = False
        await anyio.to_thread.run_sync(self.store.revoke, self._lease)
