"""The one subscription of a framework: what is heard goes to one hearer, what is said goes out in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from tortie.framework import calls
from tortie.framework.subscription import FrameworkRemoved, Subscription
from tortie.wire import mesos

log = logging.getLogger("framework.link")


class Hearer(Protocol):
    """Told one thing after the other."""

    async def on_subscribed(self, framework_id: str) -> None:
        """Also after each break."""

    def on_offers(self, offers: Sequence[mesos.Offer]) -> None: ...

    def on_rescind(self, offer: str) -> None: ...

    def on_update(self, status: mesos.TaskStatus) -> None: ...

    async def on_disconnect(self) -> None: ...

    async def on_heard(self) -> None:
        """After all that has come at once."""


class Link:
    """`subscribed`: whether the master hears us now. What is said while it does not is dropped."""

    def __init__(self, masters: Sequence[str], info: Callable[[], mesos.FrameworkInfo]) -> None:
        self.subscribed = False
        self._torn_down = False
        self._hearer: Hearer | None = None
        self._subscription = Subscription(masters, info, self._on_events, self._on_disconnect)

    def send(self, *said: mesos.Call) -> None:
        self._subscription.send(said)

    def tear_down(self) -> None:
        """The framework and its tasks end for good."""
        self._torn_down = True
        self.send(calls.tear_down())

    async def follow(self, hearer: Hearer, removed: Callable[[], Awaitable[None]]) -> None:
        """Until cancelled. A framework that the master will not have again is forgotten by `removed`, and
        FrameworkRemoved raised, unless it was torn down here."""
        self._hearer = hearer
        try:
            await self._subscription.run()
        except FrameworkRemoved:
            if not self._torn_down:
                await removed()
                raise
            await asyncio.get_running_loop().create_future()

    async def _on_events(self, events: Sequence[mesos.Event]) -> None:
        assert self._hearer is not None
        for event in events:
            if event.subscribed is not None:
                framework_id = event.subscribed.framework_id.value
                await self._hearer.on_subscribed(framework_id)
                self.subscribed = True
                log.info("subscribed framework=%s", framework_id)
            elif event.offers is not None:
                self._hearer.on_offers(event.offers.offers)
            elif event.rescind is not None:
                self._hearer.on_rescind(event.rescind.offer_id.value)
            elif event.update is not None:
                self._hearer.on_update(event.update.status)
        await self._hearer.on_heard()

    async def _on_disconnect(self) -> None:
        assert self._hearer is not None
        if self.subscribed:
            self.subscribed = False
            await self._hearer.on_disconnect()
