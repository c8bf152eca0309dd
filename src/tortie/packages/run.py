"""`tortie packages run`: the package service's parts put together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tortie.packages import signing
from tortie.packages.cosmos import Cosmos
from tortie.packages.frameworks import Frameworks
from tortie.packages.front import application
from tortie.packages.repositories import DEFAULT, Repositories
from tortie.packages.served import ServedRepository
from tortie.packages.sources import Trust
from tortie.packages.universe import Repository
from tortie.store.open import open_store
from tortie.web.serve import serve, tcp_listener
from tortie.wire.marathon import MarathonClient

log = logging.getLogger("packages")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line gives. `keys` holds the pair that our own repository is signed with."""

    host: str
    port: int
    marathon: Sequence[str]
    masters: Sequence[str]
    store: str
    repositories: Sequence[Repository] = DEFAULT
    trusted: Sequence[Path] = ()
    unsigned: Sequence[str] = ()
    keys: Path | None = None
    user: tuple[str, str] | None = None
    ca: str | None = None


async def run(settings: Settings) -> None:
    """Until cancelled."""
    for key in settings.trusted:
        await asyncio.to_thread(signing.check_public, key)
    served = ServedRepository(await asyncio.to_thread(_own_key, settings.keys)) if settings.keys else None
    listener = tcp_listener(settings.host, settings.port)
    store = await asyncio.to_thread(open_store, settings.store)
    marathon = MarathonClient(settings.marathon, user=settings.user, ca=settings.ca)
    try:
        async with aiohttp.ClientSession() as http, marathon:
            trust = Trust(settings.trusted, settings.unsigned)
            repositories = Repositories(store, http, trust=trust, default=settings.repositories)
            cosmos = Cosmos(repositories, marathon, Frameworks(http, settings.masters))
            log.info("serving on %s:%d for %s", settings.host, settings.port, ", ".join(settings.marathon))
            await serve(application(cosmos, http, served), [listener])
    finally:
        listener.close()
        store.close()


def _own_key(folder: Path) -> Path:
    """The private key, made at the first start."""
    private, public = folder / "signing-key.pem", folder / "signing-key.pub.pem"
    if not private.exists():
        public.unlink(missing_ok=True)  # half of a pair that was never finished
        signing.generate(private, public)
        log.info("made a key to sign our own repository with; others trust it by %s", public)
    return private
