"""Following a Mesos master: the cluster is read now and then, its changes are heard, the listings kept true."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import aiohttp

from tortie.base.errors import TortieError, Unavailable
from tortie.dns.events import RELOAD, Event, apply
from tortie.dns.listing import Listing
from tortie.dns.records import names_to_resolve
from tortie.dns.source import MesosMaster, NoStream, resolve_host
from tortie.dns.state import Cluster
from tortie.dns.zone import Authority

log = logging.getLogger("dns")

_SETTLE = 0.02
_SLICE = 0.004
_RESOLVE_EVERY = 60.0
_AGAIN = 2.0


@dataclass(frozen=True, slots=True)
class Masters:
    """Whom to follow. `refresh`: seconds between two readings that nothing asked for; `while_hearing`: the same, if it
    is more, while events are heard."""

    addresses: tuple[str, ...]
    refresh: float
    timeout: float
    while_hearing: float = 0.0
    tls: ssl.SSLContext | None = None
    headers: Mapping[str, str] | None = None


class Follower:
    """Keeps `listings` true to the masters' cluster. A zone opens when it is listed for the first time."""

    def __init__(self, masters: Masters, listings: Sequence[Listing], authority: Authority) -> None:
        self.cluster = Cluster()
        self._masters = masters
        self._listings = tuple(listings)
        self._authority = authority
        self._stale = asyncio.Event()
        self._heard: list[Event] | None = None
        self._hosts: dict[str, tuple[str, ...]] = {}
        self._resolved_at = 0.0
        self._hearing = False
        self._reachable: bool | None = None

    async def run(self) -> None:
        """Until cancelled. A master that is away changes nothing: the records stay."""
        masters = self._masters
        connector = aiohttp.TCPConnector(ssl=masters.tls) if masters.tls else None
        async with (
            aiohttp.ClientSession(headers=masters.headers, connector=connector) as http,
            asyncio.TaskGroup() as group,
        ):
            master = MesosMaster(http, masters.addresses, masters.timeout, tls=masters.tls is not None)
            group.create_task(self._hear(master))
            group.create_task(self._resolve())
            while True:
                self._stale.clear()
                began = time.monotonic()
                pause = await self._read(master)
                cost = time.monotonic() - began
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._stale.wait()
                # A large state is read at most a third of the time, a small one after the events have settled.
                await asyncio.sleep(max(_SETTLE, 3 * cost - (time.monotonic() - began)))

    async def _read(self, master: MesosMaster) -> float:
        """Read and list; the seconds to wait until the next look."""
        # What is told while the state is on its way may be newer than the state: it is applied to both.
        self._heard = []
        try:
            cluster = Cluster.of(await master.read(), self._hosts)
            for event in self._heard:
                apply(cluster, event)
        except TortieError as problem:
            if self._reachable is not False:
                log.warning("no state from the Mesos master, keeping the records: %s", problem)
            self._reachable = False
            return min(self._masters.refresh, _AGAIN)
        finally:
            self._heard = None
        self.cluster = cluster
        await self._list()
        if self._reachable is not True:
            log.info("reading state from %s", master.leader)
        self._reachable = True
        return max(self._masters.refresh, self._masters.while_hearing) if self._hearing else self._masters.refresh

    async def _list(self) -> None:
        for listing in self._listings:
            await _in_slices(listing.whole(self.cluster))
            if not listing.zone.ready:
                log.info("zone %s: %d names", listing.zone.apex.domain, len(listing.book))
                self._authority.open(listing.zone)
        self._stamp()

    def _stamp(self) -> None:
        """A new serial for what has changed."""
        for listing in self._listings:
            if listing.changes:
                listing.changes = 0
                listing.zone.stamp(int(time.time()))

    def _tell(self, events: list[Event]) -> None:
        """Events change the answers at once; what they do not tell whole is read."""
        if self._heard is not None:
            self._heard += events
        self._hearing = True
        outcomes = [apply(self.cluster, event) for event in events]
        if RELOAD in outcomes:
            self._stale.set()
        tasks = {changed.task for changed in outcomes if changed is not None and changed.task is not None}
        for listing in self._listings if tasks else ():
            listing.tasks(self.cluster, tasks)
        self._stamp()

    async def _hear(self, master: MesosMaster) -> None:
        """Subscribe to the master's events; a master that offers none is asked again now and then."""
        while True:
            pause = 0.5
            try:
                await master.hear(self._tell)
                self._stale.set()
            except NoStream as problem:
                log.debug("no event stream: %s", problem)
                pause = 15.0
            except Unavailable as problem:
                log.debug("event stream: %s", problem)
                self._stale.set()
            self._hearing = False
            await asyncio.sleep(pause)

    async def _resolve(self) -> None:
        """Look up the host names in the state, beside the refresh: a slow resolver delays no task's record."""
        while True:
            await asyncio.sleep(0.5)
            now = time.monotonic()
            wanted = names_to_resolve(self.cluster, self._masters.addresses)
            if wanted <= self._hosts.keys() and now - self._resolved_at < _RESOLVE_EVERY:
                continue
            found = {name: await resolve_host(name) or self._hosts.get(name, ()) for name in sorted(wanted)}
            self._resolved_at = now
            if found != self._hosts:
                self._hosts = found
                self.cluster.hosts = found
                self._stale.set()


async def _in_slices(steps: Iterator[None]) -> None:
    """Go through the steps; questions are answered between them."""
    began = time.monotonic()
    for _ in steps:
        if time.monotonic() - began > _SLICE:
            await asyncio.sleep(0)
            began = time.monotonic()
