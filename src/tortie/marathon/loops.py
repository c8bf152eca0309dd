"""One loop for everything that is to be watched over HTTP, begun and ended as tasks come and go."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import aiohttp

from tortie.marathon.deploy.instance import Instance
from tortie.marathon.engine import Engine
from tortie.marathon.model.app import App

K = TypeVar("K")
AT_ONCE = 400
MOMENTS = ("status_update_event", "group_change_success", "deployment_success")
log = logging.getLogger("marathon.checks")


class Loops(ABC, Generic[K]):
    """`wanted` says what is to be watched now, `watch` does it for one of them until cancelled or done.

    A question waits for one of the `slots` before its own time begins: many that nobody answers make the others later,
    not wrong. Each has a connection of its own: one that stays open would hide that a policy has closed.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._loops: dict[K, asyncio.Future[None]] = {}
        self._changed = asyncio.Event()
        self.slots = asyncio.Semaphore(AT_ONCE)
        engine.broadcast.handlers.append(self._heard)

    @abstractmethod
    def wanted(self) -> Iterable[K]:
        """A key for each loop; another key is another loop."""

    @abstractmethod
    async def watch(self, session: aiohttp.ClientSession, key: K) -> None:
        """One loop. Ending it is fine: it is begun again while it is wanted."""

    def running(self, concerned: Callable[[App], bool]) -> Iterable[tuple[App, Instance]]:
        """Every running task of apps that are or were concerned, with the definition it was made from."""
        world = self.engine.brain.world
        apps = {app_id for (app_id, _), app in world.definitions.items() if concerned(app)}
        for instance in (i for app_id in apps for i in world.instances_of(app_id)):
            app = world.definition_of(instance) if instance.running else None
            if app is not None:
                yield app, instance

    def _heard(self, item: dict[str, object]) -> None:
        if item["eventType"] in MOMENTS:
            self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        connector = aiohttp.TCPConnector(limit=0, force_close=True, ssl=False)
        async with aiohttp.ClientSession(connector=connector) as session:
            try:
                while True:
                    self._changed.clear()
                    self._keep(session)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(30):
                            await self._changed.wait()
            finally:
                for loop in self._loops.values():
                    loop.cancel()
                await asyncio.gather(*self._loops.values(), return_exceptions=True)

    def _keep(self, session: aiohttp.ClientSession) -> None:
        for key in [key for key, loop in self._loops.items() if loop.done()]:
            loop = self._loops.pop(key)
            if not loop.cancelled() and (error := loop.exception()):
                log.error("watching %s ended", key, exc_info=error)
        want = set(self.wanted())
        for gone in self._loops.keys() - want:
            self._loops.pop(gone).cancel()
        for new in want - self._loops.keys():
            self._loops[new] = asyncio.ensure_future(self.watch(session, new))
