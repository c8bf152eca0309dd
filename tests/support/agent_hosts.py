"""A Mesos master whose agents are directories that stand for hosts, and the framework that rolls out to them."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.support.hand_relay import relayed
from tests.support.ports import free_port
from tests.support.rollout_host import AGENT, Box, artefact
from tests.support.scheduler_master import Agent, SchedulerMaster, Task
from tests.support.waiting import PATIENCE, until
from tortie.node.first import First
from tortie.packages.calico.run import Settings, run
from tortie.packages.calico.stations import ABSENT_SECONDS
from tortie.packages.calico.tasks import Needs
from tortie.packages.calico.values import Wanted
from tortie.packages.rollout.artefact import Artefact
from tortie.packages.rollout.hand.artefact import tag
from tortie.packages.rollout.inventory import Cni, Product
from tortie.packages.rollout.reach import hand
from tortie.packages.stations import ADDRESS

ROOT = Path(__file__).parents[2]
MEMBERS = [("10.0.0.1", 31000), ("10.0.0.2", 31001), ("10.0.0.3", 31002)]
GIVEN = "given"
WHOLE = 6 * PATIENCE
"""For a rollout: each of its steps begins when the one before it has ended."""
APART = '#!/bin/sh\necho "$@" >> "$(dirname "$0")/apart"\nshift 3\nexec "$@"\n'


class HostsMaster(SchedulerMaster):
    """Runs each hand on the box of its agent. `members`: what the etcd framework says, nothing while it is not healthy.
    `before`, `fetched`: called, in a thread, before a hand is fetched and before it runs; what they raise ends it."""

    def __init__(self, work: Path, boxes: dict[str, Box], public: str = "") -> None:
        super().__init__([Agent(f"A-{name}", name, role="slave_public" if name == public else "*") for name in boxes])
        self.work, self.boxes = work, boxes
        self.members = list(MEMBERS)
        self.before: Callable[[str, Task], None] = lambda _host, _task: None
        self.fetched: Callable[[str, Task], None] = lambda _host, _task: None
        self.together: list[str] = []
        self._running: set[asyncio.Future[None]] = set()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._killed = set[str]()
        for box in boxes.values():
            apart = box.systemctl.with_name("systemd-run")
            apart.write_text(APART)
            apart.chmod(0o755)

    def routes(self, app: web.Application) -> None:
        app.router.add_get("/master/slaves", self._slaves)
        app.router.add_get("/master/frameworks", self._frameworks)
        app.router.add_get("/etcd/healthz", self._healthz)
        app.router.add_get("/etcd/members", self._members)

    async def _slaves(self, _request: web.Request) -> web.Response:
        slaves = [
            {"id": one.id, "hostname": one.hostname, "reserved_resources": {} if one.role == "*" else {one.role: {}}}
            for one in self.agents.values()
        ]
        return web.json_response({"slaves": slaves})

    async def _frameworks(self, _request: web.Request) -> web.Response:
        page = f"http://127.0.0.1:{self.port}/etcd/"
        return web.json_response({"frameworks": [{"id": "F", "name": "etcd", "webui_url": page}]})

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="cluster is healthy\n" if self.members else "one is away", status=200)

    async def _members(self, _request: web.Request) -> web.Response:
        return web.json_response([{"host": host, "clientPort": port} for host, port in self.members])

    def run(self, task: Task) -> None:
        if task.info["name"].startswith("calico-apply"):
            others = [one for one in self.live("calico-apply") if one.agent is not task.agent]
            self.together += [one.agent.hostname for one in others]
        self.update(task, "TASK_RUNNING")
        watch = asyncio.ensure_future(self._run(task))
        self._running.add(watch)
        watch.add_done_callback(self._running.discard)

    async def _run(self, task: Task) -> None:
        try:
            code = await asyncio.to_thread(self._hand, task)
        except (OSError, http.client.HTTPException) as error:
            code, task_said = 1, str(error)
        else:
            task_said = ""
        if task.live:
            self.update(task, "TASK_FINISHED" if code == 0 else "TASK_FAILED", message=task_said)

    def _hand(self, task: Task) -> int:
        host = task.agent.hostname
        self.before(host, task)
        sandbox = self.work / task.info["task_id"]["value"]
        sandbox.mkdir(parents=True)
        address = address_of(task)
        with urllib.request.urlopen(address, timeout=PATIENCE) as reply:
            (sandbox / GIVEN).write_bytes(led(reply.read(), self.boxes[host], "systemd-run"))
        self.fetched(host, task)
        with open(sandbox / "log", "ab") as log, relayed(sandbox / GIVEN, address) as own:
            process = subprocess.Popen(
                ["/bin/sh", "-c", task.info["command"]["value"]],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, ADDRESS: own},
                start_new_session=True,
            )
            self._processes[sandbox.name] = process
            if sandbox.name in self._killed:
                os.killpg(process.pid, signal.SIGKILL)
            return process.wait()

    async def _kill(self, call: dict[str, Any]) -> None:
        task_id = call["kill"]["task_id"]["value"]
        self._killed.add(task_id)  # before looking: one that begins only now looks here
        process = self._processes.get(task_id)
        if process is not None and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            await asyncio.to_thread(process.wait)
        await super()._kill(call)

    async def stop(self) -> None:
        await asyncio.gather(*self._running, return_exceptions=True)
        await super().stop()


def address_of(task: Task) -> str:
    """Where it finds its request. Nobody sees it who looks at command lines."""
    (variable,) = task.info["command"]["environment"]["variables"]
    assert variable["name"] == ADDRESS
    address: str = variable["value"]
    assert address.rpartition("/")[2] not in task.info["command"]["value"]
    return address


def led(given: bytes, box: Box, apart: str = "") -> bytes:
    """The request, for the box instead of this machine."""
    size = len(hand())
    line, _, payload = given[size:].partition(b"\n")
    request = json.loads(line)
    assert request.get("apart", "") == apart
    request |= {"root": str(box.root), "systemctl": str(box.systemctl)}
    if apart:
        request["apart"] = str(box.systemctl.with_name(apart))
    return given[:size] + json.dumps(request).encode() + b"\n" + payload


def quiet(shown: Any) -> bool:
    """Whether there is nothing that the roller waits for, or looks for."""
    return not shown["trouble"] and not shown["looking"]


class Live:
    """The framework's pages."""

    def __init__(self, url: str, session: aiohttp.ClientSession, program: asyncio.Future[None]) -> None:
        self.url, self.session, self.program = url, session, program

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and body; 0 while nobody answers."""
        try:
            async with self.session.request(method, self.url + path, json=body, headers=headers) as reply:
                is_json = reply.content_type == "application/json"
                return reply.status, await (reply.json() if is_json else reply.text())
        except aiohttp.ClientError:
            return 0, None

    async def board(self, wanted: Callable[[Any], bool], message: str) -> Any:
        """Waits until what the page shows is as wanted."""
        last: list[Any] = [None]

        async def there() -> bool:
            if self.program.done():
                self.program.result()
            status, last[0] = await self.call("GET", "/v1/status")
            assert status != 500, f"{message}: the page fails"
            return status == 200 and wanted(last[0])

        await until(there, WHOLE, message=lambda: f"{message}, it shows {last}")
        return last[0]

    async def state(self, word: str) -> Any:
        return await self.board(lambda shown: bool(shown["state"] == word), word)

    async def leave(self) -> None:
        """Uninstalls by force; returns once that has come about."""

        async def gone() -> bool:
            return (await self.call("POST", "/uninstall", {"force": True}))[0] == 204

        await until(gone, WHOLE, message="everything is undone")

    async def end(self) -> None:
        """As SIGTERM does, in the middle of whatever it does."""
        self.program.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.program


def settings_of(directory: Path, master: int, port: int, mark: str) -> Settings:
    """Of a framework that brings the product which `mark` makes."""
    name, packed = artefact(mark)
    return Settings(
        masters=[f"127.0.0.1:{master}"],
        store=f"sqlite://{directory}/store",
        hostname="127.0.0.1",
        address="127.0.0.1",
        port=port,
        needs=Needs(cpus=0.1, mem=32, container="mesos", python=sys.executable),
        wanted=Wanted(cni=Cni(config_dir="/etc/cni/net.d"), units=(AGENT, AGENT), settle=0.0, patience=PATIENCE),
        build=lambda: Artefact(name, tag(), packed),
        product=lambda made, _: Product(made.name, made.tag, "[Service]\n", {"calico": "#!/bin/sh\n"}, {}),
    )


@asynccontextmanager
async def roller(
    directory: Path,
    master: HostsMaster,
    mark: str = "one",
    *,
    at_once: int = 1,
    absent_seconds: float = ABSENT_SECONDS,
    first: First | None = None,
    **more: Any,
) -> AsyncIterator[Live]:
    """Brings the product that `mark` makes, until the block ends. `first`: written to the network's store, which has to
    be there. `more`: other settings than usual."""
    port = free_port()
    made = settings_of(directory, master.port, port, mark)
    wanted = replace(made.wanted, first=first, at_once=at_once)
    settings = replace(made, absent_seconds=absent_seconds, wanted=wanted, **more)
    program = asyncio.ensure_future(run(settings))
    async with aiohttp.ClientSession() as session:
        live = Live(f"http://127.0.0.1:{port}", session, program)
        try:
            yield live
        finally:
            await live.end()


def start(directory: Path, master: HostsMaster, port: int) -> subprocess.Popen[bytes]:
    """The same as a process of its own, which can be killed."""
    program = "import sys; from tests.support.agent_hosts import main; main(*sys.argv[1:])"
    words = [sys.executable, "-c", program, str(directory), str(master.port), str(port)]
    with open(directory / "framework.log", "ab") as log:
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT, env=environment())


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}


def main(directory: str, master: str, port: str) -> None:
    asyncio.run(run(settings_of(Path(directory), int(master), int(port), "one")))
