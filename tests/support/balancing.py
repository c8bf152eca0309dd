"""A balancer with a real HAProxy, a made-up Marathon and web servers on loopback; requests, and what came of them."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.support.fake_marathon import FakeMarathon, host_app
from tests.support.ports import free_port
from tests.support.waiting import until
from tortie.base.errors import Unavailable
from tortie.lb.change import Have, parse_state
from tortie.lb.haproxy import Haproxy

needs_haproxy = pytest.mark.skipif(
    shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin") is None, reason="haproxy is not installed"
)


class Backend:
    """A web server that answers with its own port, and counts. `status` is what all answers have."""

    def __init__(self) -> None:
        self.port = 0
        self.status = 200
        self.served = 0
        self.wait: asyncio.Event | None = None
        self.arrived = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = int(self._runner.addresses[0][1])
        return self.port

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.served += 1
        if request.path == "/slow" and self.wait is not None:
            self.arrived.set()
            await self.wait.wait()
        return web.Response(text=str(self.port), status=self.status)


@dataclass
class Bench:
    marathon: FakeMarathon
    work_dir: Path
    http_port: int
    stats_port: int
    service_port: int
    programs: list[subprocess.Popen[bytes]]
    haproxy: Haproxy
    appid_port: int = field(default_factory=free_port)
    https_port: int = field(default_factory=free_port)

    def start(self, *more: str, form: str = "run") -> subprocess.Popen[bytes]:
        """The program itself, as an operator starts it."""
        arguments = [
            sys.executable, "-c", "from tortie.cli.main import main; main()", "lb", form,
            "--marathon", self.marathon.url, "--group", "external", "--work-dir", str(self.work_dir),
            "--http-port", str(self.http_port), "--stats-port", str(self.stats_port),
            "--appid-port", str(self.appid_port), "--https-port", str(self.https_port), *more,
        ]  # fmt: skip
        program = subprocess.Popen(arguments)
        self.programs.append(program)
        return program

    def has_read(self, before: int) -> bool:
        return self.marathon.reads > before

    async def show(self, *apps: dict[str, Any]) -> None:
        self.marathon.apps = list(apps)
        await self.marathon.tell()

    async def get(
        self, http: aiohttp.ClientSession, path: str = "/", host: str = "a.test", method: str = "GET"
    ) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.http_port}{path}"
        async with http.request(method, url, headers={"Host": host}) as reply:
            return reply.status, await reply.text()

    async def answers(self, http: aiohttp.ClientSession, ports: set[int], host: str = "a.test") -> None:
        """Wait until exactly these backends answer (as many requests in a row as tell)."""

        async def there() -> bool:
            with suppress(aiohttp.ClientError):
                got = [await self.get(http, host=host) for _ in range(4 * max(1, len(ports)))]
                return {int(text) if status == 200 else 0 for status, text in got} == (ports or {0})
            return False

        await until(there)

    async def state(self, http: aiohttp.ClientSession) -> dict[str, Any]:
        """What the balancer says of itself; nothing while HAProxy or it is away."""
        with suppress(aiohttp.ClientError):
            async with http.get(f"http://127.0.0.1:{self.stats_port}/_mlb/state") as reply:
                if reply.status == 200:
                    return dict(await reply.json())
        return {"marathon": {}, "haproxy": {}}

    async def servers(self) -> dict[int, Have]:
        """The servers of app /a in HAProxy, by port."""
        text = await self.haproxy.command(f"show servers state a_{self.service_port}")
        return {have.port: have for have in parse_state(text).values()}

    async def workers(self) -> list[int]:
        return [pid for pid, role in (await self.haproxy.processes()).items() if role == "worker"]

    async def master(self) -> int:
        return next(pid for pid, role in (await self.haproxy.processes()).items() if role == "master")


def end_haproxy(work_dir: Path) -> None:
    """Whatever state it is in, and however many there are: they are known by the directory that is a test's own."""
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if f"{work_dir}/master.sock,".encode() in arguments.read_bytes():
                os.kill(int(arguments.parent.name), signal.SIGKILL)


