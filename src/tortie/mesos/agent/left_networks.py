"""Networks of containers that are no more: given back as soon as whoever must do it can."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

import anyio

from tortie.base.errors import TortieError
from tortie.mesos.agent.networks import Networks

log = logging.getLogger("agent")
FIRST = 5.0
LONGEST = 600.0


@dataclass(slots=True)
class _Attempt:
    at: float = 0.0
    wait: float = FIRST


class LeftNetworks:
    """`alive`: the ids of all containers that have, or are about to have, their networks. It may fail: nothing is given
    back without its word."""

    def __init__(self, networks: Networks, alive: Callable[[], Awaitable[Collection[str]]]) -> None:
        self.networks = networks
        self.alive = alive
        self._attempts: dict[str, _Attempt] = {}

    async def run(self) -> None:
        """Until cancelled. What fails is tried again, less and less often."""
        while True:
            try:
                await self.once(anyio.current_time())
            except (TortieError, OSError) as error:
                log.debug("networks that are left: %s", error)
            await anyio.sleep(FIRST)

    async def once(self, now: float) -> None:
        """Each that is due, one after the other."""
        kept = self.networks.kept()
        alive = await self.alive()
        left = [container_id for container_id in kept if container_id not in alive]
        self._attempts = {c: self._attempts.get(c, _Attempt()) for c in left}
        for container_id, attempt in self._attempts.items():
            if now < attempt.at:
                continue
            try:
                await self.networks.leave(container_id)
            except (TortieError, OSError) as error:
                log.warning("%s; trying again in %g seconds", error, attempt.wait)
                attempt.at = now + attempt.wait
                attempt.wait = min(attempt.wait * 2, LONGEST)
