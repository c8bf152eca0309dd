"""What the door knows of the cluster: who leads, where agents, frameworks and labelled apps are.

Asked when a request needs it, not on a schedule: what is a little old serves at once and is read again beside; what is
unknown is looked for at once, so a new service has its address with its first request.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import quote

from tortie.base.errors import Invalid
from tortie.door import paths
from tortie.door.outgoing import NoAnswer
from tortie.door.pool import Pool, fetch
from tortie.door.refusal import Refusal
from tortie.door.relay import Way
from tortie.door.services import (
    AskDns,
    Frameworks,
    Server,
    Summary,
    frameworks_of,
    server_of,
    services_of,
    srv_server,
    summary_of,
)
from tortie.wire.marathon_apps import decode as decode_apps

log = logging.getLogger("door")

T = TypeVar("T")
FRESH, USABLE, LOST = 2.0, 5.0, 180.0
"""Seconds: younger needs no look; younger serves while it is read again; older is not believed when nobody answers."""
SOON = 0.25
"""Between two looks for something that was not there."""
MARATHON = "marathon"


class Kept(Generic[T]):
    """The last answer to one question. A failure is remembered for a moment, too."""

    def __init__(self, read: Callable[[], Awaitable[T]]) -> None:
        self._read = read
        self._value: T | None = None
        self._at = self._failed_at = float("-inf")
        self._failure: NoAnswer | None = None
        self._reading: asyncio.Task[T] | None = None

    async def get(self, *, newer_than: float = USABLE, lost: float = LOST) -> T:
        """Raises NoAnswer when nobody answers and what is known is older than `lost`."""
        now = asyncio.get_running_loop().time()
        age = now - self._at
        if self._value is not None and age < newer_than:
            if age >= FRESH:
                self._begin()
            return self._value
        if self._failure is not None and now - self._failed_at < SOON:
            return self._stale(self._failure, now - lost)
        try:
            return await asyncio.shield(self._begin())
        except NoAnswer as error:
            return self._stale(error, now - lost)

    def _stale(self, error: NoAnswer, oldest: float) -> T:
        if self._value is None or self._at < oldest:
            raise error
        return self._value

    def _begin(self) -> asyncio.Task[T]:
        if self._reading is None:
            self._reading = asyncio.create_task(self._renew())
            self._reading.add_done_callback(self._done)
        return self._reading

    def _done(self, task: asyncio.Task[T]) -> None:
        self._reading = None
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, NoAnswer):
            log.error("reading the cluster", exc_info=error)

    async def _renew(self) -> T:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            value = await self._read()
        except (NoAnswer, Invalid) as error:
            self._failure = error if isinstance(error, NoAnswer) else NoAnswer(str(error))
            self._failed_at = loop.time()
            raise self._failure from error
        self._value, self._at, self._failure = value, began, None
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The addresses that do not change. What a cluster has not is empty."""

    masters: Sequence[Server]
    marathons: Sequence[Server]
    marathon_user: tuple[str, str] | None = None
    """For what the door itself asks Marathon; clients bring their own."""
    mesos_dns: Server | None = None
    packages: Server | None = None
    net: Server | None = None
    balancer: Server | None = None


def _basic(user: tuple[str, str] | None) -> str:
    if user is None:
        return ""
    return f"Authorization: Basic {base64.b64encode(':'.join(user).encode()).decode()}\r\n"


