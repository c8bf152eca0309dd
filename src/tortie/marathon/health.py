"""Health checks that Marathon does itself: HTTP, HTTPS and TCP. What they mean is decided elsewhere, purely."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from functools import partial

import aiohttp

from tortie.marathon.deploy.instance import Instance
from tortie.marathon.engine import Engine
from tortie.marathon.model.app import App, HealthCheck
from tortie.marathon.offers.task import health_port

FIRST_WITHIN = 5.0


@dataclass(frozen=True, slots=True)
class Watched:
    """One check of one task: a new definition or a new address is another one."""

    instance: str
    index: int
    check: HealthCheck
    host: str
    port: int


class Checker:
    """Keeps one loop per running task and check, and tells the engine what each result means."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._loops: dict[Watched, asyncio.Future[None]] = {}
        self._changed = asyncio.Event()
        engine.broadcast.handlers.append(self._heard)

    def _heard(self, item: dict[str, object]) -> None:
        if item["eventType"] in ("status_update_event", "group_change_success", "deployment_success"):
            self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=100, ssl=False)) as session:
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
        want = set(self._wanted())
        for gone in self._loops.keys() - want:
            self._loops.pop(gone).cancel()
        for new in want - self._loops.keys():
            self._loops[new] = asyncio.ensure_future(self._watch(session, new))

    def _wanted(self) -> list[Watched]:
        world = self.engine.brain.world
        found = []
        checked = {key for (key, _), app in world.definitions.items() if app.health_checks}
        for instance in (i for key in checked for i in world.instances_of(key)):
            app = world.definition_of(instance)
            if app is None or not instance.running:
                continue
            for index, check in enumerate(app.health_checks):
                host, port = target(app, instance, check)
                if not check.by_mesos:
                    found.append(Watched(instance.id, index, check, host, port))
        return found

    async def _watch(self, session: aiohttp.ClientSession, watched: Watched) -> None:
        check, engine = watched.check, self.engine
        await asyncio.sleep(min(check.interval_seconds, FIRST_WITHIN))
        while True:
            failure, counts = await _ask(session, watched)
            if counts:
                await engine.do(partial(engine.brain.checked_here, watched.instance, watched.index, failure))
            await asyncio.sleep(check.interval_seconds)


def target(app: App, instance: Instance, check: HealthCheck) -> tuple[str, int]:
    """Host and port to ask: the task's own address where it has one ("" when it is not known yet), else the agent's."""
    host = (instance.addresses[0] if instance.addresses else "") if app.own_address else instance.host
    return host, health_port(app, check, instance.ports) or 0


async def _ask(session: aiohttp.ClientSession, watched: Watched) -> tuple[str | None, bool]:
    """What failed (None: nothing), and whether the result counts at all."""
    if not watched.host:
        return "Health check failed: unable to get the task's effective IP address", True
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
    host = f"[{watched.host}]" if ":" in watched.host else watched.host
    path = check.path or "/"
    url = f"{check.protocol.lower()}://{host}:{watched.port}{path if path.startswith('/') else '/' + path}"
    async with session.get(url, allow_redirects=False) as reply:
        if 100 <= reply.status < 200 and check.ignore_http1xx:
            return None, False
        return (None if 200 <= reply.status < 400 else f"{reply.status} {reply.reason}"), True
