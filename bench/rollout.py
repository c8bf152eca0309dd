"""A rollout: where a host's seconds go beside what its parts cost alone, and what the framework costs with 50 agents.

The hosts are directories with a service manager and a node that answer at once: what is left is the product's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from tests.support.agent_hosts import Live, roller
from tests.support.rollout_host import AGENT, NODE, Box, box, want
from tests.support.scheduler_master import Agent, SchedulerMaster, Task
from tests.support.simulated_agents import SimulatedMaster

from bench import quick
from tortie.framework.subscription import Subscription, framework_info
from tortie.packages.rollout.artefact import Artefact, build
from tortie.packages.rollout.book import Driver
from tortie.packages.rollout.drive import drive, probe
from tortie.packages.rollout.hand import gate
from tortie.packages.rollout.inventory import Task as Host
from tortie.packages.rollout.inventory import plan
from tortie.packages.rollout.machine import Rollout
from tortie.packages.rollout.reach import BEGIN, Reach, asked, hand
from tortie.store.open import open_store
from tortie.wire import mesos

HOSTS, AGENTS, ROUNDS = (2, 5, 1) if quick() else (3, 50, 3)
PREFIX = "/tortie/v1/"


class Local(Reach):
    """A hand on this machine, in a process of its own as anywhere."""

    def __init__(self, host: Box) -> None:
        self._host = host

    def ask(self, request: Mapping[str, Any], payload: bytes = b"") -> dict[str, Any]:
        there = {"root": str(self._host.root), "systemctl": str(self._host.systemctl)}
        argv = [sys.executable, "-I", "-B", "-c", BEGIN, str(len(hand()))]
        return asked("here", argv, {**request, **there}, payload)


def run() -> list[tuple[str, str]]:
    return [*_hosts(), *_agents()]


# -- hosts -------------------------------------------------------------------------------------------------------------


def _hosts() -> list[tuple[str, str]]:
    """The same hosts twice: byte code that is made once for all, and byte code that each makes for itself."""
    spent = time.process_time()
    made = build(sys.executable)
    spent = time.process_time() - spent
    there = replace(made, compiled=b"")
    sent, compiling, bare_hosts = list[Any](), list[Any](), list[dict[str, float]]()
    for _ in range(1 if quick() else 2):
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as second, ExitStack() as stack:
            boxes = {f"h{number}": stack.enter_context(box()) for number in range(HOSTS)}
            others = {f"h{number}": stack.enter_context(box()) for number in range(HOSTS)}
            sent += _rolled(Path(folder), boxes, made).hosts
            compiling += _rolled(Path(second), others, there).hosts
            bare_hosts += [_bare(one, made) for one in boxes.values()]
    steps = [step.name for step in sent[0].steps]
    whole, before = ([sum(_seconds(host, step) for step in steps) for host in hosts] for hosts in (sent, compiling))
    alone = [sum(parts[name] for name in parts if name != "compile") for parts in bare_hosts]
    ratio = median(ours / bare for ours, bare in zip(whole, alone, strict=True))
    spread = ", ".join(f"{median(_seconds(host, step) for host in sent) * 1000:.0f} {step}" for step in steps)
    bare = ", ".join(f"{median(one[name] for one in bare_hosts) * 1000:.0f} {name}" for name in bare_hosts[0])
    sizes = f"{len(made.packed) / 1e6:.1f} MB and {len(made.compiled) / 1e6:.1f} MB of byte code"
    return [
        ("making the product, once for all hosts", f"{sizes}, {spent:.1f} s of processor time"),
        ("a host, without its settling time", f"{median(whole):.2f} s"),
        ("a host that compiles for itself, in the same run", f"{median(before):.2f} s"),
        ("where it goes", f"{spread} ms"),
        ("its parts alone", f"{bare} ms"),
        ("a host / its parts alone, compiling left out", f"{ratio:.2f}"),
        ("a process that reads the hand and ends", f"{_start() * 1000:.0f} ms, {len(steps)} of them a host"),
    ]


def _rolled(folder: Path, boxes: Mapping[str, Box], made: Artefact) -> Rollout:
    tasks = [Host(name, None, want(made.name, agent=AGENT)) for name in boxes]
    reaches = {name: Local(host) for name, host in boxes.items()}
    with closing(open_store(f"sqlite://{folder}/store")) as store, Driver(store, "the benchmark") as driver:
        wanted = plan(tasks, probe(tasks, reaches), made.name)
        driver.begin(wanted, wanted.rollout(time.time()))
        rolled = drive(driver, wanted, reaches, made, lambda _: None)
    assert all(host.mark == "done" for host in rolled.hosts), rolled
    return rolled


def _seconds(host: Any, name: str) -> float:
    step = host.step(name)
    return float(step.until - step.since)


def _bare(host: Box, made: Artefact) -> dict[str, float]:
    """The same by hand: what the steps cannot do without."""
    target = host.root / "bare"
    target.mkdir()

    def unpack() -> None:
        for packed in (made.packed, made.compiled):
            subprocess.run(["tar", "-xzf", "-", "-C", target], input=packed, check=True)

    def compiled() -> None:
        words = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(target)]
        subprocess.run([sys.executable, "-I", *words], check=True)

    def restart() -> None:
        for unit in (AGENT, NODE):
            subprocess.run([host.systemctl, "restart", unit], check=True)

    def ready() -> None:
        gate.wait(host.root / "run/tortie/node.sock", ("a",), (), 0.0, 60.0)

    parts = {"unpack": unpack, "compile": compiled, "two restarts": restart, "gate": ready}
    return {name: _timed(act) for name, act in parts.items()}


def _timed(act: Any) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def _start() -> float:
    """Python and the hand's source, and nothing done."""
    argv = [sys.executable, "-I", "-B", "-c", BEGIN, str(len(hand()))]

    def start() -> None:
        subprocess.run(argv, input=hand(), capture_output=True, check=False)

    return median(_timed(start) for _ in range(5))


