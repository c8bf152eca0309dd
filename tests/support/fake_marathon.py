"""A Marathon as far as a balancer needs it: /v2/apps with tasks and the event stream; and apps as it shows them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from tortie.wire.marathon import basic


def stars_app(address: str | None = "192.168.255.254", host: str = "172.24.197.102") -> dict[str, Any]:
    """management-ui of the Stars demo: `ipAddress`, `network: BRIDGE` and a parameter `net` at once."""
    parameters = [{"key": "net", "value": "management-ui"}, {"key": "ip", "value": "192.168.255.254"}]
    task: dict[str, Any] = {"id": "calico-stars_management-ui.1", "host": host, "state": "TASK_RUNNING", "ports": []}
    if address:
        task["ipAddresses"] = [{"ipAddress": address, "protocol": "IPv4"}]
    return {
        "id": "/calico-stars/management-ui",
        "labels": {"HAPROXY_GROUP": "external", "HAPROXY_0_VHOST": "my.marathon.app"},
        "container": {"type": "DOCKER", "docker": {"image": "x", "network": "BRIDGE", "parameters": parameters}},
        "ipAddress": {"discovery": {"ports": [{"number": 9001, "name": "http", "protocol": "tcp"}]}},
        "ports": [],
        "healthChecks": [],
        "tasks": [task],
    }


def host_app(name: str, service_port: int, ports: Sequence[int], **labels: str) -> dict[str, Any]:
    """An app on the hosts' own network with one task on 127.0.0.1 for each port."""
    return {
        "id": name,
        "labels": {"HAPROXY_GROUP": "external"} | labels,
        "portDefinitions": [{"port": service_port}],
        "ports": [service_port],
        "tasks": [
            {"id": f"{name}.{port}", "host": "127.0.0.1", "state": "TASK_RUNNING", "ports": [port]} for port in ports
        ],
    }


class FakeMarathon:
    """`apps` is what it shows; `tell` sends an event of a type to the streams that asked for it."""

    def __init__(self) -> None:
        self.apps: list[dict[str, Any]] = []
        self.reads = 0
        self.status = 200
        self.url = ""
        self.user: tuple[str, str] | None = None
        """Who may ask; anyone when nobody is named."""
        self.held: asyncio.Event | None = None
        """Answers wait for it."""
        self.streams: list[tuple[web.StreamResponse, list[str]]] = []
        self._subscribed = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        app = web.Application()
        app.router.add_get("/v2/apps", self._apps)
        app.router.add_get("/v2/events", self._events)
        self.more_routes(app.router)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=tls).start()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._runner.addresses[0][1]}"

    def more_routes(self, router: web.UrlDispatcher) -> None:
        """What else it answers."""

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def subscribed(self) -> None:
        await self._subscribed.wait()

    async def tell(self, kind: str = "status_update_event") -> None:
        for stream, wanted in self.streams:
            if kind in wanted:
                await stream.write(f'event: {kind}\r\ndata: {{"eventType":"{kind}"}}\r\n\r\n'.encode())

    async def _apps(self, request: web.Request) -> web.Response:
        self.reads += 1
        if self.held is not None:
            await self.held.wait()
        if self._stranger(request):
            return web.Response(status=401)
        if self.status != 200:
            return web.Response(status=self.status)
        bare = request.query.get("embed") != "apps.tasks"
        return web.json_response({"apps": [a | {"tasks": []} if bare else a for a in self.apps]})

    def _stranger(self, request: web.Request) -> bool:
        wanted = basic(*self.user) if self.user else None
        return wanted is not None and request.headers.get("Authorization") != wanted

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Accept") != "text/event-stream":
            return web.Response(status=405)
        if self._stranger(request):
            return web.Response(status=401)
        reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await reply.prepare(request)
        self.streams.append((reply, request.query.getall("event_type", [])))
        self._subscribed.set()
        await asyncio.Event().wait()
        return reply