@asynccontextmanager
async def bench(
    tmp_path: Path, marathon: FakeMarathon | None = None
) -> AsyncIterator[tuple[Bench, aiohttp.ClientSession]]:
    marathon = marathon or FakeMarathon()
    await marathon.start()
    work_dir = tmp_path / "lb"
    made = Bench(marathon, work_dir, free_port(), free_port(), free_port(), [], Haproxy("haproxy", work_dir))
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:
            yield made, http
    finally:
        for program in made.programs:
            program.kill()
            program.wait()
        end_haproxy(made.work_dir)
        await marathon.stop()


class Load:
    """Requests one after another on several connections until stopped or `limit` were sent.

    Half of the connections are kept; one in three sends what a balancer must not send twice.
    """

    def __init__(self, made: Bench, workers: int = 4, limit: int = 400, hosts: Sequence[str] = ("a.test",)) -> None:
        self._made = made
        self._left = limit
        self._stop = asyncio.Event()
        self._hosts = hosts
        self._workers = workers
        self.statuses: Counter[int | str] = Counter()
        """Failures of the connection by their name."""

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.ensure_future(self._one(n)) for n in range(self._workers)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _one(self, number: int) -> None:
        connector = aiohttp.TCPConnector(force_close=number % 2 == 0)
        host = self._hosts[number // 2 % len(self._hosts)]
        method = "GET" if number % 3 else "POST"
        async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
            while not self._stop.is_set() and self._left > 0:
                self._left -= 1
                try:
                    status, _ = await self._made.get(http, host=host, method=method)
                    self.statuses[status] += 1
                except (aiohttp.ClientError, OSError) as error:
                    self.statuses[type(error).__name__] += 1
                await asyncio.sleep(0.005)


def app(port: int, *backends: Backend, **labels: str) -> dict[str, Any]:
    return host_app("/a", port, [b.port for b in backends], **({"HAPROXY_0_VHOST": "a.test"} | labels))


async def backends(count: int) -> list[Backend]:
    made = [Backend() for _ in range(count)]
    for backend in made:
        await backend.start()
    return made


class Fleet:
    """An app whose tasks are web servers on loopback: started, told of, drained and ended as Marathon would do it."""

    def __init__(self, made: Bench, name: str, **labels: str) -> None:
        self.name = name
        self.port = free_port()
        self.host = f"{name}.test"
        self._made = made
        self._labels = {"HAPROXY_0_VHOST": self.host} | labels
        self._tasks: dict[str, tuple[Backend, str]] = {}
        self._count = 0

    def shown(self) -> dict[str, Any]:
        made = host_app(
            f"/{self.name}", self.port, [backend.port for backend, _ in self._tasks.values()], **self._labels
        )
        for task, (name, (_, state)) in zip(made["tasks"], self._tasks.items(), strict=True):
            task |= {"id": name, "state": state}
        return made

    async def start(self, count: int) -> list[Backend]:
        """So many more tasks: they run, and HAProxy may send them requests once they answer."""
        fresh = []
        for _ in range(count):
            self._count += 1
            backend = Backend()
            await backend.start()
            self._tasks[f"{self.name}.{self._count}"] = backend, "TASK_RUNNING"
            fresh.append(backend)
        return fresh

    def kill(self, count: int) -> None:
        """The oldest ones are being killed: they serve on until they get nothing any more."""
        for name in [name for name, (_, state) in self._tasks.items() if state == "TASK_RUNNING"][:count]:
            self._tasks[name] = self._tasks[name][0], "TASK_KILLING"

    async def bury(self) -> None:
        """Those that are being killed end."""
        for name, (backend, state) in list(self._tasks.items()):
            if state == "TASK_KILLING":
                await backend.stop()
                del self._tasks[name]

    async def settled(self) -> bool:
        """Whether HAProxy serves by the running ones, and has none of the others any more."""
        try:
            text = await self._made.haproxy.command(f"show servers state {self.name}_{self.port}")
        except Unavailable:
            return False
        have = {server.port: server.serves for server in parse_state(text).values()}
        return have == {backend.port: True for backend, state in self._tasks.values() if state == "TASK_RUNNING"}
