"""A Mesos master whose tasks are real etcd members on loopback, and the framework that looks after them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.etcd_server import ETCD
from tests.support.ports import free_port
from tests.support.scheduler_master import Agent, SchedulerMaster, Task
from tests.support.waiting import PATIENCE, until
from tortie.packages.etcd.run import Settings, run
from tortie.packages.etcd.tasks import Needs
from tortie.packages.etcd.values import Wanted


def agents(count: int) -> list[Agent]:
    """Agents on 127.0.0.1, each with three ports of its own at a time."""
    return [Agent(f"A{index}", "127.0.0.1", ports=(0, 0)) for index in range(1, count + 1)]


class MembersMaster(SchedulerMaster):
    """Runs the command of each task in a sandbox below `work`; what ends by itself has failed."""

    def __init__(self, work: Path, count: int) -> None:
        super().__init__(agents(count))
        self.work = work
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._waiting: set[asyncio.Future[None]] = set()
        self._ports: dict[str, list[int]] = {}
        self._ending = False

    def _offer(self, offer_id: str, agent: Agent, cpus: float, mem: float) -> dict[str, Any]:
        offer = super()._offer(offer_id, agent, cpus, mem)
        taken = {
            piece["begin"]
            for task in self.tasks.values()
            for resource in task.info["resources"]
            for piece in resource.get("ranges", {}).get("range", [])
        }
        ports = [port for port in self._ports.get(agent.id, []) if port not in taken]
        self._ports[agent.id] = ports = ports if len(ports) >= 3 else sorted(free_port() for _ in range(3))
        for resource in offer["resources"]:
            if resource["name"] == "ports":
                resource["ranges"] = {"range": [{"begin": port, "end": port} for port in ports]}
        disk = {"name": "disk", "type": "SCALAR", "scalar": {"value": 4096.0}, "role": agent.role}
        return offer | {"resources": [*offer["resources"], disk]}

    def run(self, task: Task) -> None:
        name = task.info["task_id"]["value"]
        sandbox = self.work / name
        sandbox.mkdir(parents=True)
        watch = asyncio.ensure_future(self._run(task, name, sandbox))
        self._waiting.add(watch)
        watch.add_done_callback(self._waiting.discard)

    async def _run(self, task: Task, name: str, sandbox: Path) -> None:
        process = await asyncio.to_thread(_start, task.info["command"], sandbox)
        self.processes[name] = process
        if self._ending or not task.live:  # it was ended before it had begun
            process.kill()
        else:
            self.update(task, "TASK_RUNNING")
        code = await asyncio.to_thread(process.wait)
        if task.live:
            self.update(task, "TASK_FAILED", message=f"exit {code}")

    async def _kill(self, call: dict[str, Any]) -> None:
        process = self.processes.get(call["kill"]["task_id"]["value"])
        if process is not None:
            process.kill()
        await super()._kill(call)

    def member(self, name: str) -> Task:
        """The task of the member of this name."""
        return next(task for id_, task in self.tasks.items() if id_.startswith(f"{name}."))

    def end(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """The member's process is killed, as a fault would."""
        self.processes[self.member(name).info["task_id"]["value"]].send_signal(how)

    async def stop(self) -> None:
        self._ending = True
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
        await asyncio.gather(*self._waiting, return_exceptions=True)
        await super().stop()


def _start(command: dict[str, Any], sandbox: Path) -> subprocess.Popen[bytes]:
    for uri in command.get("uris", []):
        with urllib.request.urlopen(uri["value"], timeout=PATIENCE) as reply:
            (sandbox / uri["output_file"]).write_bytes(reply.read())
    line = command["value"].replace("exec etcd ", f"exec {ETCD} --unsafe-no-fsync ")
    with open(sandbox / "log", "ab") as log:
        return subprocess.Popen(
            ["/bin/sh", "-c", line],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "MESOS_SANDBOX": str(sandbox)},
            start_new_session=True,
        )


class Live:
    """The framework's pages."""

    def __init__(self, port: int, session: aiohttp.ClientSession, program: asyncio.Future[None]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.session = session
        self.program = program

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and body; 0 while nobody answers."""
        try:
            async with self.session.request(method, self.url + path, json=body) as reply:
                is_json = reply.content_type == "application/json"
                return reply.status, await (reply.json() if is_json else reply.text())
        except aiohttp.ClientError:
            return 0, None

    async def whole(self, count: int = 3) -> list[str]:
        """Waits until it is healthy with as many members; their names."""
        last: list[Any] = []

        async def is_whole() -> bool:
            last[:] = [await self.call("GET", "/healthz"), (await self.call("GET", "/json"))[1]]
            return last[0][0] == 200 and len(last[1]["members"]) == count

        await until(is_whole, message=lambda: f"{count} healthy members, there is {last}")
        return [one["name"] for one in last[1]["members"]]

    async def says(self, words: str) -> str:
        """Waits until the framework says these words about why it is not healthy; all that it says."""
        last: list[Any] = [None]

        async def said() -> bool:
            last[0] = await self.call("GET", "/healthz")
            return last[0][0] == 500 and words in last[0][1]

        await until(said, message=lambda: f"{words!r}, it says {last}")
        text: str = last[0][1]
        return text


PATIENT = Wanted(election=2.0, unreachable=12.0, hung=PATIENCE * 10)


@asynccontextmanager
async def framework(directory: Path, master: SchedulerMaster, wanted: Wanted = PATIENT) -> AsyncIterator[Live]:
    """Runs until the block ends, which ends it as a kill would for its members: they run on."""
    port = free_port()
    settings = Settings(
        masters=[f"127.0.0.1:{master.port}"],
        store=f"sqlite://{directory}/store",
        hostname="127.0.0.1",
        address="127.0.0.1",
        port=port,
        needs=Needs(cpus=0.5, mem=64, disk=64, image="", container="host"),
        wanted=wanted,
    )
    program = asyncio.ensure_future(run(settings))
    async with aiohttp.ClientSession() as session:
        try:
            yield Live(port, session, program)
        finally:
            program.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await program
