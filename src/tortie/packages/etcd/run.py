"""`tortie packages etcd-framework`: the parts put together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tortie.base.errors import TortieError
from tortie.marathon.framework import Framework, framework_info
from tortie.marathon.leader import Leadership
from tortie.packages.etcd.api import Etcd
from tortie.packages.etcd.engine import Engine
from tortie.packages.etcd.memory import keys, load
from tortie.packages.etcd.site import Site
from tortie.packages.etcd.tasks import Needs
from tortie.packages.etcd.values import Wanted
from tortie.store.open import open_store
from tortie.web.serve import serve, tcp_listener
from tortie.wire import mesos

FAILOVER_SECONDS = 604800.0
log = logging.getLogger("etcd-framework")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line gives. `hostname`: how agents reach this process; `ttl`: of the place of the leader."""

    masters: Sequence[str]
    store: str
    hostname: str
    port: int
    needs: Needs
    address: str = "0.0.0.0"
    webui_url: str | None = None
    wanted: Wanted = field(default_factory=Wanted)
    ttl: float = 15.0


async def run(settings: Settings) -> None:
    """Until cancelled. Raises when store, leadership or framework id are lost: whoever supervises starts it again."""
    name = settings.needs.framework
    listener = tcp_listener(settings.address, settings.port)
    try:
        store = await asyncio.to_thread(open_store, settings.store)
    except TortieError:
        listener.close()
        raise
    leadership = Leadership(store, f"{settings.hostname}:{settings.port}", settings.ttl, keys(name))
    engines: list[Engine] = []
    try:
        with tempfile.TemporaryDirectory(prefix="etcd-seeds-") as folder:
            site = Site(lambda: engines[0] if engines else None, Path(folder), name)
            leading = _lead(settings, leadership, engines, Path(folder))
            await first_end(leading, serve(site.application(), [listener]))
    finally:
        if leadership.held:
            with contextlib.suppress(TortieError):
                await leadership.resign()
        store.close()


async def _lead(settings: Settings, leadership: Leadership, engines: list[Engine], folder: Path) -> None:
    kept = load(await leadership.win())
    log.info("leading name=%s members=%d", leadership.name, len(kept.members))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:
        url = f"http://{settings.hostname}:{settings.port}"
        engine = Engine(kept, leadership, Etcd(http), settings.needs, settings.wanted, folder=folder, url=url)
        engine.master.framework = Framework(
            settings.masters, lambda: _info(settings, engine), engine.on_events, engine.on_disconnect
        )
        engines.append(engine)
        await first_end(leadership.keep(), engine.run(), engine.follow())


def _info(settings: Settings, engine: Engine) -> mesos.FrameworkInfo:
    return framework_info(
        name=settings.needs.framework,
        user="root",
        role="*",
        hostname=settings.hostname,
        webui_url=settings.webui_url or f"http://{settings.hostname}:{settings.port}/",
        failover_timeout=FAILOVER_SECONDS,
        framework_id=engine.kept.framework_id,
    )


async def first_end(*parts: Coroutine[Any, Any, None]) -> None:
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
