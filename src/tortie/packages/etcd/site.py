"""The framework's pages: the original's paths, and a page for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tortie.base.errors import Conflict
from tortie.packages.etcd.engine import Engine
from tortie.packages.etcd.values import Member
from tortie.web.own_site import OwnSite
from tortie.web.page import page, static_routes

REFRESH = {"Refresh": "5"}


class Site:
    """`engine` gives None while another process of the same framework leads."""

    def __init__(self, engine: Callable[[], Engine | None], folder: Path, framework: str) -> None:
        self._engine = engine
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
            Route("/uninstall", self.uninstall, methods=["POST"]),
            Route("/seeds/{name}", self.seed),
            *static_routes(),
        ]
        return Starlette(routes=routes, middleware=[Middleware(OwnSite)])

    async def healthz(self, _request: Request) -> Response:
        engine = self._engine()
        if engine is not None and engine.whole:
            return PlainTextResponse("cluster is healthy\n")
        return PlainTextResponse(f"500 internal server error: cluster not healthy.\n{why(engine)}\n", 500)

    async def members(self, _request: Request) -> Response:
        engine = self._engine()
        if engine is None:
            return _standby()
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
        engine = self._engine()
        if engine is None:
            return _standby()
        running = sum(engine.states.get(one.task) == "TASK_RUNNING" for one in engine.kept.members)
        return JSONResponse(
            {
                "running_servers": running,
                "launched_servers": engine.master.launched,
                "failed_servers": engine.failed,
                "cluster_livelocks": engine.livelocks,
                "cluster_reseeds": engine.kept.reseeds,
                "healthy": int(engine.whole),
            }
        )

    async def status(self, _request: Request) -> Response:
        engine = self._engine()
        return JSONResponse(
            {
                "framework": self.framework,
                "frameworkId": engine.kept.framework_id if engine else None,
                "leading": engine is not None,
                "healthy": engine is not None and engine.whole,
                "wanted": engine.wanted.size if engine else None,
                "why": why(engine),
                "members": [_told(engine, one) for one in engine.kept.members] if engine else [],
            }
        )

    async def page(self, _request: Request) -> Response:
        engine = self._engine()
        whole = engine is not None and engine.whole
        rows = "".join(_row(_told(engine, one)) for one in engine.kept.members) if engine else ""
        head = "".join(f'<th scope="col">{title}</th>' for title in COLUMNS.values())
        table = f'<table class="rows"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
        said = "" if whole else f"<p>{escape(why(engine))}</p>"
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
        engine = self._engine()
        if engine is None:
            return _standby()
        empty = request.query_params.get("empty", "false")
        if empty not in ("true", "false"):
            return PlainTextResponse(f"empty={empty!r}: expected true or false\n", 400)
        try:
            return PlainTextResponse(await engine.reseed(empty=empty == "true") + "\n", 202)
        except Conflict as error:
            return PlainTextResponse(f"{error}\n", 409)

    async def uninstall(self, request: Request) -> Response:
        """What Cosmos asks before it takes the app away."""
        engine = self._engine()
        if engine is None:
            return JSONResponse({"message": why(None)}, 409)
        try:
            asked = msgspec.json.decode(await request.body() or b"{}", type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return JSONResponse({"message": f"the body is no JSON object: {error}"}, 400)
        if not isinstance(force := asked.get("force", False), bool):
            return JSONResponse({"message": "force is true or false"}, 400)
        try:
            left = await engine.leave(force=force)
        except Conflict as error:
            return JSONResponse({"message": str(error)}, 409)
        return Response(status_code=204) if left is None else JSONResponse({"message": left}, 202)

    async def seed(self, request: Request) -> Response:
        engine, name = self._engine(), request.path_params["name"]
        if engine is None or engine.kept.survivor is None or name != engine.seed_name:
            return PlainTextResponse("404: no such file\n", 404)
        return FileResponse(self.folder / name, media_type="application/octet-stream")


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


def why(engine: Engine | None) -> str:
    return "another process of this framework leads" if engine is None else engine.why


def _standby() -> Response:
    return PlainTextResponse(why(None) + "\n", 503)


def _told(engine: Engine, member: Member) -> dict[str, Any]:
    peer = next((one for one in engine.seen.cluster or () if member.peer_url in one.urls), None)
    answer = "healthy" if member.name in engine.seen.healthy else "no majority"
    return {
        "name": member.name,
        "id": f"{member.etcd_id:x}" if member.etcd_id else None,
        "host": member.host,
        "agent": member.agent,
        "taskId": member.task,
        "task": engine.states.get(member.task, "unknown").removeprefix("TASK_").lower(),
        "etcd": answer if member.name in engine.seen.alive else "no answer",
        "role": "not a member" if peer is None else "learner" if peer.learner else "voter",
        "client": member.client_url,
        "peer": member.peer_url,
    }
