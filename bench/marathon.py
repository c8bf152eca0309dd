"""Marathon against a master whose agents obey at once: the start of many instances, an upgrade, its decisions."""

from __future__ import annotations

import asyncio
import base64
import random
import statistics
import tempfile
import time
import uuid
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import msgspec
from aiohttp import web
from tests.support.marathon_live import Live, marathon, sleeper
from tests.support.mesos_cluster import Daemon
from tests.support.ports import free_port
from tests.support.scheduler_master import Agent, SchedulerMaster
from tests.support.waiting import until

from bench import quick
from tortie.marathon.api.encoded import Encoded
from tortie.marathon.api.views import embeds
from tortie.marathon.brain import Brain, Options
from tortie.marathon.deploy.instance import Instance
from tortie.marathon.launcher import Launcher
from tortie.marathon.model.app import App
from tortie.marathon.model.tree import Tree
from tortie.marathon.world import World
from tortie.mesos.protocol import PATH
from tortie.mesos.resources import parse, to_wire
from tortie.wire import mesos
from tortie.wire.recordio import Deframer

INSTANCES = 20 if quick() else 500
AGENTS = 5 if quick() else 50
ROLLED = 3 if quick() else 20
APPS = 30 if quick() else 1000
ROUNDS = 1 if quick() else 3


def _agents(hostname: str = "") -> list[Agent]:
    return [Agent(f"A{n}", hostname or f"172.24.197.{n}", cpus=64, mem=262144) for n in range(AGENTS)]


async def _running(live: Live, wanted: int) -> bool:
    return bool((await live.call("GET", "/v2/apps")).body["apps"][0]["tasksRunning"] == wanted)


async def _start(directory: Path) -> tuple[float, float]:
    """Seconds to the first task of an idle cluster, and to the last of many."""
    master = SchedulerMaster(_agents())
    await master.start()
    async with marathon(directory, master) as live:
        began = time.perf_counter()
        await live.call("PUT", "/v2/apps/a", sleeper(instances=1, mem=8))
        await until(lambda: _running(live, 1))
        first = time.perf_counter() - began
        began = time.perf_counter()
        await live.call("PUT", "/v2/apps/a", {"instances": INSTANCES + 1}, params={"force": "true"})
        await until(lambda: _running(live, INSTANCES + 1))
        many = time.perf_counter() - began
    await master.stop()
    return first, many


class _Stub:
    """An agent without containers: what it is told to run runs at once."""

    def __init__(self, session: aiohttp.ClientSession, port: int, number: int) -> None:
        self.session = session
        self.url = f"http://127.0.0.1:{port}{PATH}"
        resources = to_wire(parse("cpus:64;mem:262144;ports:[1025-32000]"))
        self.info = msgspec.json.decode(mesos.encode(mesos.AgentInfo(hostname=f"h{number}", resources=resources)))
        self.id: Any = None

    async def run(self) -> None:
        call = {"type": "SUBSCRIBE", "subscribe": {"agent_info": self.info, "ip": "10.0.0.1"}}
        async with self.session.post(self.url, json=call) as reply:
            stream, deframer = reply.headers["Mesos-Stream-Id"], Deframer()
            async for data in reply.content.iter_any():
                for record in deframer.feed(data):
                    message = msgspec.json.decode(record)
                    if found := self._answer(message):
                        await self.session.post(self.url, json=found, headers={"Mesos-Stream-Id": stream})

    def _answer(self, message: dict[str, Any]) -> dict[str, Any] | None:
        if "registered" in message:
            self.id = message["registered"]["agent_id"]
        if message["type"] == "PING":
            return {"type": "PONG", "agent_id": self.id}
        if message["type"] != "RUN_TASK":
            return None
        asked = message["run_task"]
        status = {"task_id": asked["task"]["task_id"], "state": "TASK_RUNNING", "agent_id": self.id, "timestamp": 1.0}
        status["uuid"] = base64.b64encode(uuid.uuid4().bytes).decode()
        update = {"framework_id": asked["framework"]["id"], "status": status, "latest": "TASK_RUNNING"}
        return {"type": "STATUS_UPDATE", "agent_id": self.id, "update": update}


async def _with_our_master(directory: Path) -> float:
    """Seconds until many tasks run on agents of a master of ours, which is a process of its own."""
    port = free_port()
    words = ("master", "run", "--ip", "127.0.0.1", "--port", str(port), "--store", f"sqlite://{directory}/master")
    daemon = Daemon(port, directory / "log", *words)
    timeout = aiohttp.ClientTimeout(total=None)
    with daemon.running():
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
            stubs = [asyncio.ensure_future(_Stub(session, port, n).run()) for n in range(AGENTS)]
            async with marathon(directory, cast(SchedulerMaster, SimpleNamespace(port=port))) as live:
                await live.call("PUT", "/v2/apps/a", sleeper(instances=1, mem=8))
                await until(lambda: _running(live, 1))
                began = time.perf_counter()
                await live.call("PUT", "/v2/apps/a", {"instances": INSTANCES + 1}, params={"force": "true"})
                await until(lambda: _running(live, INSTANCES + 1))
                spent = time.perf_counter() - began
            for stub in stubs:
                stub.cancel()
            await asyncio.gather(*stubs, return_exceptions=True)
    return spent


