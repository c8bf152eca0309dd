"""This host as a station: it announces itself in the cluster's store and runs the roller's hand when it is asked there.

Who may write to that store may do anything on the cluster; here, too, it is who is believed.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anyio
import msgspec
from msgspec.structs import replace

from tortie.base.errors import Conflict, Invalid, NotFound, TortieError, Unavailable
from tortie.packages.station_hand import Gone, Hand, Lock, clear
from tortie.packages.stations import Request, Station, read_request, read_station, request_key, station_key
from tortie.store.port import Compacted, Compare, CompareFailed, Datastore, Drop, KeyValue, Put, Watch

FOLDER = Path("/run/tortie/station")
LEASE_SECONDS = 15.0
RETRY_SECONDS = 1.0
TAKING_SECONDS = 10.0
log = logging.getLogger("station")


@dataclass(frozen=True, slots=True)
class Settings:
    """`me`: what is announced, without a session; `folder`: where this host's stations know of each other."""

    me: Station
    folder: Path = FOLDER
    ttl: float = LEASE_SECONDS
    hand: Callable[[Path], Hand] = Hand


async def run(store: Datastore, settings: Settings) -> None:
    """Until cancelled; then nothing of it is at work any more. Conflict when this host has another station."""
    keeper = Keeper(store, settings)
    thread = asyncio.ensure_future(asyncio.to_thread(keeper.run))
    try:
        await asyncio.shield(thread)
    except asyncio.CancelledError:
        keeper.stop()
        with anyio.CancelScope(shield=True):
            await thread
        raise


class _Work:
    """One request being done, in a thread of its own."""

    def __init__(self, hand: Hand, item: KeyValue, request: Request, tell: Callable[[], None]) -> None:
        self.item, self.ended = item, False
        self._request, self._hand, self._tell = request, hand, tell
        self._thread = threading.Thread(target=self._run, name=f"hand-{request.id}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            log.info("request=%s begins", self._request.id)
            code = self._hand.work(self._request)
            log.info("request=%s ended with %d", self._request.id, code)
        except Gone as error:
            log.info("request=%s: %s", self._request.id, error)
        except TortieError as error:
            log.error("request=%s: %s", self._request.id, error)
        finally:
            self.ended = True
            self._tell()

    def end(self) -> None:
        """Returns once nothing of it is at work."""
        self._hand.end()
        self._thread.join()


class Keeper:
    """`run` is a thread of its own until `stop` is called."""

    def __init__(self, store: Datastore, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self._me = replace(settings.me, session=uuid.uuid4().hex)
        self._key, self._request = station_key(self._me.name), request_key(self._me.name)
        self._ending = threading.Event()
        self._lease: int | None = None
        self._work: _Work | None = None
        self._watch: Watch | None = None

    def stop(self) -> None:
        self._ending.set()
        self._wake()

    def run(self) -> None:
        """Conflict when another process of this host is a station."""
        lock = Lock(self._settings.folder / "lock")
        lock.take(TAKING_SECONDS)
        said = ""
        try:
            while not self._ending.is_set():
                try:
                    self._turn()
                except (Unavailable, Conflict, Invalid, Compacted) as error:
                    if said != str(error):
                        log.warning("%s", said := str(error))
                    self._ending.wait(RETRY_SECONDS)
        finally:
            try:
                self._leave()
            finally:
                lock.leave()

    def _leave(self) -> None:
        if self._work is not None:
            self._work.end()
        if self._lease is not None:
            try:
                self._store.revoke(self._lease)
            except Unavailable as error:
                log.warning("the announcement stays until its lease ends: %s", error)

    def _turn(self) -> None:
        """Announces itself when nothing of a hand of before is left, and does what is asked until the lease is lost."""
        if self._work is None:
            clear(self._settings.folder)
        self._announce()
        log.info("announced name=%s addresses=%s", self._me.name, ",".join(self._me.addresses))
        while not self._ending.is_set():
            revision = self._store.list(self._request).revision
            self._follow()
            self._wait(revision)
            try:
                self._store.keep_alive(self._lease or 0)
            except NotFound:
                log.warning("the lease ran out: this host is slow, or the store was away")
                return

    def _announce(self) -> None:
        """Conflict when another host has the name; a process before this one on this host has none any more."""
        there = self._store.get(self._key)
        other = read_station(there.value) if there else None
        if other is not None and other.boot != self._me.boot:
            raise Conflict(f"another host announces itself as {self._me.name}: {', '.join(other.addresses)}")
        lease = self._store.grant(self._settings.ttl)
        try:
            mine = Put(self._key, msgspec.json.encode(self._me), lease)
            self._store.commit([mine], [Compare(self._key, there.revision if there else 0)])
        except TortieError:
            self._store.revoke(lease)
            raise
        self._lease = lease

    def _follow(self) -> None:
        """What is at work is what stands in the store."""
        item = self._store.get(self._request)
        if self._work is not None:
            if item is not None and self._work.item.revision == item.revision:
                if self._work.ended:
                    self._drop(item)
                    self._work = None
                return
            self._work.end()
            self._work = None
        if item is None:
            return
        try:
            request = read_request(item.value)
        except Invalid as error:
            log.error("%s: %s", item.key, error)
            self._drop(item)
            return
        self._work = _Work(self._settings.hand(self._settings.folder), item, request, self._wake)

    def _drop(self, item: KeyValue) -> None:
        try:
            self._store.commit([Drop(item.key)], [Compare(item.key, item.revision)])
        except CompareFailed:
            return  # another request stands there by now

    def _wait(self, revision: int) -> None:
        """Until something is different, or a part of the lease is over."""
        self._watch = watch = self._store.watch(self._request, revision)
        try:
            if not self._ending.is_set() and not (self._work and self._work.ended):
                watch.next(self._settings.ttl / 4)
        finally:
            self._watch = None
            watch.close()

    def _wake(self) -> None:
        """From other threads."""
        if (watch := self._watch) is not None:
            watch.close()
