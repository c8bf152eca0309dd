"""One event loop owns the state: operations run one after the other, each stored before anybody hears of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import groupby
from typing import Any, TypeVar

from tortie.base.errors import TortieError, Unavailable
from tortie.framework.leader import Leadership
from tortie.framework.subscription import Subscription
from tortie.marathon.brain import Brain
from tortie.marathon.events import event as make
from tortie.marathon.launcher import Launcher
from tortie.marathon.stream import Broadcast
from tortie.marathon.world import Effects
from tortie.wire import mesos

T = TypeVar("T")
TICK = 0.5
log = logging.getLogger("marathon")


class Engine:
    """Runs decisions and does what they ask for: write, then tell, then call the master."""

    def __init__(
        self, brain: Brain, launcher: Launcher, leadership: Leadership, clock: Callable[[], float] = time.time
    ) -> None:
        self.brain = brain
        self.launcher = launcher
        self.leadership = leadership
        self.clock = clock
        self.broadcast = Broadcast()
        self.framework: Subscription | None = None
        self.started = clock()
        self.health = brain.results
        self._turn = asyncio.Lock()
        self._failed: asyncio.Future[None] | None = None

    async def do(self, decide: Callable[[float], T]) -> T:
        """Runs one decision, then everything that follows from it; errors of the decision reach the caller.

        Returns once its writes are in the store. When they cannot be written the whole program ends: what it knows is
        then ahead of the store.
        """
        async with self._turn:
            now = self.clock()
            try:
                answer = decide(now)
            finally:
                self.brain.settle(now)
                self.launcher.tick(now)
                await self._carry_out(self.brain.world.take())
        return answer

    async def _carry_out(self, effects: Effects) -> None:
        if effects.writes:
            try:
                await self.leadership.commit(list(effects.writes.values()))
            except TortieError as error:
                self.give_up(error)
                raise Unavailable(f"the change could not be stored: {error}") from error
        for event in effects.events:
            self.broadcast.publish(event)
        if self.framework is not None:
            self.framework.send(effects.calls)

    def give_up(self, error: TortieError) -> None:
        """`run` ends with this error, and with it the program."""
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)

    async def run(self) -> None:
        """The passing of time, until cancelled; raises when the store or the leadership is lost."""
        self._failed = asyncio.get_running_loop().create_future()
        while True:
            await self.do(self.brain.tick)
            done, _ = await asyncio.wait({self._failed}, timeout=TICK)
            if done:
                self._failed.result()

    # -- what the framework hears --------------------------------------------------------------------------------------

    async def on_events(self, events: Sequence[mesos.Event]) -> None:
        """Updates that came together are one decision, and one write."""
        for kind, group in groupby(events, key=lambda event: event.type):
            handler = _HANDLERS.get(kind)
            if handler is not None:
                await handler(self, list(group))

    async def on_disconnect(self) -> None:
        await self.do(self._disconnected)

    def _disconnected(self, now: float) -> None:
        self.launcher.disconnected()
        self.brain.world.out.events.append(make("scheduler_disconnected_event", now))


async def _subscribed(engine: Engine, events: Sequence[mesos.Event]) -> None:
    subscribed = events[-1].subscribed
    assert subscribed is not None
    framework_id = subscribed.framework_id.value
    master = engine.framework.leader if engine.framework else None

    def decide(now: float) -> None:
        known = engine.brain.world.framework_id
        kind = "scheduler_reregistered_event" if known == framework_id else "scheduler_registered_event"
        engine.launcher.subscribed(framework_id, now)
        engine.brain.world.out.events.append(make(kind, now, frameworkId=framework_id, master=master))

    log.info("subscribed framework=%s master=%s", framework_id, master)
    await engine.do(decide)


async def _offers(engine: Engine, events: Sequence[mesos.Event]) -> None:
    for offers in [event.offers.offers for event in events if event.offers is not None]:
        await engine.do(partial(engine.launcher.offers, offers))


async def _updates(engine: Engine, events: Sequence[mesos.Event]) -> None:
    statuses = [event.update.status for event in events if event.update is not None]

    def decide(now: float) -> None:
        for status in statuses:
            engine.brain.status(status, now)

    await engine.do(decide)


_HANDLERS: dict[str, Callable[[Engine, Sequence[mesos.Event]], Awaitable[Any]]] = {
    "SUBSCRIBED": _subscribed,
    "OFFERS": _offers,
    "UPDATE": _updates,
}
