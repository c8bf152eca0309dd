"""All routes of an agent."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from tortie.mesos import operator, system
from tortie.mesos.agent import state
from tortie.mesos.agent.operator_api import OperatorApi
from tortie.mesos.agent.runtime import Agent
from tortie.mesos.agent.usage import usage_of
from tortie.mesos.files import Files, log_file
from tortie.mesos.http import Handler, Router, document
from tortie.mesos.levels import LogLevel


def router(agent: Agent) -> Router:
    reads = Reads(agent)
    files, level = Files(reads.sandboxes), LogLevel()
    routes: dict[str, Handler] = {
        "/api/v1": OperatorApi(agent, files, level),
        "/health": reads.health,
        "/version": reads.version,
        "/flags": reads.flags,
        "/state": reads.state,
        "/containers": reads.containers,
        "/monitor/statistics": reads.statistics,
        "/logging/toggle": level.toggle,
        "/metrics/snapshot": reads.metrics,
        "/system/stats": reads.system,
        **files.routes(),
    }
    return Router("slave(1)", routes)


class Reads:
    def __init__(self, agent: Agent) -> None:
        self.agent = agent

    def sandboxes(self) -> dict[str, Path]:
        """Each under its own path and under `latest`; and the agent's log."""
        log = log_file(self.agent.settings.flags)
        shown = {"/slave/log": log} if log else {}
        for task in [*self.agent.completed, *self.agent.tasks.values()]:
            shown[str(task.sandbox)] = task.sandbox
            shown[str(task.sandbox.parent / "latest")] = task.sandbox
        return shown

    async def health(self, request: Request) -> ASGIApp:
        return Response(status_code=200)

    async def version(self, request: Request) -> ASGIApp:
        return document(request, operator.version())

    async def flags(self, request: Request) -> ASGIApp:
        return document(request, {"flags": dict(self.agent.settings.flags)})

    async def state(self, request: Request) -> ASGIApp:
        return document(request, state.state(self.agent))

    async def containers(self, request: Request) -> ASGIApp:
        return document(request, state.containers(self.agent, await usage_of(self.agent)))

    async def statistics(self, request: Request) -> ASGIApp:
        return document(request, state.statistics(self.agent, await usage_of(self.agent)))

    async def metrics(self, request: Request) -> ASGIApp:
        return document(request, state.metrics(self.agent, self.agent.clock()) | system.metrics())

    async def system(self, request: Request) -> ASGIApp:
        return document(request, system.stats())
