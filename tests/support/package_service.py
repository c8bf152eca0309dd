"""The package service in this process, a web server with repositories that tell the truth or do not, a client."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.support.waiting import until
from tortie.packages.cosmos import Cosmos
from tortie.packages.frameworks import Frameworks
from tortie.packages.front import application
from tortie.packages.media import BY_PATH
from tortie.packages.parting import Parting
from tortie.packages.repositories import DEFAULT, Repositories, utc_now
from tortie.packages.served import ServedRepository
from tortie.packages.sources import Trust
from tortie.packages.universe import Repository
from tortie.store.open import open_store
from tortie.web.serve import serve, tcp_listener
from tortie.wire.marathon import MarathonClient

APP = '{"id": "/{{foo.name}}", "cmd": "sleep {{foo.seconds}}", "cpus": {{foo.cpus}}, "mem": 32}'
CONFIG = {
    "type": "object",
    "properties": {
        "foo": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "default": "foo"},
                "seconds": {"type": "integer", "minimum": 1, "default": 1000},
                "cpus": {"type": "number", "default": 0.1},
            },
        }
    },
}


def package(
    name: str = "foo", version: str = "1.0", release: int = 0, template: str | None = APP, **more: Any
) -> dict[str, Any]:
    """An entry of an index."""
    entry = {
        "packagingVersion": "4.0",
        "name": name,
        "version": version,
        "releaseVersion": release,
        "maintainer": "m",
        "description": f"about {name}",
        "tags": [],
        "config": CONFIG,
        **more,
    }
    if template is not None:
        entry["marathon"] = {"v2AppMustacheTemplate": base64.b64encode(template.encode()).decode()}
    return entry


def index(*entries: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"packages": list(entries), **more}).encode()


@dataclass
class Shelf:
    """A web server: gives `pages` by path; `cut` ones end early, `sent_on` ones lead elsewhere; all others are 404."""

    pages: dict[str, bytes] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    sent_on: dict[str, str] = field(default_factory=dict)
    status: int = 200
    url: str = ""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    posted: list[bytes] = field(default_factory=list)
    replies: list[tuple[int, str]] = field(default_factory=list)
    """What it answers to requests with POST, one after the other."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, dict(request.headers)))
        if request.method == "POST" and self.replies:
            self.posted.append(await request.read())
            status, message = self.replies.pop(0)
            return web.json_response({"message": message}, status=status)
        if request.path in self.sent_on:
            return web.Response(status=302, headers={"Location": self.sent_on[request.path]})
        data = self.pages.get(request.path)
        if data is None or self.status != 200:
            return web.Response(status=404 if data is None else self.status)
        if request.path not in self.cut:
            return web.Response(body=data, content_type="application/json")
        reply = web.StreamResponse(headers={"Content-Length": str(len(data))})
        await reply.prepare(request)
        await reply.write(data[: len(data) // 2])
        assert request.transport is not None
        request.transport.close()
        return reply


@asynccontextmanager
async def shelf(pages: dict[str, bytes]) -> AsyncIterator[Shelf]:
    found = Shelf(pages)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield found
    finally:
        await runner.cleanup()


@dataclass
class Answer:
    status: int
    kind: str
    body: Any


@dataclass
class Service:
    url: str
    http: aiohttp.ClientSession
    repositories: Repositories

    async def ask(self, path: str, body: Any = None, *, version: int | None = None, **headers: str | None) -> Answer:
        """As a client that speaks the media types; a header given as None is left out."""
        operation = BY_PATH[path.removeprefix("/cosmos")]
        sent: dict[str, str | None] = {
            "Content-Type": operation.request,
            "Accept": operation.response(version or operation.versions[-1]),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        plain = {name: value for name, value in sent.items() if value is not None}
        skip = ["Content-Type"] if "Content-Type" not in plain else []
        async with self.http.post(self.url + path, data=data, headers=plain, skip_auto_headers=skip) as reply:
            text = await reply.read()
            return Answer(reply.status, reply.headers.get("Content-Type", ""), json.loads(text) if text else None)

    async def refused(self, path: str, body: Any = None, **more: Any) -> tuple[int, str, str]:
        """Status, type and message of an answer that must be a failure."""
        answer = await self.ask(path, body, **more)
        assert answer.kind == "application/vnd.dcos.package.error+json;charset=utf-8;version=v1", answer
        return answer.status, answer.body["type"], answer.body["message"]


@asynccontextmanager
async def service(
    directory: Path,
    marathon: str,
    masters: Sequence[str] = (),
    *,
    repositories: Sequence[Repository] = DEFAULT,
    trust: Trust | None = None,
    key: Path | None = None,
    fresh: float = 60.0,
    clock: Callable[[], datetime] = utc_now,
) -> AsyncIterator[Service]:
    """With a `key` it is the other site of the program: our own repository, signed with that."""
    store = open_store(f"sqlite://{directory}/packages-store")
    listener = tcp_listener("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with aiohttp.ClientSession() as http, MarathonClient(marathon) as client:
        listed = Repositories(store, http, trust=trust, default=repositories, fresh=fresh, clock=clock)
        cosmos = Cosmos(listed, client, Frameworks(http, masters), Parting(http, client))
        app = ServedRepository(key, clock).application() if key else application(cosmos, http)
        running = asyncio.ensure_future(serve(app, [listener]))
        try:
            found = Service(url, http, listed)
            await until(lambda: _healthy(found))
            yield found
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            store.close()


async def _healthy(found: Service) -> bool:
    with contextlib.suppress(aiohttp.ClientError):
        async with found.http.get(f"{found.url}/health") as reply:
            return reply.status in (200, 404)  # what only serves a repository has no /health
    return False