async def _roll(directory: Path) -> tuple[float, float]:
    """Seconds that a rolling upgrade takes whose health is checked every 100 ms, and of that to the first event."""

    async def health(_request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/", health)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    check = {"path": "/", "port": runner.addresses[0][1], "intervalSeconds": 0.1, "timeoutSeconds": 20}
    master = SchedulerMaster(_agents("127.0.0.1"))
    await master.start()
    async with marathon(directory, master) as live:
        await live.call("PUT", "/v2/apps/a", sleeper(instances=ROLLED, mem=8, healthChecks=[check]))
        await live.settled()
        heard = asyncio.ensure_future(_first_event(live))
        await asyncio.sleep(0.2)
        began = time.perf_counter()
        await live.call("PUT", "/v2/apps/a", {"labels": {"new": "yes"}})
        first = await heard - began
        await live.settled()
        whole = time.perf_counter() - began
    await master.stop()
    await runner.cleanup()
    return whole, first


async def _first_event(live: Live) -> float:
    """When the first step of a deployment was heard of."""
    async with live.session.get(f"{live.url}/v2/events", params={"event_type": "deployment_info"}) as reply:
        async for line in reply.content:
            if line.startswith(b"event: deployment_info"):
                return time.perf_counter()
    raise AssertionError("the stream ended")


def _decisions() -> tuple[float, float]:
    """Microseconds per status update while many instances start, and while they are replaced."""
    numbers = count(1)
    brain = Brain(World(), Options(), lambda: f"p{next(numbers)}")
    launcher = Launcher(brain, random.Random(1), lambda: f"u{next(numbers)}")
    launcher.subscribed("F", 0.0)
    app = App(id="/a", cmd="x", cpus=0.1, mem=1, instances=INSTANCES)
    spent = []
    for now, version in ((1.0, "1"), (1000.0, "2")):
        began, updates = time.perf_counter(), 0
        wanted = msgspec.structs.replace(app, env={"VERSION": version})
        brain.change(lambda tree, wanted=wanted: tree.put(wanted), now)  # type: ignore[misc]
        while brain.world.plans:
            brain.settle(now)
            if brain.demand:
                launcher.offers(_offers(), now)
            for kill in (call.kill for call in brain.world.take().calls if call.kill is not None):
                updates += _say(brain, kill.task_id.value, "TASK_KILLED", now)
            for instance in [i for i in brain.world.instances.values() if i.state == "TASK_STAGING"]:
                updates += _say(brain, instance.id, "TASK_RUNNING", now)
            brain.settle(now)
        spent.append((time.perf_counter() - began) / updates * 1e6)
    return spent[0], spent[1]


def _listing() -> tuple[float, float]:
    """Milliseconds to list all apps with their tasks: for the first time, and after one task has changed."""
    brain = Brain(World(), Options(), lambda: "p")
    known = {f"/g/a{n}": App(id=f"/g/a{n}", cmd="x", version="1", labels={"HAPROXY_GROUP": "e"}) for n in range(APPS)}
    brain.world.put_tree(Tree(apps=known, version="1"))
    for n in range(APPS * 3):
        app_id = f"/g/a{n % APPS}"
        task = Instance(id=f"t{n}", app=app_id, version="1", agent="A", host="h", state="TASK_RUNNING", started_at=1.0)
        brain.world.put_instance(task)
    encoded, embed = Encoded(brain), embeds(["apps.tasks"])

    def listed(now: float) -> float:
        began = time.perf_counter()
        msgspec.json.encode({"apps": encoded.apps(brain.world.tree.apps.values(), embed, now)})
        return (time.perf_counter() - began) * 1000

    first, later = listed(2.0), []
    for n in range(20):
        brain.world.put_instance(msgspec.structs.replace(brain.world.instances[f"t{n}"], healthy=True))
        later.append(listed(3.0))
    return first, statistics.median(later)


def _say(brain: Brain, task: str, state: Any, now: float) -> int:
    brain.status(mesos.TaskStatus(task_id=mesos.ID(value=task), state=state), now)
    brain.settle(now)
    return 1


def _offers() -> list[mesos.Offer]:
    found = []
    for n in range(AGENTS):
        resources = [
            mesos.Resource(name=name, type="SCALAR", scalar=mesos.Scalar(value=1e6)) for name in ("cpus", "mem")
        ]
        ports = mesos.Ranges(range=[mesos.Range(begin=1025, end=32000)])
        resources.append(mesos.Resource(name="ports", type="RANGES", ranges=ports))
        named = mesos.ID(value=f"O{n}")
        found.append(mesos.Offer(id=named, framework_id=named, agent_id=named, hostname=f"h{n}", resources=resources))
    return found


def run() -> list[tuple[str, str]]:
    starts, rolls = [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as work:
            starts.append(asyncio.run(_start(Path(work))))
        with tempfile.TemporaryDirectory() as work:
            rolls.append(asyncio.run(_roll(Path(work))))
    first, many = (statistics.median(column) for column in zip(*starts, strict=True))
    whole, event = (statistics.median(column) for column in zip(*rolls, strict=True))
    with tempfile.TemporaryDirectory() as work:
        ours = asyncio.run(_with_our_master(Path(work)))
    starting, rolling = _decisions()
    anew, again = _listing()
    return [
        ("the first task of an idle cluster, from PUT to RUNNING in the API", f"{first * 1000:.0f} ms"),
        (f"{INSTANCES} instances on {AGENTS} agents that answer at once", f"{many:.2f} s"),
        (f"{INSTANCES} instances on {AGENTS} such agents of our master, in one process with Marathon", f"{ours:.2f} s"),
        (f"rolling upgrade of {ROLLED} instances, health every 100 ms", f"{whole:.2f} s"),
        ("its first step on the event stream", f"{event * 1000:.0f} ms"),
        (f"decisions per update while {INSTANCES} start", f"{starting:.0f} us"),
        (f"decisions per update while {INSTANCES} are replaced", f"{rolling:.0f} us"),
        (f"list of {APPS} apps with 3 tasks each, the first", f"{anew:.1f} ms"),
        ("the same after a change", f"{again:.1f} ms"),
    ]
