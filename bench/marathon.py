"""Marathon against a master whose agents obey at once: the start of many instances, an upgrade, its decisions."""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web
from tests.support.marathon_live import Live, marathon, sleeper
from tests.support.scheduler_master import Agent, SchedulerMaster
from tests.support.waiting import until

from tortie.marathon.brain import Brain, Options
from tortie.marathon.launcher import Launcher
from tortie.marathon.model.app import App
from tortie.marathon.world import World
from tortie.wire import mesos

INSTANCES = 500
AGENTS = 50
ROLLED = 20


def _agents(hostname: str = "") -> list[Agent]:
    return [Agent(f"A{n}", hostname or f"172.24.197.{n}", cpus=64, mem=262144) for n in range(AGENTS)]


async def _running(live: Live, wanted: int) -> bool:
    return bool((await live.call("GET", "/v2/apps/a")).body["app"]["tasksRunning"] == wanted)


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
    for _ in range(3):
        with tempfile.TemporaryDirectory() as work:
            starts.append(asyncio.run(_start(Path(work))))
        with tempfile.TemporaryDirectory() as work:
            rolls.append(asyncio.run(_roll(Path(work))))
    first, many = (statistics.median(column) for column in zip(*starts, strict=True))
    whole, event = (statistics.median(column) for column in zip(*rolls, strict=True))
    starting, rolling = _decisions()
    return [
        ("the first task of an idle cluster, from PUT to RUNNING in the API", f"{first * 1000:.0f} ms"),
        (f"{INSTANCES} instances on {AGENTS} agents that answer at once", f"{many:.2f} s"),
        (f"rolling upgrade of {ROLLED} instances, health every 100 ms", f"{whole:.2f} s"),
        ("its first step on the event stream", f"{event * 1000:.0f} ms"),
        (f"decisions per update while {INSTANCES} start", f"{starting:.0f} us"),
        (f"decisions per update while {INSTANCES} are replaced", f"{rolling:.0f} us"),
    ]
