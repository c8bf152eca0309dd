"""Health checks that Marathon does itself: HTTP, HTTPS and TCP. What they mean is decided elsewhere, purely."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

import aiohttp

from tortie.marathon.deploy.instance import Instance
from tortie.marathon.loops import Loops
from tortie.marathon.model.app import App, HealthCheck
from tortie.marathon.offers.task import health_port

FIRST_WITHIN = 5.0
NO_ADDRESS = "unable to get the task's effective IP address"


@dataclass(frozen=True, slots=True)
class Watched:
    """One check of one task: a new definition or a new address is another one."""

    instance: str
    index: int
    check: HealthCheck
    host: str
    port: int


class Checker(Loops[Watched]):
    """A loop for each check of each running task; what its results mean is decided by the brain."""

    def wanted(self) -> list[Watched]:
        found = []
        for app, instance in self.running(lambda app: bool(app.health_checks)):
            for index, check in enumerate(app.health_checks):
                if not check.by_mesos:
                    host, port = target(app, instance, health_port(app, check, instance.ports))
                    found.append(Watched(instance.id, index, check, host, port))
        return found

    async def watch(self, session: aiohttp.ClientSession, key: Watched) -> None:
        check, engine = key.check, self.engine
        await asyncio.sleep(min(check.interval_seconds, FIRST_WITHIN))
        while True:
            async with self.slots:
                failure, counts = await _ask(session, key)
            if counts:
                await engine.do(partial(engine.brain.checked_here, key.instance, key.index, failure))
            await asyncio.sleep(check.interval_seconds)


def target(app: App, instance: Instance, port: int | None) -> tuple[str, int]:
    """Host and port to ask: the task's own address where it has one ("" when it is not known yet), else the agent's."""
    host = (instance.addresses[0] if instance.addresses else "") if app.own_address else instance.host
    return host, port or 0


def url_of(protocol: str, host: str, port: int, path: str) -> str:
    where = f"[{host}]" if ":" in host else host
    return f"{protocol.lower()}://{where}:{port}{path if path.startswith('/') else '/' + path}"


async def _ask(session: aiohttp.ClientSession, watched: Watched) -> tuple[str | None, bool]:
    """What failed (None: nothing), and whether the result counts at all."""
    if not watched.host:
        return f"Health check failed: {NO_ADDRESS}", True
    try:
        async with asyncio.timeout(watched.check.timeout_seconds):
            if watched.check.protocol == "TCP":
                _, writer = await asyncio.open_connection(watched.host, watched.port)
                writer.close()
                return None, True
            return await _get(session, watched)
    except TimeoutError:
        return f"no answer within {watched.check.timeout_seconds:g} s", True
    except (aiohttp.ClientError, OSError) as error:
        return f"{type(error).__name__}: {error}", True


async def _get(session: aiohttp.ClientSession, watched: Watched) -> tuple[str | None, bool]:
    check = watched.check
    url = url_of(check.protocol, watched.host, watched.port, check.path or "/")
    async with session.get(url, allow_redirects=False) as reply:
        if 100 <= reply.status < 200 and check.ignore_http1xx:
            return None, False
        return (None if 200 <= reply.status < 400 else f"{reply.status} {reply.reason}"), True