# -- agents ------------------------------------------------------------------------------------------------------------


def _agents() -> list[tuple[str, str]]:
    rounds = [asyncio.run(_one_round()) for _ in range(ROUNDS)]
    requests = rounds[0]["requests"]
    per_host = median(one["seconds"] / AGENTS for one in rounds)
    ratio = median((one["seconds"] / one["requests"]) / one["bare"] for one in rounds)
    cpu = median((one["cpu"] / one["requests"]) / one["bare cpu"] for one in rounds)
    cpus = ", ".join(f"{one['cpu'] / one['requests'] * 1000:.1f}/{one['bare cpu'] * 1000:.1f}" for one in rounds)
    raw = ", ".join(f"{one['seconds'] / one['requests'] * 1000:.1f}/{one['bare'] * 1000:.1f}" for one in rounds)
    return [
        (
            f"{AGENTS} agents, {requests:.0f} requests: the whole rollout",
            f"{median(o['seconds'] for o in rounds):.1f} s",
        ),
        ("the framework's own for an agent, its master and hands included", f"{per_host * 1000:.0f} ms"),
        ("a request / offer, launch, RUNNING, FINISHED alone, same kind of master", f"{ratio:.2f}  ({raw} ms)"),
        ("the same in processor time, probes included", f"{cpu:.2f}  ({cpus} ms)"),
        ("writes to the store for an agent", f"{median(o['writes'] for o in rounds) / AGENTS:.1f}"),
        ("the rollout as it is written down each time", f"{rounds[0]['bytes'] / 1000:.1f} kB"),
    ]


async def _one_round() -> dict[str, float]:
    master = SchedulerMaster([Agent("A", "agent")])
    await master.start()
    try:
        bare = await _trips(master)
        with tempfile.TemporaryDirectory() as folder:
            return {"bare": bare[0], "bare cpu": bare[1], **await _rollout(Path(folder))}
    finally:
        await master.stop()


async def _rollout(folder: Path) -> dict[str, float]:
    master = SimulatedMaster([f"agent-{number}" for number in range(AGENTS)])
    await master.start()
    try:
        async with roller(folder, master) as live:
            spent = time.process_time()
            done = await _done(live)
            spent = time.process_time() - spent
            store = await asyncio.to_thread(open_store, f"sqlite://{folder}/store")
            with closing(store):
                found = store.get("/tortie/v1/rollout/state")
                revision = store.list(PREFIX).revision
            assert found is not None
            seconds = done["ended"] - done["begun"]
            return {
                "seconds": seconds,
                "cpu": spent,
                "requests": master.count("ACCEPT") - AGENTS,  # the probe's were before
                "writes": revision,
                "bytes": len(found.value),
            }
    finally:
        await master.stop()


async def _done(live: Live) -> Any:
    """Without asking all the time: that would be measured, too."""
    while True:
        await asyncio.sleep(0.5)
        status, shown = await live.call("GET", "/v1/summary")
        if status == 200 and shown["state"] == "done":
            return (await live.call("GET", "/v1/status"))[1]


async def _trips(master: SchedulerMaster) -> tuple[float, float]:
    """Seconds, and those of the processor, from an offer to the end of a task that ends at once."""
    trips, offers = asyncio.Event(), asyncio.Queue[mesos.Offer]()

    async def on_events(events: Sequence[mesos.Event]) -> None:
        for event in events:
            for offer in event.offers.offers if event.offers else ():
                offers.put_nowait(offer)
            if event.update is not None:
                status = event.update.status
                if status.uuid and status.agent_id:
                    said = mesos.Acknowledge(agent_id=status.agent_id, task_id=status.task_id, uuid=status.uuid)
                    framework.send([mesos.Call(type="ACKNOWLEDGE", acknowledge=said)])
                if status.state == "TASK_FINISHED":
                    trips.set()

    async def on_disconnect() -> None:
        pass

    def finish(task: Task) -> None:
        master.update(task, "TASK_RUNNING")
        master.update(task, "TASK_FINISHED")

    usual, master.run = master.run, finish  # type: ignore[method-assign]
    info = framework_info(
        name="bare", user="root", role="*", hostname="here", webui_url="", failover_timeout=0.0, framework_id=None
    )
    framework = Subscription([f"127.0.0.1:{master.port}"], lambda: info, on_events, on_disconnect)
    program = asyncio.ensure_future(framework.run())
    try:
        taken, spent, count = [], time.process_time(), 20 if quick() else 100
        for number in range(count):
            begun = time.perf_counter()
            async with asyncio.timeout(60):
                offer = await offers.get()
                trips.clear()
                framework.send([_launch(offer, number)])
                await trips.wait()
            taken.append(time.perf_counter() - begun)
        return median(taken), (time.process_time() - spent) / count
    finally:
        program.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await program
        master.run = usual  # type: ignore[method-assign]


def _launch(offer: mesos.Offer, number: int) -> mesos.Call:
    needs = [mesos.Resource(name="cpus", type="SCALAR", scalar=mesos.Scalar(value=0.1))]
    task = mesos.TaskInfo(
        name="bare", task_id=mesos.ID(value=f"bare-{number}"), agent_id=offer.agent_id, resources=needs
    )
    task.command = mesos.CommandInfo(value="true")
    launch = mesos.Operation(type="LAUNCH", launch=mesos.Launch(task_infos=[task]))
    return mesos.Call(type="ACCEPT", accept=mesos.Accept(offer_ids=[offer.id], operations=[launch]))
