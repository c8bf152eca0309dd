"""A whole Marathon in this process: its store in a directory, its port a free one, its master a fake."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.ports import free_port
from tests.support.scheduler_master import Agent, SchedulerMaster
from tests.support.waiting import until
from tortie.marathon.brain import Options
from tortie.marathon.program import Settings, run

QUICK = Options(min_revive_seconds=0.05, reconcile_first_seconds=0.3, kill_retry_seconds=2)
AGENTS = (Agent("A1", "172.24.197.102"), Agent("A2", "172.24.197.103"))


@dataclass
class Answer:
    status: int
    body: Any
    headers: Any


@dataclass
class Live:
    """What a test holds: the master, the address of Marathon, calls to it, and whether its program has ended."""

    master: SchedulerMaster
    url: str
    session: aiohttp.ClientSession
    ended: Callable[[], bool] = lambda: False

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        if isinstance(body, str | bytes):
            options["data"] = body
            options.setdefault("headers", {"Content-Type": "application/json"})
        elif body is not None:
            options["json"] = body
        async with self.session.request(method, self.url + path, **options) as reply:
            is_json = reply.content_type == "application/json" and method != "HEAD"
            return Answer(reply.status, await (reply.json() if is_json else reply.text()), reply.headers)

    async def settled(self) -> None:
        """Returns when no deployment is left."""
        left: list[Any] = []

        async def none_left() -> bool:
            left[:] = (await self.call("GET", "/v2/deployments")).body
            return not left

        await until(none_left, message=lambda: f"no deployment left, there is {left}")

    async def tasks(self, app: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.call("GET", f"/v2/apps/{app}/tasks")).body["tasks"]
        return found


@asynccontextmanager
async def marathon(
    directory: Path,
    master: SchedulerMaster | None = None,
    *,
    options: Options = QUICK,
    port: int = 0,
    endpoints: Sequence[str] | None = None,
) -> AsyncIterator[Live]:
    """Runs until the block ends; with a `master` of the caller's, that one goes on."""
    own = master is None
    master = master or SchedulerMaster(list(AGENTS))
    if own:
        await master.start()
    port = port or free_port()
    settings = Settings(
        masters=[f"127.0.0.1:{master.port}"],
        store=f"sqlite://{directory}/store",
        hostname="127.0.0.1",
        http_address="127.0.0.1",
        http_port=port,
        options=options,
        endpoints=endpoints,
    )
    program = asyncio.ensure_future(run(settings))
    async with aiohttp.ClientSession() as session:
        live = Live(master, f"http://127.0.0.1:{port}", session, program.done)
        try:
            await until(lambda: _ready(live, program))
            yield live
        finally:
            program.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await program
            if own:
                await master.stop()


async def _ready(live: Live, program: asyncio.Future[None]) -> bool:
    if program.done():
        program.result()
    try:
        info = await live.call("GET", "/v2/info")
    except aiohttp.ClientError:
        return False
    return info.status == 200 and info.body["frameworkId"] is not None


def stars() -> dict[str, Any]:
    """The shape of the demo's group: raw network parameters, one pinned address, one discovery port."""
    return {
        "id": "/calico-stars",
        "apps": [management_ui(), *(probe(name) for name in ("client", "frontend", "backend"))],
    }


def management_ui() -> dict[str, Any]:
    parameters = [{"key": "net", "value": "management-ui"}, {"key": "ip", "value": "192.168.255.254"}]
    return {
        "id": "management-ui",
        "cmd": "star-collect --resources-file=$MESOS_SANDBOX/calico-stars-resources.json",
        "mem": 64,
        "uris": ["https://raw.githubusercontent.com/demo/calico-stars-resources.json"],
        "container": {
            "type": "DOCKER",
            "docker": {"image": "djosborne/star:v0.5.0", "network": "BRIDGE", "parameters": parameters},
        },
        "ipAddress": {"discovery": {"ports": [{"number": 9001, "name": "http", "protocol": "tcp"}]}},
        "labels": {"HAPROXY_GROUP": "external", "HAPROXY_0_VHOST": "my.marathon.app"},
    }


def probe(name: str) -> dict[str, Any]:
    docker = {"image": "djosborne/star:v0.5.0", "parameters": [{"key": "net", "value": name}]}
    return {"id": name, "cmd": "star-probe", "cpus": 0.1, "mem": 64, "container": {"type": "DOCKER", "docker": docker}}


def sleeper(app_id: str = "a", **fields: Any) -> dict[str, Any]:
    return {"id": app_id, "cmd": "sleep 1000", "cpus": 0.1, "mem": 32, **fields}


def names(items: Sequence[dict[str, Any]]) -> list[str]:
    return sorted(item["id"] for item in items)
