"""Health checks that Marathon does itself: HTTP, HTTPS and TCP. What they mean is decided by `Health`, purely."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass

import aiohttp

from tortie.marathon.clock import iso
from tortie.marathon.deploy.instance import Instance
from tortie.marathon.engine import Engine
from tortie.marathon.events import event
from tortie.marathon.model.app import App, HealthCheck
from tortie.marathon.model.show import show_health
from tortie.marathon.offers.task import health_port
from tortie.marathon.verdict import Health, after_result

FIRST_WITHIN = 5.0
log = logging.getLogger("marathon.health")


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
        known = self.engine.brain.world.instances
        for instance_id in self.engine.health.keys() - known.keys():
            del self.engine.health[instance_id]

    def _wanted(self) -> list[Watched]:
        world = self.engine.brain.world
        found = []
        for instance in world.instances.values():
            app = world.definition_of(instance)
            if app is None or not instance.running:
                continue
            for index, check in enumerate(app.health_checks):
                host, port = target(app, instance, check)
                if not check.by_mesos:
                    found.append(Watched(instance.id, index, check, host, port))
        return found

    async def _watch(self, session: aiohttp.ClientSession, watched: Watched) -> None:
        check = watched.check
        await asyncio.sleep(min(check.interval_seconds, FIRST_WITHIN))
        while True:
            failure, counts = await _ask(session, watched)
            if counts:
                await self._result(watched, failure)
            await asyncio.sleep(check.interval_seconds)

    async def _result(self, watched: Watched, failure: str | None) -> None:
        engine, check = self.engine, watched.check
        instance = engine.brain.world.instances.get(watched.instance)
        if instance is None:
            return
        known = engine.health.setdefault(instance.id, {})
        before = known.get(watched.index, Health())
        now = engine.clock()
        after, kill = after_result(before, check, failure, now, instance.started_at or now)
        known[watched.index] = after
        app = engine.brain.world.definition_of(instance)
        total = sum(not c.by_mesos for c in app.health_checks) if app else 1
        alive = all(health.alive for health in known.values()) and (len(known) == total or not after.alive)
        if failure is not None:
            about = {"appId": instance.app, "taskId": instance.id, "instanceId": instance.id}
            shown = {"healthCheck": show_health(check), "cause": failure}
            engine.broadcast.publish(event("failed_health_check_event", now, **about, **shown))
        if alive != instance.healthy and (len(known) == total or not alive):
            await engine.do(lambda at: engine.brain.healthy(instance.id, alive, at))
        if kill:
            await engine.do(lambda at: self._kill(instance, failure or "", at))

    def _kill(self, instance: Instance, cause: str, now: float) -> None:
        brain = self.engine.brain
        about = {"appId": instance.app, "taskId": instance.id, "instanceId": instance.id, "version": instance.version}
        reason = f"Task was killed since health check failed. Reason: {cause}"
        for kind in ("unhealthy_task_kill_event", "unhealthy_instance_kill_event"):
            where = {"host": instance.host, "slaveId": instance.agent}
            brain.world.out.events.append(event(kind, now, **about, **where, reason=cause))
        brain.failed(instance, "TASK_KILLED", reason, now)
        if current := brain.world.instances.get(instance.id):
            brain.kill([current], now)
        log.info("killed task=%s at=%s cause=%s", instance.id, iso(now), cause)


def target(app: App, instance: Instance, check: HealthCheck) -> tuple[str, int]:
    """Host and port to ask: the task's own address where it has one ("" when it is not known yet), else the agent's."""
    own = app.ip_address is not None or (app.docker is not None and app.docker.user_network is not None)
    host = (instance.addresses[0] if instance.addresses else "") if own else instance.host
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
