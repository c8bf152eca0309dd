"""Keeps this host's engine and the table of declared networks alike, without Swarm, in both directions."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import cast

import anyio
import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Conflict, Invalid, TortieError, Unavailable
from tortie.model.codec import UNREADABLE
from tortie.plugins.calls import blocking
from tortie.plugins.docker.driver import Driver
from tortie.plugins.docker.names import DRIVER
from tortie.plugins.docker.networks import BOTH, REMOVED, TABLE, Declared, Plan, plan, replica_labels
from tortie.plugins.docker.ports import Engine, LocalNetwork, NetworkEvent
from tortie.store.follow import follow
from tortie.store.port import Compare, CompareFailed, Drop, Event, Put

log = logging.getLogger("docker.networks")

RETRY_SECONDS = 1.0
LONGEST_RETRY = 15.0


class Replicator:
    """One host's side of it. `settled` is set whenever engine and table agree, for those who wait for that."""

    def __init__(self, driver: Driver, engine: Engine, on_engine: Callable[[], None] = lambda: None) -> None:
        self._driver = driver
        self._store = driver.datastore
        self._engine = engine
        self._on_engine = on_engine
        self._table: dict[str, tuple[Declared, int]] = {}
        self._removed: dict[str, str] = {}
        self._ours: dict[str, str] = {}
        self._dropping: set[str] = set()
        self._reported: dict[str, str] = {}
        self._wake = anyio.Event()
        self._turn = anyio.Lock()
        self._listed = False
        self._engine_up = False

    async def run(self) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._follow)
            group.start_soon(self._watch_engine)
            await self._settle_forever()

    # What is learned

    async def _follow(self) -> None:
        """A store that is away for a while is followed again when it is back."""
        told = False
        while True:
            try:
                stream = cast("AsyncGenerator[tuple[bool, list[Event]], None]", follow(self._store, BOTH))
                async with aclosing(stream):
                    async for whole, events in stream:
                        self._learn(whole, events)
                        self._nudge()
                        told = False
            except Unavailable as error:
                if not told:
                    log.warning("cannot follow the networks: %s", error)
                told = True
            await anyio.sleep(RETRY_SECONDS)

    def _learn(self, whole: bool, events: list[Event]) -> None:
        if whole:
            self._table.clear()
            self._removed.clear()
            self._listed = True
        for event in events:
            if event.key.startswith(TABLE):
                self._learn_declared(event)
            elif event.value is None:
                self._removed.pop(event.key.removeprefix(REMOVED), None)
            else:
                self._removed[event.key.removeprefix(REMOVED)] = event.value.decode(errors="replace")

    def _learn_declared(self, event: Event) -> None:
        name = event.key.removeprefix(TABLE)
        self._table.pop(name, None)
        if event.value is not None:
            try:
                self._table[name] = (msgspec.json.decode(event.value, type=ready(Declared)), event.revision)
            except UNREADABLE as error:
                log.error("declaration of network %s cannot be read: %s", name, error)

    async def _watch_engine(self) -> None:
        """One line of log when the engine comes and one when it goes, however long it is away."""
        wait = RETRY_SECONDS
        while True:
            try:
                stream = cast("AsyncGenerator[NetworkEvent, None]", self._engine.events())
                async with aclosing(stream):
                    async for event in stream:
                        wait = RETRY_SECONDS
                        await self._learn_event(event)
                raise Unavailable("its event stream ended")
            except Unavailable as error:
                if self._engine_up or wait == RETRY_SECONDS:
                    log.warning("the engine does not answer, networks are compared when it is back: %s", error)
                self._engine_up = False
            await anyio.sleep(wait)
            wait = min(wait * 1.5, LONGEST_RETRY / 5)

    async def _learn_event(self, event: NetworkEvent) -> None:
        if event.action == "up":
            log.info("the engine answers")
            self._engine_up = True
            self._on_engine()
        elif event.action == "destroy" and event.driver == DRIVER:
            await self._undeclare(event.network_id)
        if event.action in {"up", "create", "destroy", "disconnect"}:
            self._nudge()

    async def _undeclare(self, network_id: str) -> None:
        """A user removed a declared network here: it goes everywhere. What we removed ourselves says nothing."""
        async with self._turn:  # one that was being declared when it went is declared by now
            await self._undeclare_now(network_id)

    async def _undeclare_now(self, network_id: str) -> None:
        name = self._ours.pop(network_id, None)
        if network_id in self._dropping:
            self._dropping.discard(network_id)
            return
        if name is None or name not in self._table:
            return
        declared, revision = self._table[name]
        marks = [
            Put(REMOVED + original, host.encode())
            for original, host in declared.originals.items()
            if original != network_id
        ]
        try:
            await blocking(self._store.commit, [Drop(TABLE + name), *marks], [Compare(TABLE + name, revision)])
            if name in self._table and self._table[name][1] == revision:
                del self._table[name]
            log.info("network %s was removed here, so it goes everywhere", name)
        except CompareFailed:
            log.info("network %s was declared anew while it was removed here", name)
        except Unavailable as error:
            log.error("the removal of network %s could not be passed on: %s", name, error)

    def _nudge(self) -> None:
        self._wake.set()

    # What is done

    async def _settle_forever(self) -> None:
        wait = RETRY_SECONDS
        while True:
            settled = not (self._listed and self._engine_up) or await self._settle_once()
            wait = RETRY_SECONDS if settled else min(wait * 2, LONGEST_RETRY)
            with anyio.move_on_after(LONGEST_RETRY * 4 if settled else wait):
                await self._wake.wait()
            self._wake = anyio.Event()

    async def _settle_once(self) -> bool:
        """One round; False when something is left to be tried again."""
        async with self._turn:
            return await self._settle_now()

    async def _settle_now(self) -> bool:
        try:
            local = await self._engine.networks()
        except Unavailable as error:
            log.debug("list of networks: %s", error)
            return False
        todo = plan({n: d for n, (d, _) in self._table.items()}, self._removed, local, self._driver.node)
        self._ours.update(todo.ours)  # an id stays known: its removal may be listed before its event is heard
        self._report(todo)
        results = [
            *[await self._try(f"declare network {d.name}", self._publish, d) for d in todo.publish],
            *[await self._try(f"remove network {n.name}", self._remove, n) for n in todo.remove],
            *[await self._try(f"create network {d.name}", self._create, d) for d in todo.create],
        ]
        for network_id in todo.forget:
            await blocking(self._store.commit, [Drop(REMOVED + network_id)])
        return all(results)

    async def _try(self, what: str, do: Callable[..., object], subject: Declared | LocalNetwork) -> bool:
        """A failure is said once for as long as it stays the same."""
        try:
            await do(subject)  # type: ignore[misc]
        except (Conflict, Unavailable, Invalid) as error:
            self._say(what, str(error))
            return False
        except TortieError as error:
            self._say(what, str(error))
            return True
        self._reported.pop(what, None)
        return True

    def _report(self, todo: Plan) -> None:
        for name, reason in todo.clashes.items():
            self._say(f"network {name} is not what was declared", reason)

    def _say(self, what: str, reason: str) -> None:
        if self._reported.get(what) != reason:
            self._reported[what] = reason
            log.warning("%s: %s", what, reason)

    async def _publish(self, declared: Declared) -> None:
        """The profile first: whoever sees the network in the table can use its profile."""
        known = self._table.get(declared.name)
        await blocking(self._driver.ensure_profile, declared.name)
        revision = await blocking(
            self._store.commit,
            [Put(TABLE + declared.name, msgspec.json.encode(declared))],
            [Compare(TABLE + declared.name, known[1] if known else 0)],
        )
        if self._table.get(declared.name) == known:
            self._table[declared.name] = (declared, revision)
        here = [id_ for id_, host in declared.originals.items() if host == self._driver.node]
        self._ours.update(dict.fromkeys(here, declared.name))
        log.info("network %s is declared to all hosts", declared.name)

    async def _create(self, declared: Declared) -> None:
        created = await self._engine.create_network(
            declared.name, declared.subnet, replica_labels(declared), ipv6=declared.ipv6
        )
        self._ours[created] = declared.name
        log.info("network %s was created as declared", declared.name)

    async def _remove(self, network: LocalNetwork) -> None:
        self._dropping.add(network.id)
        try:
            await self._engine.remove_network(network.id)
        except TortieError:
            self._dropping.discard(network.id)
            raise
        if network.id in self._removed:
            await blocking(self._store.commit, [Drop(REMOVED + network.id)])
        log.info("network %s was removed as it is no longer declared", network.name)
