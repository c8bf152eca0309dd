"""`tortie marathon run`: the parts of Marathon put together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tortie.base.errors import TortieError
from tortie.framework.leader import Leadership
from tortie.framework.life import first_end
from tortie.framework.subscription import FrameworkRemoved, Subscription, framework_info
from tortie.marathon.api.apps import Apps
from tortie.marathon.api.groups import Groups
from tortie.marathon.api.plans import WholePlans
from tortie.marathon.api.site import Site, application
from tortie.marathon.api.subscriptions import Subscriptions
from tortie.marathon.api.system import About, System
from tortie.marathon.api.tasks import Tasks
from tortie.marathon.brain import Brain, Options
from tortie.marathon.callbacks import Callbacks
from tortie.marathon.engine import Engine
from tortie.marathon.guard import Guard
from tortie.marathon.health import Checker
from tortie.marathon.launcher import Launcher
from tortie.marathon.pages import pages
from tortie.marathon.readiness import Readiness
from tortie.marathon.standby import Door
from tortie.marathon.world import KEYS, World
from tortie.store.open import open_store
from tortie.web.serve import Tls, serve, tcp_listener
from tortie.wire import mesos

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
    http_disabled: bool = False
    https_port: int | None = None
    https_address: str = "0.0.0.0"
    tls: Tls | None = None
    credentials: str | None = None
    realm: str = "Mesosphere"
    origins: Sequence[str] = ()
    endpoints: Sequence[str] | None = None
    options: Options = field(default_factory=Options)

    @property
    def scheme(self) -> str:
        return "https" if self.http_disabled else "http"

    @property
    def port(self) -> int:
        """The one that others are told."""
        return self.https_port if self.http_disabled and self.https_port else self.http_port


def build(
    settings: Settings, leadership: Leadership, items: Sequence[tuple[str, bytes]]
) -> tuple[Engine, Any, Callbacks]:
    """The engine, the site and the tellers of events for what the store holds."""
    brain = Brain(World.load(items), settings.options, lambda: str(uuid.uuid4()))
    launcher = Launcher(brain, random.Random(), lambda: str(uuid.uuid1()))
    engine = Engine(brain, launcher, leadership)

    def info() -> mesos.FrameworkInfo:
        return framework_info(
            name=settings.framework_name,
            user=settings.mesos_user,
            role=settings.mesos_role,
            hostname=settings.hostname,
            webui_url=settings.webui_url or f"{settings.scheme}://{settings.hostname}:{settings.port}",
            failover_timeout=settings.failover_timeout,
            framework_id=engine.brain.world.framework_id,
            principal=settings.principal,
        )

    engine.framework = Subscription(settings.masters, info, engine.on_events, engine.on_disconnect)
    about = About(_config(settings), settings.http_port, settings.https_port, settings.endpoints)
    subscriptions = Subscriptions(engine, settings.endpoints)
    engine.broadcast.expand = WholePlans(brain)
    callbacks = Callbacks(subscriptions.urls, engine.broadcast.expand, engine.clock)
    engine.broadcast.handlers.append(callbacks.heard)
    site = Site(Apps(engine), Groups(engine), Tasks(engine), System(engine, leadership, about), subscriptions)
    return engine, application(site, pages()), callbacks


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
    listeners = _listeners(settings)
    store = await asyncio.to_thread(open_store, settings.store)
    leadership = Leadership(store, f"{settings.hostname}:{settings.port}", KEYS)
    door = Door(leadership, settings.scheme)
    guard = Guard(door, credentials=settings.credentials, realm=settings.realm, origins=settings.origins)
    try:
        serving = [serve(guard, [listener], tls) for listener, tls in listeners]
        await first_end(_lead(settings, leadership, door), *serving)
    finally:
        await door.close()
        if leadership.held:
            with contextlib.suppress(TortieError):
                await leadership.resign()
        store.close()


def _listeners(settings: Settings) -> list[tuple[socket.socket, Tls | None]]:
    """Both, or neither when one of them cannot be had."""
    listeners: list[tuple[socket.socket, Tls | None]] = []
    try:
        if not settings.http_disabled:
            listeners.append((tcp_listener(settings.http_address, settings.http_port), None))
        if settings.tls is not None and settings.https_port is not None:
            settings.tls.check()
            listeners.append((tcp_listener(settings.https_address, settings.https_port), settings.tls))
    except TortieError:
        for listener, _ in listeners:
            listener.close()
        raise
    return listeners


async def _lead(settings: Settings, leadership: Leadership, door: Door) -> None:
    items = await leadership.win()
    engine, site, callbacks = build(settings, leadership, items)
    door.open(site)
    log.info("leading name=%s apps=%d tasks=%d", leadership.name, len(engine.brain.world.tree.apps), len(items))
    assert engine.framework is not None
    try:
        checks = (Checker(engine).run(), Readiness(engine).run())
        await first_end(leadership.keep(), engine.run(), engine.framework.run(), callbacks.run(), *checks)
    except FrameworkRemoved:
        await engine.do(lambda _now: engine.brain.world.forget_framework())
        raise
    finally:
        door.shut()
