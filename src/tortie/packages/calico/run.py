"""`tortie packages install-framework`: the parts put together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiohttp
import msgspec

from tortie.base.errors import TortieError
from tortie.marathon.framework import Framework, FrameworkRemoved, framework_info
from tortie.marathon.leader import Leadership
from tortie.packages.calico.cluster import Cluster
from tortie.packages.calico.desk import Desk
from tortie.packages.calico.hands import OFFER_SECONDS, Hands
from tortie.packages.calico.memory import KEYS, Memory
from tortie.packages.calico.roller import Roller
from tortie.packages.calico.site import Site
from tortie.packages.calico.stations import ABSENT_SECONDS, Stations
from tortie.packages.calico.tasks import PUBLIC, Needs
from tortie.packages.calico.values import Wanted
from tortie.packages.etcd.run import FAILOVER_SECONDS, first_end
from tortie.packages.frameworks import Frameworks
from tortie.packages.rollout.artefact import Artefact
from tortie.packages.rollout.inventory import Inventory, Product
from tortie.store.open import open_store
from tortie.store.port import Datastore
from tortie.web.serve import serve, tcp_listener
from tortie.wire import mesos

NAME = "calico"
log = logging.getLogger("calico-framework")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line gives. `hostname`: how agents reach this process; `build` packs what runs here; `product`
    names what goes to every host with it."""

    masters: Sequence[str]
    store: str
    hostname: str
    port: int
    wanted: Wanted
    build: Callable[[], Artefact]
    product: Callable[[Artefact, Inventory], Product]
    needs: Needs = Needs()  # noqa: RUF009 - frozen
    address: str = "0.0.0.0"
    webui_url: str | None = None
    ttl: float = 15.0
    offer_seconds: float = OFFER_SECONDS
    absent_seconds: float = ABSENT_SECONDS


async def run(settings: Settings) -> None:
    """Until cancelled. Raises when store, leadership or framework id are lost: whoever supervises starts it again."""
    listener = tcp_listener(settings.address, settings.port)
    try:
        store = await asyncio.to_thread(open_store, settings.store)
    except TortieError:
        listener.close()
        raise
    leadership = Leadership(store, f"{settings.hostname}:{settings.port}", settings.ttl, KEYS)
    rollers: list[Roller] = []
    site = Site(lambda: rollers[0] if rollers else None, lambda: None if leadership.held else leadership.leader())
    try:
        await first_end(_lead(settings, store, leadership, rollers), serve(site.application(), [listener]))
    finally:
        if leadership.held:
            with contextlib.suppress(TortieError):
                await leadership.resign()
        store.close()


async def _lead(settings: Settings, store: Datastore, leadership: Leadership, rollers: list[Roller]) -> None:
    memory = Memory(leadership, await leadership.win())
    log.info("leading name=%s hands=%d", leadership.name, len(memory.kept.hands))
    await first_end(leadership.keep(), _roll(settings, store, memory, rollers))  # packing may outlast the lease


async def _roll(settings: Settings, store: Datastore, memory: Memory, rollers: list[Roller]) -> None:
    artefact = await asyncio.to_thread(settings.build)
    where = f"http://{settings.hostname}:{settings.port}"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:
        cluster = Cluster(http, Frameworks(http, settings.masters), settings.wanted)
        desk = Desk(where)
        hands = Hands(memory, settings.needs, desk, settings.offer_seconds)
        stations = Stations(memory.leadership, settings.needs, desk, settings.absent_seconds)
        roller = Roller(store, memory, hands, stations, cluster, settings.wanted, artefact, settings.product, where)
        hands.framework = Framework(
            settings.masters, lambda: _info(settings, memory, where), hands.on_events, hands.on_disconnect
        )
        rollers.append(roller)
        await first_end(roller.run(), _follow(hands.framework, memory, roller))


async def _follow(framework: Framework, memory: Memory, roller: Roller) -> None:
    """The subscription. A framework id that the master will not have again is forgotten; what was rolled out is not."""
    try:
        await framework.run()
    except FrameworkRemoved:
        if not roller.removed:
            await memory.change(lambda kept: msgspec.structs.replace(kept, framework_id=None, hands={}))
            raise
        await asyncio.get_running_loop().create_future()


def _info(settings: Settings, memory: Memory, where: str) -> mesos.FrameworkInfo:
    info = framework_info(
        name=NAME,
        user="root",
        role="*",
        hostname=settings.hostname,
        webui_url=settings.webui_url or f"{where}/",
        failover_timeout=FAILOVER_SECONDS,
        framework_id=memory.kept.framework_id,
        principal=NAME,
    )
    info.role, info.roles = None, ["*", PUBLIC]
    info.capabilities = [*info.capabilities, mesos.Capability(type="MULTI_ROLE")]
    return info