class Cluster:
    def __init__(self, pool: Pool, places: Places) -> None:
        self.pool = pool
        self.places = places
        self._marathon = 0
        self._credentials = _basic(places.marathon_user)
        self._leader = Kept(self._read_leader)
        self.summary: Kept[Summary] = Kept(self._read_summary)
        self._frameworks: tuple[Summary | None, Frameworks] = (None, Frameworks())
        self.services: Kept[dict[str, Server]] = Kept(self._read_services)

    # -- reading -------------------------------------------------------------------------------------------------------

    async def _read_leader(self) -> Server:
        said = []
        for master in self.places.masters:
            try:
                head, _ = await fetch(self.pool, master, "/master/redirect")
                location = next((v for k, v in head.fields if k.lower() == b"location"), b"").decode("latin-1")
                return server_of(location if "://" in location else f"http:{location}")
            except (NoAnswer, Invalid) as error:
                said.append(str(error))
        raise NoAnswer("; ".join(said) or "no master is known", status=503)

    async def _read_summary(self) -> Summary:
        return summary_of(await self._document(await self.leader(), "/master/state-summary"))

    async def _read_services(self) -> dict[str, Server]:
        apps, problems = decode_apps(await self.of_marathon("/v2/apps?label=DCOS_SERVICE_NAME&embed=apps.tasks"))
        for problem in problems:
            log.debug("%s", problem)
        return services_of(apps)

    async def of_marathon(self, path: str) -> bytes:
        """A document of the first Marathon that answers. Raises NoAnswer."""
        said = []
        for _ in self.places.marathons:
            try:
                return await self._document(self.marathon(), path, self._credentials)
            except NoAnswer as error:
                said.append(str(error))
                self._marathon += 1
        raise NoAnswer("; ".join(said) or "no Marathon is known", status=503)

    async def _document(self, server: Server, path: str, lines: str = "") -> bytes:
        head, body = await fetch(self.pool, server, path, lines=lines)
        if head.status != 200:
            raise NoAnswer(f"{server.authority}{path}: HTTP {head.status}")
        return body

    # -- who is where --------------------------------------------------------------------------------------------------

    def marathon(self) -> Server:
        """The one that answered last. Refusal where the cluster has none."""
        if not self.places.marathons:
            raise Refusal(503, "no Marathon is known")
        return self.places.marathons[self._marathon % len(self.places.marathons)]

    async def next_marathon(self) -> Server | None:
        self._marathon += 1
        return self.marathon()

    async def leader(self, *, newer_than: float = USABLE) -> Server:
        """The leading master. Raises NoAnswer."""
        if len(self.places.masters) == 1:
            return self.places.masters[0]
        return await self._leader.get(newer_than=newer_than)

    async def next_leader(self) -> Server | None:
        try:
            return await self.leader(newer_than=SOON)
        except NoAnswer:
            return None

    async def mesos(self) -> Server:
        """As `leader`. Raises Refusal."""
        try:
            return await self.leader()
        except NoAnswer as error:
            raise Refusal(503, f"no leading master: {error}") from error

    async def frameworks(self, *, newer_than: float = USABLE) -> Frameworks:
        """Raises NoAnswer."""
        summary = await self.summary.get(newer_than=newer_than)
        if self._frameworks[0] is not summary:
            self._frameworks = summary, frameworks_of(summary)
        return self._frameworks[1]

    async def agent(self, name: str) -> Server:
        """Raises Refusal."""
        try:
            for newer_than in (USABLE, SOON):
                agents = (await self.frameworks(newer_than=newer_than)).agents
                if name in agents:
                    return agents[name]
        except NoAnswer as error:
            raise Refusal(503, "cache state is invalid") from error
        raise Refusal(404, f"agent `{name}` unknown.")

    async def service(self, target: paths.Target) -> Way:
        """The way that /service/... names: the shortest name that is known. Raises Refusal."""
        wanted = paths.names(target)
        missed: Refusal | None = None
        for newer_than in (USABLE, SOON):
            missed = None
            for name, count in wanted:
                try:
                    server = await self._named(name, newer_than)
                except Refusal as refusal:
                    missed = missed or refusal
                    continue
                if server is not None:
                    return self._way(server, target, name, count)
        raise missed or Refusal(404, "service not found.")

    def _way(self, server: Server, target: paths.Target, name: str, count: int) -> Way:
        prefix = target.before(count) if server.strip else ""
        path = target.after(count) if server.strip else target.path

        async def elsewhere() -> Server | None:
            return await self.next_marathon() if name == MARATHON else await self._named(name, SOON)

        return Way(server, path + target.query, prefix, elsewhere)

    async def _named(self, name: str, newer_than: float) -> Server | None:
        if name == MARATHON:
            return self.marathon()
        failed: Refusal | None = None
        try:
            if found := (await self.services.get(newer_than=newer_than)).get(name):
                return found
        except NoAnswer:
            failed = Refusal(503, "invalid Marathon svcapps cache")
        try:
            known = await self.frameworks(newer_than=newer_than)
        except NoAnswer:
            raise Refusal(503, "invalid Mesos state cache") from None
        server = known.by_id[name] if name in known.by_id else known.by_name.get(name)
        if isinstance(server, AskDns):
            return await self._by_dns(server.name)
        if server is None and failed is not None:
            raise failed
        return server

    async def _by_dns(self, name: str) -> Server | None:
        if self.places.mesos_dns is None:
            return None
        try:
            path = f"/v1/services/_{quote(name, safe='')}._tcp.marathon.mesos."
            return srv_server(await self._document(self.places.mesos_dns, path))
        except (NoAnswer, Invalid):
            raise Refusal(503, "MesosDNS request has failed") from None
