"""All routes of a master."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from tortie.mesos import operator, system
from tortie.mesos.files import Files, log_file
from tortie.mesos.http import Handler, Refusal, Router, document
from tortie.mesos.master import frameworks, pages, state
from tortie.mesos.master.api import AgentApi, SchedulerApi
from tortie.mesos.master.operator_api import OperatorApi
from tortie.mesos.master.runtime import Master
from tortie.mesos.protocol import PATH


def router(master: Master) -> Router:
    reads = Reads(master)
    routes: dict[str, Handler] = {
        "/api/v1/scheduler": SchedulerApi(master),
        "/api/v1": OperatorApi(master),
        PATH: AgentApi(master),
        "/health": reads.health,
        "/version": reads.version,
        "/flags": reads.flags,
        "/state": reads.state,
        "/state-summary": reads.summary,
        "/slaves": reads.slaves,
        "/frameworks": reads.frameworks,
        "/tasks": reads.tasks,
        "/roles": reads.roles,
        "/redirect": reads.redirect,
        "/metrics/snapshot": reads.metrics,
        "/system/stats": reads.system,
        "/teardown": reads.teardown,
        **Files(reads.log).routes(),
        **pages.routes(),
    }
    return Router("master", routes)


class Reads:
    """The legacy endpoints."""

    def __init__(self, master: Master) -> None:
        self.master = master

    def log(self) -> dict[str, Path]:
        found = log_file(self.master.me.flags)
        return {"/master/log": found} if found else {}

    async def health(self, request: Request) -> ASGIApp:
        return Response(status_code=200)

    async def version(self, request: Request) -> ASGIApp:
        return document(request, operator.version())

    async def flags(self, request: Request) -> ASGIApp:
        return document(request, {"flags": dict(self.master.me.flags)})

    async def state(self, request: Request) -> ASGIApp:
        return document(request, state.state(self.master.cluster, self.master.me))

    async def summary(self, request: Request) -> ASGIApp:
        return document(request, state.summary(self.master.cluster, self.master.me))

    async def slaves(self, request: Request) -> ASGIApp:
        return document(request, state.slaves(self.master.cluster, full=True))

    async def frameworks(self, request: Request) -> ASGIApp:
        return document(request, state.frameworks(self.master.cluster))

    async def tasks(self, request: Request) -> ASGIApp:
        limit, offset = _whole(request, "limit", 100), _whole(request, "offset", 0)
        ascending = request.query_params.get("order") == "asc"
        return document(request, state.tasks(self.master.cluster, limit=limit, offset=offset, ascending=ascending))

    async def roles(self, request: Request) -> ASGIApp:
        return document(request, state.roles(self.master.cluster))

    async def redirect(self, request: Request) -> ASGIApp:
        if not request.url.path.rstrip("/").endswith("/redirect"):
            return Response(status_code=404)
        location = f"//{self.master.me.hostname}:{self.master.cluster.info.port}"
        return Response(status_code=307, headers={"Location": location})

    async def metrics(self, request: Request) -> ASGIApp:
        now = self.master.clock()
        values: dict[str, Any] = state.metrics(self.master.cluster, self.master.me, now)
        return document(request, values | system.metrics())

    async def system(self, request: Request) -> ASGIApp:
        return document(request, system.stats())

    async def teardown(self, request: Request) -> ASGIApp:
        if request.method != "POST":
            raise Refusal(405, f"Expecting one of {{ 'POST' }}, but received '{request.method}'", Allow="POST")
        named = parse_qs((await request.body()).decode(errors="replace")).get("frameworkId")
        if not named:
            raise Refusal(400, "Missing 'frameworkId' query parameter in the request body")
        framework = self.master.cluster.frameworks.get(named[0])
        if framework is None:
            raise Refusal(400, "No framework found with specified ID")
        frameworks.remove(self.master.cluster, framework, self.master.clock())
        self.master.poke(allocate=True)
        return Response(status_code=200)


def _whole(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isdigit():
        raise Refusal(400, f"Failed to parse {name}: '{text}'\n")
    return int(text)
