"""Readiness: each new task is asked until it once says that it is ready; until then its deployment waits."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

import aiohttp

from tortie.marathon.health import NO_ADDRESS, target, url_of
from tortie.marathon.loops import Loops
from tortie.marathon.model.app import ReadinessCheck
from tortie.marathon.offers.task import readiness_port
from tortie.marathon.verdict import LastResponse

LONGEST_BODY = 10_000


@dataclass(frozen=True, slots=True)
class Awaited:
    """The check of one task that is not ready yet."""

    instance: str
    check: ReadinessCheck
    host: str
    port: int


class Readiness(Loops[Awaited]):
    """A loop for each running task that has not been ready; being asked begins at once."""

    def wanted(self) -> list[Awaited]:
        return [
            Awaited(instance.id, check, *target(app, instance, readiness_port(app, check, instance.ports)))
            for app, instance in self.running(lambda app: bool(app.readiness_checks))
            if not instance.ready
            for check in app.readiness_checks
        ]

    async def watch(self, session: aiohttp.ClientSession, key: Awaited) -> None:
        engine = self.engine
        while True:
            async with self.slots:
                response = await _ask(session, key)
            ready = response.status in key.check.codes
            await engine.do(partial(engine.brain.asked_if_ready, key.instance, response, ready))
            if ready:
                return
            await asyncio.sleep(key.check.interval_seconds)


async def _ask(session: aiohttp.ClientSession, awaited: Awaited) -> LastResponse:
    """The answer; without one, 503 with what went wrong for a body."""
    check = awaited.check
    if not awaited.host:
        return LastResponse(status=503, body=NO_ADDRESS)
    try:
        async with asyncio.timeout(check.timeout_seconds):
            url = url_of(check.protocol, awaited.host, awaited.port, check.path)
            async with session.get(url, allow_redirects=False) as reply:
                body = (await reply.content.read(LONGEST_BODY)).decode(errors="replace")
                return LastResponse(status=reply.status, content_type=reply.headers.get("Content-Type", ""), body=body)
    except TimeoutError:
        return LastResponse(status=504, body=f"no answer within {check.timeout_seconds:g} s")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return LastResponse(status=503, body=f"{type(error).__name__}: {error}")
