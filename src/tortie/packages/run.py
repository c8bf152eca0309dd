"""`tortie packages run`: the package service's parts put together."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import anyio

from tortie.base.errors import Invalid
from tortie.base.meant import meant
from tortie.packages import signing, station
from tortie.packages.cosmos import Cosmos
from tortie.packages.frameworks import Frameworks
from tortie.packages.front import application
from tortie.packages.parting import Parting
from tortie.packages.repositories import DEFAULT, Repositories
from tortie.packages.served import ServedRepository
from tortie.packages.sources import Trust, built_in
from tortie.packages.universe import Repository
from tortie.store.open import open_store
from tortie.store.port import Datastore
from tortie.web.serve import serve, tcp_listener
from tortie.wire.marathon import MarathonClient

KEYS = Path("/var/lib/tortie/packages")
log = logging.getLogger("packages")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line gives. `share` is where other clusters find our own repository, signed with the key in
    `keys`; it serves nothing else. `station`: this host's part in rollouts, if it has one; `defaults`: by package."""

    host: str
    port: int
    marathon: Sequence[str]
    masters: Sequence[str]
    store: str
    repositories: Sequence[Repository] = DEFAULT
    trusted: Sequence[Path] = ()
    unsigned: Sequence[str] = ()
    share: tuple[str, int] | None = None
    keys: Path = KEYS
    station: station.Settings | None = None
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    user: tuple[str, str] | None = None
    ca: str | None = None


async def run(settings: Settings) -> None:
    """Until cancelled."""
    for key in settings.trusted:
        await asyncio.to_thread(signing.check_public, key)
    sites: list[tuple[Any, socket.socket]] = []
    listener = tcp_listener(settings.host, settings.port)
    try:
        if settings.share is not None:
            served = ServedRepository(await asyncio.to_thread(_own_key, settings.keys))
            sites.append((served.application(), tcp_listener(*settings.share)))
        store = await asyncio.to_thread(open_store, settings.store)
        try:
            await _serve(settings, store, listener, sites)
        finally:
            store.close()
    finally:
        for one in (listener, *(other for _, other in sites)):
            one.close()


async def _serve(
    settings: Settings, store: Datastore, listener: socket.socket, sites: Sequence[tuple[Any, socket.socket]]
) -> None:
    marathon = MarathonClient(settings.marathon, user=settings.user, ca=settings.ca)
    async with aiohttp.ClientSession() as http, marathon, anyio.create_task_group() as group:
        trust = Trust(settings.trusted, settings.unsigned)
        repositories = Repositories(store, http, trust=trust, default=settings.repositories)
        await check_defaults(repositories, settings.defaults)
        cosmos = Cosmos(
            repositories, marathon, Frameworks(http, settings.masters), Parting(http, marathon), settings.defaults
        )
        log.info("serving on %s:%d for %s", settings.host, settings.port, ", ".join(settings.marathon))
        for app, other in ((application(cosmos, http), listener), *sites):
            group.start_soon(serve, app, [other])
        if settings.station is not None:
            group.start_soon(station.run, store, settings.station)


async def check_defaults(repositories: Repositories, defaults: Mapping[str, Any]) -> None:
    """Invalid names packages that there are not: their options would have no effect. While a repository cannot be read
    nobody knows that; the log says it then."""
    if defaults.keys() <= {package.name for package in built_in()}:
        return
    names, unread = await repositories.names()
    wrong = [f"--defaults: there is no package {name}{meant(name, names)}" for name in defaults if name not in names]
    if wrong and not unread:
        raise Invalid(*wrong)
    for text in wrong:
        log.warning("%s (as far as can be told: %s)", text, "; ".join(unread))


def _own_key(folder: Path) -> Path:
    """The private key, made at the first start."""
    private, public = folder / "signing-key.pem", folder / "signing-key.pub.pem"
    if not private.exists():
        public.unlink(missing_ok=True)  # half of a pair that was never finished
        signing.generate(private, public)
        log.info("made a key to sign our own repository with; others trust it by %s", public)
    return private
