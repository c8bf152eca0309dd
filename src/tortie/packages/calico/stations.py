"""Hands on stations: each request is written where the host's station reads it; its answer comes as a task's does."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from tortie.base.errors import Invalid, Unavailable
from tortie.framework.leader import Leadership
from tortie.framework.memory import commit
from tortie.packages.calico import tasks
from tortie.packages.calico.desk import Asked, Desk, Said
from tortie.packages.rollout.reach import SECONDS, given, hand, understood
from tortie.packages.stations import STATIONS, Request, Station, read_station, request_key, station_key
from tortie.store.port import Compare, CompareFailed, Datastore, Drop, Put

ABSENT_SECONDS = 60.0
LOOK_SECONDS = 1.0
ENDING_SECONDS = 5.0
log = logging.getLogger("calico-framework")


class Stations:
    """A station does one request at a time, the one that stands in the store; whoever leads the framework writes it."""

    def __init__(
        self, leadership: Leadership, needs: tasks.Needs, desk: Desk, absent_seconds: float = ABSENT_SECONDS
    ) -> None:
        self._store: Datastore = leadership.store
        self._leadership, self._needs, self._desk = leadership, needs, desk
        self._absent_seconds = absent_seconds
        self._turns: dict[str, asyncio.Lock] = {}

    async def there(self) -> list[Station]:
        """Those that announce themselves now. Unavailable when one of them cannot be read."""
        listing = await asyncio.to_thread(self._store.list, STATIONS)
        found = []
        for item in listing.items:
            try:
                found.append(read_station(item.value))
            except Invalid as error:
                raise Unavailable(f"{item.key} of the cluster's store: {error}") from error
        return found

    async def ask(self, host: str, request: Mapping[str, Any], payload: bytes) -> dict[str, Any]:
        """The hand's answer. StepFailed with its reason; Unavailable when the station is away or has given up."""
        async with self._turns.setdefault(host, asyncio.Lock()):
            with self._desk.asking(given(request, payload)) as asked:
                argv = tasks.runner(self._needs, len(hand()))
                made = Request(f"{request['do']}-{request['step'] or 'all'}.{uuid.uuid4()}", asked.url, tuple(argv))
                await self._write(host, made)
                log.info("host=%s request=%s", host, made.id)
                try:
                    said = await self._wait(host, made, asked)
                except Unavailable:
                    await self._withdraw(host, made)
                    raise
            await asyncio.to_thread(self._ended, host, made)
        return understood(host, said.code, said.out, said.err.strip())

    async def _write(self, host: str, made: Request) -> None:
        """In place of what stands there: a station ends that before it begins this."""
        await commit(self._leadership, [Put(request_key(host), msgspec.json.encode(made))])

    async def _wait(self, host: str, made: Request, asked: Asked) -> Said:
        now = time.monotonic()
        ends, seen = now + SECONDS, now
        text = msgspec.json.encode(made)
        while asked.said is None:
            try:
                there, stands = await asyncio.to_thread(self._look, host)
            except Unavailable as error:  # a store that is away for a moment does not end what is at work
                log.info("host=%s request=%s: %s", host, made.id, error)
                there, stands = False, text
            if asked.said is not None:
                break
            if stands != text:
                raise Unavailable(f"{host}: its station has ended {made.id} without an answer")
            now = time.monotonic()
            seen = now if there else seen
            if now - seen > self._absent_seconds:
                raise Unavailable(f"{host}: its station has been away for {self._absent_seconds:g} s")
            if now > ends:
                raise Unavailable(f"{host}: no answer within {SECONDS:g} s")
            await self._desk.hear(LOOK_SECONDS)
        return asked.said

    def _look(self, host: str) -> tuple[bool, bytes | None]:
        """Whether the station is there, and which request stands."""
        there, stands = self._store.get(station_key(host)), self._store.get(request_key(host))
        return there is not None, stands.value if stands else None

    def _ended(self, host: str, made: Request) -> None:
        """Returns once the station says that it has ended; one that does not say so soon ends it with the next."""
        key, ends = request_key(host), time.monotonic() + ENDING_SECONDS
        watch = self._store.watch(key, self._store.list(key).revision)
        try:
            while (there := self._store.get(key)) is not None and there.value == msgspec.json.encode(made):
                if (left := ends - time.monotonic()) < 0:
                    return
                watch.next(left)
        finally:
            watch.close()

    async def _withdraw(self, host: str, made: Request) -> None:
        """So that the station ends it, now or when it comes back."""

        def drop() -> None:
            there = self._store.get(request_key(host))
            if there is not None and there.value == msgspec.json.encode(made):
                self._store.commit([Drop(there.key)], [Compare(there.key, there.revision)])

        try:
            await asyncio.to_thread(drop)
        except CompareFailed:
            return  # the station was quicker
