"""`tortie marathon run`: the parts of Marathon put together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from tortie.base.errors import TortieError
from tortie.marathon.api.apps import Apps
from tortie.marathon.api.groups import Groups
from tortie.marathon.api.site import Site, application
from tortie.marathon.api.system import About, System
from tortie.marathon.api.tasks import Tasks
from tortie.marathon.brain import Brain, Options
from tortie.marathon.engine import Engine
from tortie.marathon.framework import Framework, FrameworkRemoved, framework_info
from tortie.marathon.health import Checker
from tortie.marathon.launcher import Launcher
from tortie.marathon.leader import Leadership
from tortie.marathon.pages import pages
from tortie.marathon.world import World
from tortie.store.open import open_store
from tortie.web.serve import serve, tcp_listener
from tortie.wire import mesos

PATIENCE = 2.5
log = logging.getLogger("marathon")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line gives."""

    masters: Sequence[str]
    store: str
    hostname: str
    http_address: str = "0.0.0.0"
    http_port: int = 8080
    framework_name: str = "marathon"
    mesos_role: str = "*"
    mesos_user: str = "root"
    principal: str | None = None
    failover_timeout: float = 604800.0
    webui_url: str | None = None
    options: Options = field(default_factory=Options)


class _Door:
    """The site once we lead. Until then a request waits a little, as long as the original looks for a leader."""

    def __init__(self, leadership: Leadership) -> None:
        self.leadership = leadership
        self.ready = asyncio.Event()
        self.site: Any = None

    def open(self, site: Any) -> None:
        self.site = site
        self.ready.set()

    def shut(self) -> None:
        self.site = None
        self.ready.clear()

    def _named(self, send: Send) -> Send:
        """Every answer of the leader carries its address."""

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                header = (b"x-marathon-leader", f"http://{self.leadership.name}".encode())
                message = {**message, "headers": [*message.get("headers", ()), header]}
            await send(message)

        return send_named

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self.site is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self.ready.wait()
        if self.site is not None and scope["type"] != "lifespan":
            await self.site(scope, receive, self._named(send))
        elif scope["type"] == "http":
            text = "Could not determine the current leader: this Marathon waits for its turn.\n"
            path = Request(scope).url.path
            reply = PlainTextResponse("pong" if path == "/ping" else text, 200 if path == "/ping" else 503)
            await reply(scope, receive, send)
        elif scope["type"] == "lifespan":
            while True:
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
                if kind == "lifespan.shutdown":
                    return


def build(settings: Settings, leadership: Leadership, items: Sequence[tuple[str, bytes]]) -> tuple[Engine, Any]:
    """The engine and the site for what the store holds."""
    brain = Brain(World.load(items), settings.options, lambda: str(uuid.uuid4()))
    launcher = Launcher(brain, random.Random(), lambda: str(uuid.uuid1()))
    engine = Engine(brain, launcher, leadership)

    def info() -> mesos.FrameworkInfo:
        return framework_info(
            name=settings.framework_name,
            user=settings.mesos_user,
            role=settings.mesos_role,
            hostname=settings.hostname,
            webui_url=settings.webui_url or f"http://{settings.hostname}:{settings.http_port}",
            failover_timeout=settings.failover_timeout,
            framework_id=engine.brain.world.framework_id,
            principal=settings.principal,
        )

    engine.framework = Framework(settings.masters, info, engine.on_event, engine.on_disconnect)
    system = System(engine, leadership, About(_config(settings), settings.http_port))
    return engine, application(Site(Apps(engine), Groups(engine), Tasks(engine), system), pages())


def _config(settings: Settings) -> dict[str, Any]:
    options = settings.options
    return {
        "master": ",".join(settings.masters),
        "failover_timeout": settings.failover_timeout,
        "framework_name": settings.framework_name,
        "ha": True,
        "checkpoint": True,
        "local_port_min": options.port_min,
        "local_port_max": options.port_max,
        "executor": "//cmd",
        "hostname": settings.hostname,
        "webui_url": settings.webui_url,
        "mesos_role": settings.mesos_role,
        "task_launch_timeout": int(options.launch_seconds * 1000),
        "reconciliation_initial_delay": int(options.reconcile_first_seconds * 1000),
        "reconciliation_interval": int(options.reconcile_seconds * 1000),
        "mesos_user": settings.mesos_user,
        "features": [],
    }


async def run(settings: Settings) -> None:
    """Until cancelled. Raises when leadership, store or framework id are lost: a supervisor starts us again."""
    listener = tcp_listener(settings.http_address, settings.http_port)
    store = await asyncio.to_thread(open_store, settings.store)
    leadership = Leadership(store, f"{settings.hostname}:{settings.http_port}")
    door = _Door(leadership)
    try:
        await _first_failure(_lead(settings, leadership, door), serve(door, [listener]))
    finally:
        if leadership.held:
            with contextlib.suppress(TortieError):
                await leadership.resign()
        store.close()


async def _lead(settings: Settings, leadership: Leadership, door: _Door) -> None:
    items = await leadership.win()
    engine, site = build(settings, leadership, items)
    door.open(site)
    log.info("leading name=%s apps=%d tasks=%d", leadership.name, len(engine.brain.world.tree.apps), len(items))
    assert engine.framework is not None
    try:
        await _first_failure(leadership.keep(), engine.run(), engine.framework.run(), Checker(engine).run())
    except FrameworkRemoved:
        await engine.do(lambda _now: engine.brain.world.forget_framework())
        raise
    finally:
        door.shut()


async def _first_failure(*parts: Any) -> None:
    """Runs the parts together until one ends; its failure is raised as it is."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
