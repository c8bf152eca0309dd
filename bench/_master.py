"""A Mesos master with as many tasks as wanted, for readers of names: its state, its event stream, and when it told."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from concurrent.futures import Future
from typing import Any

from aiohttp import web

AGENTS = 50


def address(number: int) -> str:
    return f"10.{1 + number // 62500}.{number // 250 % 250}.{number % 250}"


def status(number: int, at: str, state: str = "TASK_RUNNING") -> dict[str, Any]:
    return {
        "task_id": {"value": f"app-{number}.group.1"}, "state": state, "timestamp": time.time(),
        "container_status": {"network_infos": [{"ip_addresses": [{"protocol": "IPv4", "ip_address": at}]}]},
    }  # fmt: skip


def document(tasks: int, moved: int = 0, master: str = "10.0.1.1:5050") -> bytes:
    """A cluster of 50 agents; the first `moved` tasks have another address."""
    listed = [
        {
            "id": f"app-{i}.group.1", "name": f"app-{i}.group", "slave_id": f"c-S{i % AGENTS}", "state": "TASK_RUNNING",
            "statuses": [status(i, "10.9.9.9" if i < moved else address(i))], "resources": {"ports": "[31000-31000]"},
            "discovery": {"name": f"app-{i}.group", "ports": {"ports": [{"number": 80, "name": "http"}]}},
        }
        for i in range(tasks)
    ]  # fmt: skip
    slaves = [{"id": f"c-S{i}", "hostname": f"10.0.0.{i}", "pid": f"slave(1)@10.0.0.{i}:5051"} for i in range(AGENTS)]
    frameworks = [{"id": "f-0", "name": "marathon", "hostname": "10.0.1.1", "tasks": listed}]
    return json.dumps({"leader": f"master@{master}", "slaves": slaves, "frameworks": frameworks}).encode()


class Master:
    """In a thread of its own. `move` tells of a task's new address and gives back when it was told."""

    def __init__(self, tasks: int) -> None:
        self._tasks = tasks
        self._loop = asyncio.new_event_loop()
        self._streams: list[web.StreamResponse] = []
        self._ended: asyncio.Event | None = None
        self.address = ""
        self.subscribed = threading.Event()

    def __enter__(self) -> Master:
        up: Future[str] = Future()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve(up)))
        self._thread.start()
        self.address = up.result(60)
        return self

    def __exit__(self, *_: object) -> None:
        if self._ended is not None:
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(60)
        self._loop.close()

    async def _serve(self, up: Future[str]) -> None:
        self._ended = asyncio.Event()
        app = web.Application()
        app.router.add_get("/master/state", self._state)
        app.router.add_post("/api/v1", self._subscribe)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        here = f"127.0.0.1:{runner.addresses[0][1]}"
        self._shown = document(self._tasks, master=here)
        up.set_result(here)
        await self._ended.wait()
        await runner.cleanup()

    async def _state(self, _: web.Request) -> web.Response:
        return web.Response(body=self._shown, content_type="application/json")

    async def _subscribe(self, request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Type": "application/json"})
        await reply.prepare(request)
        self._streams.append(reply)
        await self._tell({"type": "SUBSCRIBED"})
        self.subscribed.set()
        if self._ended is not None:
            await self._ended.wait()
        return reply

    async def _tell(self, event: dict[str, Any]) -> float:
        record = json.dumps(event).encode()
        for stream in self._streams[:]:
            try:
                await stream.write(b"%d\n%s" % (len(record), record))
            except ConnectionError:  # that reader has gone
                self._streams.remove(stream)
        return time.monotonic()

    def move(self, number: int, to: str) -> float:
        body = {"framework_id": {"value": "f-0"}, "status": status(number, to), "state": "TASK_RUNNING"}
        event = {"type": "TASK_UPDATED", "task_updated": body}
        return asyncio.run_coroutine_threadsafe(self._tell(event), self._loop).result(60)
