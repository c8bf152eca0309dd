"""The door as a program."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import ssl
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tortie.base.errors import Invalid, Unavailable
from tortie.door import tokens
from tortie.door.cluster import Cluster, Places
from tortie.door.front import Front
from tortie.door.guard import Credentials, Guard, static_token
from tortie.door.incoming import Incoming
from tortie.door.pool import Pool
from tortie.door.site import About, Site
from tortie.door.watch import Watch
from tortie.web.serve import Tls, tcp_listener

MOST_CONNECTIONS = 4096
HEAD_SECONDS, IDLE_SECONDS, STALL_SECONDS = 30.0, 75.0, 600.0
"""For the head of a request; between two requests; without a byte while one is being sent or an answer taken."""
SWEEP = 2.0
END_SECONDS = 1.0
"""For what is under way when the door ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`users` and `token` are files; with neither there is no log-in."""

    listen: Sequence[tuple[str, int]]
    places: Places
    about: About
    state: Path
    users: Path | None = None
    token: Path | None = None
    tls: Tls | None = None
    answer_seconds: float = 3600.0


class Connections:
    """Who is connected, and who has been too long at what."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._all: set[Incoming] = set()
        self._empty = asyncio.Event()

    def protocol(self) -> Incoming:
        return Incoming(self._front, self._joined)

    def _joined(self, client: Incoming, here: bool) -> bool:
        if not here:
            self._all.discard(client)
            if not self._all:
                self._empty.set()
            return True
        self._all.add(client)
        return len(self._all) <= MOST_CONNECTIONS

    def sweep(self, now: float) -> None:
        """Ends those that keep a place without using it."""
        for client in list(self._all):
            client.sweep(now, head=HEAD_SECONDS, idle=IDLE_SECONDS, stall=STALL_SECONDS)

    async def close(self) -> None:
        """Lets answers that are short be finished; cuts the rest."""
        for client in list(self._all):
            client.finish()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS if self._all else 0):
                self._empty.clear()
                await self._empty.wait()
        for client in list(self._all):
            client.transport.abort()


async def run(options: Options) -> None:
    """Serve until cancelled. Invalid for a file that cannot be used, Unavailable for an address that is taken."""
    guard = _guard(options)
    tls = _tls(options.tls)
    listeners = [tcp_listener(host, port) for host, port in options.listen]
    pool = Pool()
    cluster = Cluster(pool, options.places)
    site = Site(options.about, Watch(cluster, options.about.links), guard)
    connections = Connections(Front(cluster, site, guard, seconds=options.answer_seconds))
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(connections.protocol, sock=sock, ssl=tls) for sock in listeners]
    try:
        while True:
            await asyncio.sleep(SWEEP)
            connections.sweep(loop.time())
            pool.sweep()
    finally:
        for server in servers:
            server.close()
        await connections.close()
        pool.close()


def _tls(given: Tls | None) -> ssl.SSLContext | None:
    if given is None:
        return None
    given.check()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(given.path, password=given.password or "")
    return context


def _guard(options: Options) -> Guard | None:
    if options.users is None and options.token is None:
        return None
    try:
        users = tokens.users_of(_text(options.users)) if options.users else {}
    except Invalid as error:
        raise Invalid(*(f"{options.users}: {problem}" for problem in error.problems)) from error
    static = static_token(_text(options.token)) if options.token else ""
    return Guard(Credentials(users, secret(options.state), static), time.time)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def secret(state: Path) -> bytes:
    """What tokens are signed with, made once and kept: a restart ends no log-in."""
    return bytes.fromhex(_kept(state / "secret", secrets.token_hex(32)))


def cluster_id(state: Path) -> str:
    """The name of the cluster for its clients, made once and kept."""
    return _kept(state / "cluster-id", str(uuid.uuid4()))


def _kept(path: Path, new: str) -> str:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(new + "\n")
        try:
            os.link(beside, path)  # whoever comes first makes it, whole
        except FileExistsError:
            pass
        finally:
            beside.unlink()
        return path.read_text().strip()
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}") from error
