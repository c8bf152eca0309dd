"""The life of a framework's process: its pages from the start, its work once it leads."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from starlette.types import ASGIApp

from tortie.base.errors import TortieError
from tortie.framework.leader import TTL, Keys, Leadership
from tortie.framework.subscription import framework_info
from tortie.store.open import open_store
from tortie.web.serve import serve, tcp_listener
from tortie.wire import mesos

FAILOVER_SECONDS = 604800.0
STANDBY = "another process of this framework leads, at {}: this one takes over when that ends"
L = TypeVar("L")
log = logging.getLogger("framework")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the process runs, and whom it speaks to. `hostname`: how agents reach it; `ttl`: of the leader's place."""

    masters: Sequence[str]
    store: str
    hostname: str
    port: int
    address: str = "0.0.0.0"
    webui_url: str | None = None
    ttl: float = TTL

    @property
    def url(self) -> str:
        """Of its pages."""
        return f"http://{self.hostname}:{self.port}"

    def info(self, name: str, framework_id: str | None, principal: str | None = None) -> mesos.FrameworkInfo:
        """Who the framework says it is."""
        return framework_info(
            name=name,
            user="root",
            role="*",
            hostname=self.hostname,
            webui_url=self.webui_url or f"{self.url}/",
            failover_timeout=FAILOVER_SECONDS,
            framework_id=framework_id,
            principal=principal,
        )


class Seat(Generic[L]):
    """The leader's, as pages see it. `holder`: who leads in this process; None while another does, or nobody yet."""

    def __init__(self, other: Callable[[], str | None]) -> None:
        self.holder: L | None = None
        self._other = other

    async def standby(self) -> str:
        """Why there is no holder."""
        try:
            other = await asyncio.to_thread(self._other)
        except TortieError as error:
            return f"the store: {error}"
        return STANDBY.format(other) if other else "starting"


Lead = Callable[[Leadership, Sequence[tuple[str, bytes]], Seat[L]], Awaitable[None]]


async def live(place: Place, keys: Keys, pages: Callable[[Seat[L]], ASGIApp], lead: Lead[L]) -> None:
    """Until cancelled: `pages` are served, and `lead` runs once this process leads, with what is stored. Raises when
    store, leadership or framework id are lost: whoever supervises starts it again."""
    listener = tcp_listener(place.address, place.port)
    try:
        store = await asyncio.to_thread(open_store, place.store)
    except TortieError:
        listener.close()
        raise
    leadership = Leadership(store, f"{place.hostname}:{place.port}", keys, place.ttl)
    seat: Seat[L] = Seat(lambda: None if leadership.held else leadership.leader())
    try:
        await first_end(_lead(leadership, seat, lead), serve(pages(seat), [listener]))
    finally:
        if leadership.held:
            with contextlib.suppress(TortieError):
                await leadership.resign()
        store.close()


async def _lead(leadership: Leadership, seat: Seat[L], lead: Lead[L]) -> None:
    """The lease is renewed from the first moment: whatever `lead` begins with may outlast it."""
    items = await leadership.win()
    log.info("leading name=%s", leadership.name)
    await first_end(leadership.keep(), lead(leadership, items, seat))


async def first_end(*parts: Awaitable[None]) -> None:
    """Runs the parts together until one ends; its failure is raised as it is."""
    running = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            one.result()
    finally:
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)
