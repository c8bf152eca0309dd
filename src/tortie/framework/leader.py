"""One process of a framework at a time: a leased key of the store, and writes that hold only while it is ours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import anyio.to_thread

from tortie.base.errors import NotFound, Unavailable
from tortie.store.port import Compare, CompareFailed, Datastore, Put, Write

TTL = 15.0
RETRIES = 3
log = logging.getLogger("framework.leader")


@dataclass(frozen=True, slots=True)
class Keys:
    """What a leader holds: all under `prefix`; `leader` is the leased key, `term` the one that every change writes."""

    prefix: str
    leader: str
    term: str


class LeadershipLost(Unavailable):
    """Another one leads, or the store went away for longer than the lease: this process must end."""


class Leadership:
    """Held from `win` until the process ends. `name` is this process's host:port.

    The leased key says who leads; the term key is written at every change of the leader, and every transaction
    compares it: whoever is not the latest leader cannot write.

    A key left behind under our own name is taken over at once: we hold the port it names, so its owner is gone.
    """

    def __init__(self, store: Datastore, name: str, keys: Keys, ttl: float = TTL) -> None:
        self.store = store
        self.name = name
        self.keys = keys
        self.ttl = ttl
        self.held = False
        self.lease = 0
        self._term = 0

    async def win(self) -> Sequence[tuple[str, bytes]]:
        """Waits until we lead; then everything stored, as (key, value)."""
        while not await anyio.to_thread.run_sync(self._try):
            await anyio.to_thread.run_sync(self._wait, abandon_on_cancel=True)
        self.held = True
        listing = await anyio.to_thread.run_sync(self.store.list, self.keys.prefix)
        return [(kv.key, kv.value) for kv in listing.items]

    def _try(self) -> bool:
        found, term = self.store.get(self.keys.leader), self.store.get(self.keys.term)
        if found is not None and found.value.decode() != self.name:
            return False
        compares = [
            Compare(self.keys.leader, found.revision if found else 0),
            Compare(self.keys.term, term.revision if term else 0),
        ]
        return self._put([Put(self.keys.term, self.name.encode())], compares)

    def _put(self, writes: Sequence[Write], compares: Sequence[Compare]) -> bool:
        """Writes our name under a new lease, unless somebody was quicker."""
        lease = self.store.grant(self.ttl)
        try:
            revision = self.store.commit([*writes, Put(self.keys.leader, self.name.encode(), lease)], compares)
        except CompareFailed:
            self.store.revoke(lease)
            return False
        self.lease = lease
        self._term = revision if writes else self._term
        return True

    def _again(self) -> bool:
        """After the lease ran out (we were too slow): ours again, if nobody has led since."""
        return self._put([], [Compare(self.keys.leader, 0), Compare(self.keys.term, self._term)])

    def _wait(self) -> None:
        """Until the leader's key changes, or a few seconds have passed."""
        watch = self.store.watch(self.keys.leader, self.store.list(self.keys.leader).revision)
        try:
            if self.store.get(self.keys.leader) is not None:
                watch.next(2.0)
        finally:
            watch.close()

    def leader(self) -> str | None:
        """Who leads now."""
        if self.held:
            return self.name
        found = self.store.get(self.keys.leader)
        return found.value.decode() if found else None

    async def keep(self) -> None:
        """Renews the lease until cancelled. Raises LeadershipLost."""
        missed = 0
        while True:
            await asyncio.sleep(self.ttl / 4)
            try:
                await anyio.to_thread.run_sync(self._renew)
                missed = 0
            except LeadershipLost:
                raise
            except Unavailable as error:
                missed += 1
                if missed >= RETRIES:
                    raise LeadershipLost(f"the store does not answer: {error}") from error

    def _renew(self) -> None:
        try:
            self.store.keep_alive(self.lease)
        except NotFound as error:
            if not self._again():
                raise LeadershipLost("the lease has ended and another has led since") from error
            log.warning("the lease ran out and was taken again: this host is slow")

    async def commit(self, writes: Sequence[Write]) -> None:
        """One transaction, refused by the store unless we still lead. Raises LeadershipLost or Unavailable."""
        for attempt in range(RETRIES):
            try:
                await anyio.to_thread.run_sync(self.store.commit, writes, [Compare(self.keys.term, self._term)])
                return
            except CompareFailed as error:
                raise LeadershipLost(f"another leads: {self.store.get(self.keys.leader)}") from error
            except Unavailable:
                if attempt == RETRIES - 1:
                    raise
                await asyncio.sleep(0.2)

    async def resign(self) -> None:
        """Gives the place free at once; after this nothing more is written."""
        self.held = False
        await anyio.to_thread.run_sync(self.store.revoke, self.lease)
