"""`tortie packages install-framework`: the parts put together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiohttp
import msgspec

from tortie.framework.leader import Leadership
from tortie.framework.life import Place, Seat, first_end, live
from tortie.framework.link import Link
from tortie.packages.calico.cluster import Cluster
from tortie.packages.calico.desk import Desk
from tortie.packages.calico.hands import OFFER_SECONDS, Hands
from tortie.packages.calico.memory import KEYS, Memory
from tortie.packages.calico.roller import Roller
from tortie.packages.calico.site import Site
from tortie.packages.calico.stations import ABSENT_SECONDS, Stations
from tortie.packages.calico.tasks import PUBLIC, Needs
from tortie.packages.calico.values import Wanted
from tortie.packages.frameworks import Frameworks
from tortie.packages.rollout.artefact import Artefact
from tortie.packages.rollout.inventory import Inventory, Product
from tortie.wire import mesos

NAME = "calico"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Place):
    """What the command line gives. `build` packs what runs here; `product` names what goes to every host with it."""

    wanted: Wanted
    build: Callable[[], Artefact]
    product: Callable[[Artefact, Inventory], Product]
    needs: Needs = Needs()  # noqa: RUF009 - frozen
    offer_seconds: float = OFFER_SECONDS
    absent_seconds: float = ABSENT_SECONDS


async def run(settings: Settings) -> None:
    """Until cancelled. Raises when store, leadership or framework id are lost: whoever supervises starts it again."""

    async def lead(leadership: Leadership, items: Sequence[tuple[str, bytes]], seat: Seat[Roller]) -> None:
        await _roll(settings, Memory(leadership, items), seat)

    await live(settings, KEYS, lambda seat: Site(seat).application(), lead)


async def _roll(settings: Settings, memory: Memory, seat: Seat[Roller]) -> None:
    artefact = await asyncio.to_thread(settings.build)
    store, where = memory.leadership.store, settings.url
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:
        cluster = Cluster(http, Frameworks(http, settings.masters), settings.wanted)
        desk, link = Desk(where), Link(settings.masters, lambda: _info(settings, memory))
        hands = Hands(memory, link, settings.needs, desk, settings.offer_seconds)
        stations = Stations(memory.leadership, settings.needs, desk, settings.absent_seconds)
        roller = Roller(store, memory, hands, stations, cluster, settings.wanted, artefact, settings.product, where)
        seat.holder = roller
        await first_end(roller.run(), link.follow(hands, lambda: _forget_id(memory)))


async def _forget_id(memory: Memory) -> None:
    """One that the master will not have again; what was rolled out is not forgotten."""
    await memory.change(lambda kept: msgspec.structs.replace(kept, framework_id=None, hands={}))


def _info(settings: Settings, memory: Memory) -> mesos.FrameworkInfo:
    info = settings.info(NAME, memory.kept.framework_id, principal=NAME)
    info.role, info.roles = None, ["*", PUBLIC]
    info.capabilities = [*info.capabilities, mesos.Capability(type="MULTI_ROLE")]
    return info
