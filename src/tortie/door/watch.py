"""Looking at the cluster for the front page, only while somebody looks at it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Invalid
from tortie.door.board import Probe, Rollout, Seen, board
from tortie.door.cluster import SOON, Cluster, Kept
from tortie.door.links import Link, Links
from tortie.door.outgoing import NoAnswer
from tortie.door.pool import fetch
from tortie.door.services import Server, Summary
from tortie.wire.marathon_apps import App
from tortie.wire.marathon_apps import decode as decode_apps

ROLLER = "calico"
"""The name under which the framework of the package calico registers."""
EVERY, BEAT = 2.0, 10.0
SECONDS = 3.0
"""A program that takes longer to say that it is there counts as away."""


class Watch:
    def __init__(self, cluster: Cluster, links: Sequence[Link] = ()) -> None:
        self._cluster = cluster
        self._links = Links(cluster.pool, links)
        self._seen = Kept(self._look)

    async def seen(self) -> Seen:
        """At most some seconds old."""
        return await self._seen.get(newer_than=EVERY)

    async def boards(self) -> AsyncIterator[dict[str, Any] | None]:
        """The page's contents now, and again whenever they change; None when nothing has for a while."""
        last: dict[str, Any] | None = None
        loop = asyncio.get_running_loop()
        said = loop.time()
        while True:
            found = board(await self.seen())
            if found != last:
                last, said = found, loop.time()
                yield found
            elif loop.time() - said > BEAT:
                said = loop.time()
                yield None
            await asyncio.sleep(EVERY)

    async def _look(self) -> Seen:
        summary, (apps, deployments), probes, links = await asyncio.gather(
            self._summary(),
            self._apps(),
            asyncio.gather(*(self._probe(*known) for known in self._known())),
            self._links.probes(),
        )
        master = await self._master(summary)
        marathon = self._marathon(apps)
        rollout = None if isinstance(summary, NoAnswer) else await self._rollout(summary)
        door = Probe("dcos-adminrouter.service", "Entry door", "this page")
        parts = [*master, *marathon, *probes, door]
        return Seen(parts, _or_none(summary), _or_none(apps), deployments, rollout, links)

    def _known(self) -> list[tuple[str, str, str, Server, str]]:
        places = self._cluster.places
        found = (
            ("dcos-mesos-dns.service", "Mesos-DNS", "mesos_dns/v1/enumerate", places.mesos_dns, "/v1/version"),
            ("dcos-cosmos.service", "Packages", "", places.packages, "/capabilities"),
            ("dcos-net.service", "Resolver", "net/v1/version", places.net, "/v1/version"),
            ("marathon-lb.service", "Balancer", "balancer/haproxy?stats", places.balancer, "/_haproxy_health_check"),
        )
        return [(unit, title, link, server, path) for unit, title, link, server, path in found if server is not None]

    async def _probe(self, unit: str, title: str, link: str, server: Server, path: str) -> Probe:
        try:
            head, _ = await fetch(self._cluster.pool, server, path, seconds=SECONDS)
        except NoAnswer as error:
            return Probe(unit, title, server.authority, link, str(error))
        failure = f"HTTP {head.status}" if head.status >= 500 else ""
        return Probe(unit, title, server.authority, link, failure)

    async def _summary(self) -> Summary | NoAnswer:
        try:
            return await self._cluster.summary.get(newer_than=SOON, lost=0)
        except NoAnswer as error:
            return error

    async def _apps(self) -> tuple[Sequence[App] | NoAnswer, int]:
        path = "/v2/apps?embed=apps.counts&embed=apps.deployments"
        try:
            apps, _ = decode_apps(await self._cluster.of_marathon(path))
        except (NoAnswer, Invalid) as error:
            return error if isinstance(error, NoAnswer) else NoAnswer(str(error)), 0
        return apps, len({deployment.id for app in apps for deployment in app.deployments or ()})

    async def _master(self, summary: Summary | NoAnswer) -> list[Probe]:
        if isinstance(summary, NoAnswer):
            return [Probe("dcos-mesos-master.service", "Mesos master", "", "mesos/", str(summary))]
        try:
            leader = await self._cluster.leader()
        except NoAnswer as error:
            return await self._master(error)
        return [Probe("dcos-mesos-master.service", "Mesos master", leader.authority, "mesos/")]

    async def _rollout(self, summary: Summary) -> Rollout | None:
        """What the framework of this name says of its rollout; None where there is none that is connected."""
        if not any(one.name == ROLLER and one.active for one in summary.frameworks):
            return None
        server = (await self._cluster.frameworks()).by_name.get(ROLLER)
        if not isinstance(server, Server):
            return None
        try:
            head, body = await fetch(self._cluster.pool, server, "/v1/summary", seconds=SECONDS)
            if head.status == 404:  # another one of this name
                return None
            if head.status != 200:
                raise NoAnswer(f"HTTP {head.status}")
            return msgspec.json.decode(body, type=ready(Rollout))
        except (NoAnswer, msgspec.DecodeError, UnicodeDecodeError) as error:
            return Rollout("silent", f"its framework does not say how far it is: {error}")

    def _marathon(self, apps: Sequence[App] | NoAnswer) -> list[Probe]:
        if not self._cluster.places.marathons:
            return []
        failure = str(apps) if isinstance(apps, NoAnswer) else ""
        address = self._cluster.marathon().authority
        return [Probe("dcos-marathon.service", "Marathon", address, "marathon/", failure)]


def _or_none(value: Any) -> Any:
    return None if isinstance(value, NoAnswer) else value


def as_event(contents: dict[str, Any] | None) -> bytes:
    """A server-sent event: the page's contents, or a sign of life."""
    if contents is None:
        return b"event: beat\ndata: \n\n"
    return b"event: board\ndata: " + msgspec.json.encode(contents) + b"\n\n"
