"""A Mesos master as far as readers of names need it: /master/state and the operator API's event stream."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def task(name: str, address: str | None = None, **more: Any) -> dict[str, Any]:
    """A running task of agent S1; with an address, on a container network."""
    infos = [{"ip_addresses": [{"protocol": "IPv4", "ip_address": address}]}] if address else []
    status = {"state": "TASK_RUNNING", "timestamp": 1.5, "container_status": {"network_infos": infos}}
    plain = {
        "id": f"{name}.1", "name": name, "slave_id": "c-S1", "state": "TASK_RUNNING", "statuses": [status],
        "resources": {"cpus": 0.1, "ports": "[31000-31001]"},
    }  # fmt: skip
    return plain | more


def state(tasks: list[dict[str, Any]], leader: str = "master@172.24.197.101:5050") -> dict[str, Any]:
    return {
        "leader": leader,
        "slaves": [{"id": "c-S1", "hostname": "172.24.197.102", "pid": "slave(1)@172.24.197.102:5051"}],
        "frameworks": [{"id": "f-0", "name": "marathon", "hostname": "172.24.197.101", "pid": "", "tasks": tasks}],
    }


class FakeMaster:
    """`tasks` is what the state shows; `tell` sends an event; `events=False` offers no stream."""

    def __init__(self, *, events: bool = True, path: str = "/master/state") -> None:
        self.tasks: list[dict[str, Any]] = []
        self.leader = ""
        self.reads = self.subscriptions = 0
        self.broken: str | None = None
        self.login: str | None = None
        self._events = events
        self._path = path
        self._streams: list[web.StreamResponse] = []
        self._runner: web.AppRunner | None = None
        self._subscribed = asyncio.Event()
        self.address = ""

    async def start(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        app = web.Application(middlewares=[self._known])
        app.router.add_get(self._path, self._state)
        if self._events:
            app.router.add_post("/api/v1", self._subscribe)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=tls)
        await site.start()
        self.address = f"127.0.0.1:{self._runner.addresses[0][1]}"

    @web.middleware
    async def _known(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self.login is not None and request.headers.get("Authorization") != self.login:
            return web.Response(status=401)
        return await handler(request)

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def tell(self, kind: str = "FRAMEWORK_UPDATED", **body: Any) -> None:
        """An event with its body; without one it says only that something changed."""
        record = json.dumps({"type": kind} | ({kind.lower(): body} if body else {})).encode()
        for stream in self._streams[:]:
            try:
                await stream.write(b"%d\n%s" % (len(record), record))
            except ConnectionError:  # that reader has gone
                self._streams.remove(stream)

    async def subscribed(self) -> None:
        await self._subscribed.wait()

    @property
    def heard(self) -> bool:
        """Whether anybody has subscribed."""
        return self._subscribed.is_set()

    async def _state(self, _: web.Request) -> web.Response:
        self.reads += 1
        if self.broken is not None:
            return web.Response(text=self.broken)
        return web.json_response(state(self.tasks, f"master@{self.leader or self.address}"))

    async def _subscribe(self, request: web.Request) -> web.StreamResponse:
        if (await request.json()).get("type") != "SUBSCRIBE":
            return web.Response(status=400)
        reply = web.StreamResponse(headers={"Content-Type": "application/json"})
        await reply.prepare(request)
        record = b'{"type":"SUBSCRIBED"}'
        await reply.write(b"%d\n%s" % (len(record), record))
        self._streams.append(reply)
        self.subscriptions += 1
        self._subscribed.set()
        await asyncio.Event().wait()
        return reply
