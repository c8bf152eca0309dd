"""A request at the door: who asks, where it leads, and the answer."""

from __future__ import annotations

import logging
from http import HTTPStatus

from tortie.door import asgi, headers, paths
from tortie.door.cluster import Cluster
from tortie.door.guard import Guard
from tortie.door.incoming import Incoming
from tortie.door.paths import Route
from tortie.door.refusal import Refusal
from tortie.door.relay import Way, relay
from tortie.door.requests import Request
from tortie.door.services import Server
from tortie.door.site import Site, for_a_person, needs_login

log = logging.getLogger("door")

NO_CAPABILITIES = b'{"capabilities":[]}'
CAPABILITIES = b"application/vnd.dcos.capabilities+json;charset=utf-8;version=v1"


class Front:
    """`seconds`: how long a server may take to begin its answer."""

    def __init__(self, cluster: Cluster, site: Site, guard: Guard | None, *, seconds: float) -> None:
        self._cluster = cluster
        self._site = site
        self._app = site.app()
        self._guard = guard
        self._seconds = seconds

    async def __call__(self, request: Request, client: Incoming) -> None:
        log.debug("%s %s of %s", request.method, request.target.decode("latin-1"), client.address)
        try:
            await self._answer(request, client)
        except Refusal as refusal:
            accept = b",".join(headers.values(request.fields, b"accept")).decode("latin-1")
            if client.answered or refusal.close or not for_a_person(request.method, accept):
                raise
            page = self._site.login_page(401) if refusal.status == 401 else self._site.error_page(refusal)
            fields = [*((bytes(k), bytes(v)) for k, v in page.raw_headers), *refusal.headers]
            fields = [(name, value) for name, value in fields if name.lower() != b"content-length"]
            await client.answer(refusal.status, bytes(page.body), fields)

    async def _answer(self, request: Request, client: Incoming) -> None:
        target = paths.parse(request.target)
        user = ""
        if self._guard is not None and needs_login("/" + "/".join(target.segments)):
            user = self._guard.check(request.method, request.fields, request.host)
        found = paths.route(target)
        if isinstance(found, paths.Redirect):
            where = (b"Location", found.location.encode("latin-1"))
            await client.answer(found.status, HTTPStatus(found.status).phrase.encode() + b"\n", [where])
            return
        if found.kind == "own":
            await asgi.run(self._app, request, client, target, {"user": user})
            return
        if found.kind == "packages" and self._cluster.places.packages is None and target.path == "/capabilities":
            await client.answer(200, NO_CAPABILITIES, [(b"Content-Type", CAPABILITIES)])
            return
        way = await self._way(found)
        guarded = self._guard is not None
        await relay(request, client, way, self._cluster.pool, seconds=self._seconds, guarded=guarded)

    async def _way(self, found: Route) -> Way:
        cluster, path = self._cluster, found.path + found.target.query
        if found.kind == "mesos":
            return Way(await cluster.mesos(), path, found.prefix, cluster.next_leader)
        if found.kind == "agent":
            return Way(await cluster.agent(found.name), path, found.prefix)
        if found.kind == "service" and found.name:
            return Way(cluster.marathon(), path, found.prefix, cluster.next_marathon)
        if found.kind == "service":
            return await cluster.service(found.target)
        return Way(self._place(found), path, found.prefix)

    def _place(self, found: Route) -> Server:
        places = self._cluster.places
        known = {
            "mesos_dns": places.mesos_dns,
            "packages": places.packages,
            "net": places.net,
            "balancer": places.balancer,
        }
        server = known[found.kind]
        if server is None:
            raise Refusal(404, f"this cluster has no {NAMES[found.kind]} that the door knows")
        return server


NAMES = {"mesos_dns": "Mesos-DNS", "packages": "package service", "net": "network service", "balancer": "balancer"}
