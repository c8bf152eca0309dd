"""A Mesos master for one framework: the v1 scheduler API over HTTP, with agents that obey it.

It keeps the real rules: calls carry the stream's id, tasks fit into offers that are still good, updates repeat in
order until they are acknowledged, a second subscription of the same framework ends the first, filters hold until
revived. Tasks run as soon as they are launched unless `hold` says otherwise.
"""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from aiohttp import web

from tortie.wire.recordio import frame

PORTS = (31000, 31099)


@dataclass
class Agent:
    id: str
    hostname: str
    cpus: float = 4.0
    mem: float = 4096.0
    role: str = "*"
    ports: tuple[int, int] = PORTS
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass
class Task:
    info: dict[str, Any]
    agent: Agent
    state: str = "TASK_STAGING"
    address: str = ""

    @property
    def live(self) -> bool:
        return self.state in ("TASK_STAGING", "TASK_RUNNING", "TASK_KILLING")


class SchedulerMaster:
    """Starts on a free port of 127.0.0.1; `calls` records every call, `tasks` every task ever launched."""

    def __init__(self, agents: list[Agent]) -> None:
        self.agents = {agent.id: replace(agent) for agent in agents}
        self.tasks: dict[str, Task] = {}
        self.calls: list[dict[str, Any]] = []
        self.offers: dict[str, Agent] = {}
        self.unacknowledged: dict[str, list[dict[str, Any]]] = {}
        self.hold: Callable[[Task], bool] = lambda _task: False
        self.die_on_launch: Callable[[Task], bool] = lambda _task: False
        self.refuse_subscribe: str | None = None
        self.framework: str | None = None
        self.subscriptions = 0
        self.port = 0
        self._filters: dict[str, float] = {}
        self._suppressed = False
        self._stream = ""
        self._queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> None:
        app = web.Application()
        app.router.add_post("/api/v1/scheduler", self._scheduler)
        self.routes(app)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port or self.port)
        await site.start()
        assert self._runner.addresses
        self.port = self._runner.addresses[0][1]

    def routes(self, app: web.Application) -> None:
        """What a test's master answers besides."""

    async def stop(self) -> None:
        self.cut()
        if self._runner is not None:
            await self._runner.cleanup()

    def cut(self) -> None:
        """Ends the present stream, as a network failure would."""
        self._queue.put_nowait(None)

    def live(self, app: str = "") -> list[Task]:
        return [t for t in self.tasks.values() if t.live and t.info["name"].startswith(app)]

    def count(self, kind: str) -> int:
        return sum(call["type"] == kind for call in self.calls)

    # -- what agents do ------------------------------------------------------------------------------------------------

    def run(self, task: Task) -> None:
        task.address = task.address or f"192.168.0.{len(self.tasks)}"
        self.update(task, "TASK_RUNNING")

    def update(self, task: Task, state: str, **fields: Any) -> None:
        """A status update of the agent: sent once the one before has been acknowledged."""
        task.state = state
        status = self._status(task, state) | fields
        status["uuid"] = base64.b64encode(uuid.uuid4().bytes).decode()
        waiting = self.unacknowledged.setdefault(task.info["task_id"]["value"], [])
        waiting.append(status)
        if len(waiting) == 1:
            self._say({"type": "UPDATE", "update": {"status": status}})
        if not task.live:
            self._filters.pop(task.agent.id, None)
            self.offer()

    def _status(self, task: Task, state: str) -> dict[str, Any]:
        status: dict[str, Any] = {
            "task_id": task.info["task_id"],
            "agent_id": {"value": task.agent.id},
            "state": state,
            "source": "SOURCE_EXECUTOR",
        }
        if task.address:
            network = {"ip_addresses": [{"ip_address": task.address}]}
            status["container_status"] = {"network_infos": [network]}
        return status

    def _left(self, agent: Agent) -> tuple[float, float]:
        used = [t for t in self.tasks.values() if t.agent is agent and t.live]
        totals = {
            name: sum(r["scalar"]["value"] for t in used for r in t.info["resources"] if r["name"] == name)
            for name in ("cpus", "mem")
        }
        return agent.cpus - totals["cpus"], agent.mem - totals["mem"]

    def offer(self) -> None:
        """Offers what is free on every agent that has no offer out and no filter on it."""
        if self._suppressed or self.framework is None:
            return
        offers = []
        for agent in self.agents.values():
            cpus, mem = self._left(agent)
            if agent.id in self._filters or agent in self.offers.values() or cpus < 0.01 or mem < 1:
                continue
            offer_id = str(uuid.uuid4())
            self.offers[offer_id] = agent
            offers.append(self._offer(offer_id, agent, cpus, mem))
        if offers:
            self._say({"type": "OFFERS", "offers": {"offers": offers}})

    def _offer(self, offer_id: str, agent: Agent, cpus: float, mem: float) -> dict[str, Any]:
        taken = {
            port
            for task in self.live()
            if task.agent is agent
            for resource in task.info["resources"]
            for piece in resource.get("ranges", {}).get("range", [])
            for port in range(piece["begin"], piece["end"] + 1)
        }
        low, high = agent.ports
        free = [{"begin": p, "end": p} for p in range(low, high + 1) if p not in taken]
        return {
            "id": {"value": offer_id},
            "framework_id": {"value": self.framework},
            "agent_id": {"value": agent.id},
            "hostname": agent.hostname,
            "resources": [
                {"name": "cpus", "type": "SCALAR", "scalar": {"value": cpus}, "role": agent.role},
                {"name": "mem", "type": "SCALAR", "scalar": {"value": mem}, "role": agent.role},
                {"name": "ports", "type": "RANGES", "ranges": {"range": free}, "role": agent.role},
            ],
            "attributes": [{"name": k, "type": "TEXT", "text": {"value": v}} for k, v in agent.attributes.items()],
        }

    # -- the API -------------------------------------------------------------------------------------------------------

    def _say(self, event: dict[str, Any]) -> None:
        self._queue.put_nowait(event)

    async def _scheduler(self, request: web.Request) -> web.StreamResponse:
        call = msgspec.json.decode(await request.read())
        self.calls.append(call)
        if call["type"] == "SUBSCRIBE":
            return await self._subscribe(request, call)
        if request.headers.get("Mesos-Stream-Id") != self._stream:
            return web.Response(status=400, text="The stream ID included in this request didn't match")
        if call["framework_id"]["value"] != self.framework:
            return web.Response(status=400, text="Framework cannot be found")
        await getattr(self, "_" + call["type"].lower())(call)
        return web.Response(status=202)

    async def _subscribe(self, request: web.Request, call: dict[str, Any]) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Type": "application/json", "Mesos-Stream-Id": str(uuid.uuid4())})
        reply.enable_chunked_encoding()
        await reply.prepare(request)
        if self.refuse_subscribe:
            await reply.write(
                frame(msgspec.json.encode({"type": "ERROR", "error": {"message": self.refuse_subscribe}}))
            )
            return reply
        self._queue.put_nowait(None)
        self._queue = asyncio.Queue()
        queue = self._queue
        self._stream = reply.headers["Mesos-Stream-Id"]
        self.framework = call.get("framework_id", {}).get("value") or f"framework-{uuid.uuid4()}"
        self.subscriptions += 1
        self.offers.clear()
        self._filters.clear()
        self._suppressed = False
        about = {"framework_id": {"value": self.framework}, "heartbeat_interval_seconds": 15.0}
        self._say({"type": "SUBSCRIBED", "subscribed": about})
        self._say({"type": "HEARTBEAT"})
        for waiting in self.unacknowledged.values():
            if waiting:
                self._say({"type": "UPDATE", "update": {"status": waiting[0]}})
        self.offer()
        while (event := await queue.get()) is not None:
            await reply.write(frame(msgspec.json.encode(event)))
        return reply

    async def _accept(self, call: dict[str, Any]) -> None:
        accept = call["accept"]
        agents = [self.offers.pop(offer["value"], None) for offer in accept["offer_ids"]]
        infos = [info for op in accept.get("operations", []) for info in op["launch"]["task_infos"]]
        for info in infos:
            assert info["command"].get("value") or not info["command"].get("shell", True), "nothing to run"
            agent = agents[0]
            if agent is None or agent.id != info["agent_id"]["value"]:
                status = {"task_id": info["task_id"], "state": "TASK_DROPPED", "reason": "REASON_INVALID_OFFERS"}
                self._say({"type": "UPDATE", "update": {"status": status | {"message": "Offer is no longer valid"}}})
                continue
            self._launch(Task(info, agent))
        if agents[0] is not None and accept.get("filters", {}).get("refuse_seconds") != 0:
            self._filters[agents[0].id] = 1
        self.offer()

    def _launch(self, task: Task) -> None:
        needs = {r["name"]: r["scalar"]["value"] for r in task.info["resources"] if "scalar" in r}
        cpus, mem = self._left(task.agent)
        assert needs.get("cpus", 0) <= cpus + 1e-6, "more cpus than offered"
        assert needs.get("mem", 0) <= mem + 1e-6, "more memory than offered"
        assert all(r.get("role", "*") == task.agent.role for r in task.info["resources"]), "of a role not offered"
        assert task.info["task_id"]["value"] not in self.tasks, "launched twice"
        self.tasks[task.info["task_id"]["value"]] = task
        if self.die_on_launch(task):
            self.update(task, "TASK_FAILED", message="Container exited with status 1")
        elif not self.hold(task):
            self.run(task)

    async def _decline(self, call: dict[str, Any]) -> None:
        for offer in call["decline"]["offer_ids"]:
            agent = self.offers.pop(offer["value"], None)
            if agent is not None:
                self._filters[agent.id] = call["decline"].get("filters", {}).get("refuse_seconds", 5.0)

    async def _revive(self, _call: dict[str, Any]) -> None:
        self._filters.clear()
        self._suppressed = False
        self.offer()

    async def _teardown(self, _call: dict[str, Any]) -> None:
        self.refuse_subscribe = "Framework has been removed"
        self.cut()

    async def _suppress(self, _call: dict[str, Any]) -> None:
        self._suppressed = True

    async def _kill(self, call: dict[str, Any]) -> None:
        task = self.tasks.get(call["kill"]["task_id"]["value"])
        if task is None:
            self._say({"type": "UPDATE", "update": {"status": self._unknown(call["kill"]["task_id"])}})
        elif task.live:
            self.update(task, "TASK_KILLED")

    async def _acknowledge(self, call: dict[str, Any]) -> None:
        said = call["acknowledge"]
        waiting = self.unacknowledged.get(said["task_id"]["value"], [])
        if waiting and waiting[0]["uuid"] == said["uuid"]:
            waiting.pop(0)
            if waiting:
                self._say({"type": "UPDATE", "update": {"status": waiting[0]}})

    async def _reconcile(self, call: dict[str, Any]) -> None:
        asked = [item["task_id"] for item in call.get("reconcile", {}).get("tasks", [])]
        for task_id in asked or [task.info["task_id"] for task in self.live()]:
            task = self.tasks.get(task_id["value"])
            if task is None or not (task.live or self.unacknowledged.get(task_id["value"])):
                status = self._unknown(task_id)
            else:
                about = {"source": "SOURCE_MASTER", "reason": "REASON_RECONCILIATION"}
                status = self._status(task, task.state) | about
            self._say({"type": "UPDATE", "update": {"status": status}})

    def _unknown(self, task_id: dict[str, str]) -> dict[str, Any]:
        return {
            "task_id": task_id,
            "state": "TASK_UNKNOWN",
            "source": "SOURCE_MASTER",
            "reason": "REASON_RECONCILIATION",
            "message": "Reconciliation: Task is unknown",
        }
