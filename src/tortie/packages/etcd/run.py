"""`tortie packages etcd-framework`: the parts put together."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tortie.framework.leader import Keys, Leadership
from tortie.framework.life import Place, Seat, first_end, live
from tortie.framework.link import Link
from tortie.framework.memory import Memory
from tortie.packages.etcd.api import Etcd
from tortie.packages.etcd.engine import Engine
from tortie.packages.etcd.site import Site
from tortie.packages.etcd.tasks import Needs
from tortie.packages.etcd.values import Kept, Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Place):
    """What the command line gives."""

    needs: Needs
    wanted: Wanted = field(default_factory=Wanted)


def keys(framework: str) -> Keys:
    """Where the framework of this name keeps what must outlive it, and who of several leads."""
    base = "/tortie/v1/packages/etcd"
    return Keys(f"{base}/{framework}/", f"{base}-leader/{framework}", f"{base}-term/{framework}")


async def run(settings: Settings) -> None:
    """Until cancelled. Raises when store, leadership or framework id are lost: whoever supervises starts it again."""
    name = settings.needs.framework
    with tempfile.TemporaryDirectory(prefix="etcd-seeds-") as made:
        folder = Path(made)

        async def lead(leadership: Leadership, items: Sequence[tuple[str, bytes]], seat: Seat[Engine]) -> None:
            await _mend(settings, Memory(leadership, Kept, items), seat, folder)

        await live(settings, keys(name), lambda seat: Site(seat, folder, name).application(), lead)


async def _mend(settings: Settings, memory: Memory[Kept], seat: Seat[Engine], folder: Path) -> None:
    link = Link(settings.masters, lambda: settings.info(settings.needs.framework, memory.kept.framework_id))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:
        engine = Engine(memory, link, Etcd(http), settings.needs, settings.wanted, folder=folder, url=settings.url)
        seat.holder = engine
        # A framework that the master will not have again is forgotten with its members.
        await first_end(engine.run(), link.follow(engine, memory.forget))
