"""The framework's pages: the original's paths, and a page for people."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tortie.base.errors import Conflict
from tortie.framework import pages
from tortie.framework.life import Seat
from tortie.packages.etcd.engine import Engine
from tortie.packages.etcd.values import Member
from tortie.web.page import page

REFRESH = {"Refresh": "5"}


class Site:
    def __init__(self, seat: Seat[Engine], folder: Path, framework: str) -> None:
        self._seat = seat
        self.folder = folder
        self.framework = framework

    def application(self) -> Starlette:
        routes = [
            Route("/", self.page),
            Route("/healthz", self.healthz),
            Route("/members", self.members),
            Route("/membership", self.members),
            Route("/stats", self.stats),
            Route("/json", self.status),
            Route("/reseed", self.reseed, methods=["POST"]),
            pages.uninstall(self._seat, lambda engine, force: engine.leave(force=force)),
            Route("/seeds/{name}", self.seed),
        ]
        return pages.application(routes)

    async def healthz(self, _request: Request) -> Response:
        engine = self._seat.holder
        if engine is not None and engine.whole:
            return PlainTextResponse("cluster is healthy\n")
        return PlainTextResponse(f"500 internal server error: cluster not healthy.\n{await self._why()}\n", 500)

    async def members(self, _request: Request) -> Response:
        engine = self._seat.holder
        if engine is None:
            return await self._standby()
        found = [
            {
                "name": one.name,
                "host": one.host,
                "rpcPort": one.peer,
                "clientPort": one.client,
                "httpPort": one.http,
                "type": "new" if index == 0 else "existing",
                "slaveID": one.agent,
            }
            for index, one in enumerate(engine.kept.members)
        ]
        return JSONResponse(found)

    async def stats(self, _request: Request) -> Response:
        engine = self._seat.holder
        if engine is None:
            return await self._standby()
        running = sum(engine.reports.states.get(one.task) == "TASK_RUNNING" for one in engine.kept.members)
        return JSONResponse(
            {
                "running_servers": running,
                "launched_servers": engine.master.launched,
                "failed_servers": engine.reports.failed,
                "cluster_livelocks": engine.livelocks,
                "cluster_reseeds": engine.kept.reseeds,
                "healthy": int(engine.whole),
            }
        )

    async def status(self, _request: Request) -> Response:
        engine = self._seat.holder
        return JSONResponse(
            {
                "framework": self.framework,
                "frameworkId": engine.kept.framework_id if engine else None,
                "leading": engine is not None,
                "healthy": engine is not None and engine.whole,
                "wanted": engine.wanted.size if engine else None,
                "why": await self._why(),
                "members": [_told(engine, one) for one in engine.kept.members] if engine else [],
            }
        )

    async def page(self, _request: Request) -> Response:
        engine = self._seat.holder
        whole = engine is not None and engine.whole
        rows = "".join(_row(_told(engine, one)) for one in engine.kept.members) if engine else ""
        head = "".join(f'<th scope="col">{title}</th>' for title in COLUMNS.values())
        table = f'<table class="rows"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
        said = "" if whole else f"<p>{escape(await self._why())}</p>"
        body = (
            '<section class="card"><header><h2>Members</h2><span role="status"><span class="badge" '
            f'data-kind="{"good" if whole else "wait"}">{"healthy" if whole else "not healthy"}</span></span></header>'
            f'{said}<div class="scroll">{table if rows else ""}</div></section>'
            '<p class="foot">The same as <a href="json">JSON</a> · <a href="members">members</a> · '
            '<a href="stats">stats</a></p>'
        )
        answer = page("etcd", body, subtitle="" if self.framework == "etcd" else self.framework, live=False)
        answer.headers.update(REFRESH)
        return answer

    async def reseed(self, request: Request) -> Response:
        engine = self._seat.holder
        if engine is None:
            return await self._standby()
        empty = request.query_params.get("empty", "false")
        if empty not in ("true", "false"):
            return PlainTextResponse(f"empty={empty!r}: expected true or false\n", 400)
        try:
            return PlainTextResponse(await engine.reseed(empty=empty == "true") + "\n", 202)
        except Conflict as error:
            return PlainTextResponse(f"{error}\n", 409)

    async def seed(self, request: Request) -> Response:
        engine, name = self._seat.holder, request.path_params["name"]
        if engine is None or engine.kept.survivor is None or name != engine.seed_name:
            return PlainTextResponse("404: no such file\n", 404)
        return FileResponse(self.folder / name, media_type="application/octet-stream")

    async def _why(self) -> str:
        engine = self._seat.holder
        return engine.why if engine is not None else await self._seat.standby()

    async def _standby(self) -> Response:
        return PlainTextResponse(await self._seat.standby() + "\n", 503)


COLUMNS = {
    "name": "Name",
    "host": "Host",
    "task": "Task",
    "etcd": "Answer",
    "role": "Role",
    "client": "Clients",
    "peer": "Members",
}


def _row(told: Mapping[str, Any]) -> str:
    cells = "".join(
        f'<td data-label="{title}">{escape(str(told[name]))}</td>' for name, title in COLUMNS.items() if name != "name"
    )
    return f'<tr><th scope="row">{escape(told["name"])}</th>{cells}</tr>'


def _told(engine: Engine, member: Member) -> dict[str, Any]:
    peer = next((one for one in engine.seen.cluster or () if member.peer_url in one.urls), None)
    answer = "healthy" if member.name in engine.seen.healthy else "no majority"
    return {
        "name": member.name,
        "id": f"{member.etcd_id:x}" if member.etcd_id else None,
        "host": member.host,
        "agent": member.agent,
        "taskId": member.task,
        "task": engine.reports.states.get(member.task, "unknown").removeprefix("TASK_").lower(),
        "etcd": answer if member.name in engine.seen.alive else "no answer",
        "role": "not a member" if peer is None else "learner" if peer.learner else "voter",
        "client": member.client_url,
        "peer": member.peer_url,
    }
