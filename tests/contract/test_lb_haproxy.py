"""The balancer with a real HAProxy on loopback: changes without reload, reloads without loss, adoption."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.support.fake_marathon import FakeMarathon, host_app
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE, until

from tortie.lb.haproxy import Haproxy

pytestmark = pytest.mark.skipif(
    shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin") is None, reason="haproxy is not installed"
)


class Backend:
    """A web server that answers with its own port, and counts."""

    def __init__(self) -> None:
        self.port = 0
        self.served = 0
        self.wait: asyncio.Event | None = None
        self.arrived = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
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
        return web.Response(text=str(self.port))


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

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        """The program itself, as an operator starts it."""
        arguments = [
            sys.executable, "-c", "from tortie.cli.main import main; main()", "lb", "run",
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

    async def get(self, http: aiohttp.ClientSession, path: str = "/", host: str = "a.test") -> tuple[int, str]:
        async with http.get(f"http://127.0.0.1:{self.http_port}{path}", headers={"Host": host}) as reply:
            return reply.status, await reply.text()

    async def answers(self, http: aiohttp.ClientSession, ports: set[int], host: str = "a.test") -> None:
        """Wait until exactly these backends answer (as many requests in a row as tell)."""

        async def there() -> bool:
            with suppress(aiohttp.ClientError):
                got = [await self.get(http, host=host) for _ in range(4 * max(1, len(ports)))]
                return {int(text) if status == 200 else 0 for status, text in got} == (ports or {0})
            return False

        await until(there)

    async def workers(self) -> list[int]:
        return [pid for pid, role in (await self.haproxy.processes()).items() if role == "worker"]

    async def master(self) -> int:
        return next(pid for pid, role in (await self.haproxy.processes()).items() if role == "master")


@asynccontextmanager
async def bench(tmp_path: Path) -> AsyncIterator[tuple[Bench, aiohttp.ClientSession]]:
    marathon = FakeMarathon()
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
        for pid in sorted(await made.haproxy.processes()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await marathon.stop()


class Load:
    """Requests one after another on several connections, until stopped; every answer must be 200."""

    def __init__(self, made: Bench, workers: int = 4, limit: int = 400) -> None:
        self._made = made
        self._left = limit
        self._stop = asyncio.Event()
        self.statuses: list[int] = []
        self._workers = workers

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.ensure_future(self._one(keep=n % 2 == 0)) for n in range(self._workers)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _one(self, *, keep: bool) -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=not keep)) as http:
            while not self._stop.is_set() and self._left > 0:
                self._left -= 1
                status, _ = await self._made.get(http)
                self.statuses.append(status)
                await asyncio.sleep(0.01)


def app(port: int, *backends: Backend, **labels: str) -> dict[str, Any]:
    return host_app("/a", port, [b.port for b in backends], **({"HAPROXY_0_VHOST": "a.test"} | labels))


async def backends(count: int) -> list[Backend]:
    made = [Backend() for _ in range(count)]
    for backend in made:
        await backend.start()
    return made


def test_scaling_changes_servers_without_a_reload_and_without_a_failed_request(tmp_path: Path) -> None:
    async def main() -> None:
        one, two, three = made_backends = await backends(3)
        async with bench(tmp_path) as (made, http):
            made.marathon.apps = [app(made.service_port, one)]
            made.start()
            await made.answers(http, {one.port})
            await made.marathon.subscribed()
            before = await made.workers()
            async with Load(made) as load:
                await made.show(app(made.service_port, one, two, three))
                await made.answers(http, {one.port, two.port, three.port})
                await made.show(app(made.service_port, two))
                await made.answers(http, {two.port})
            assert await made.workers() == before
            assert load.statuses
            assert set(load.statuses) == {200}
            assert f"127_0_0_1_{two.port}" in made.haproxy.files.config.read_text()
            assert f"127_0_0_1_{one.port}" not in made.haproxy.files.config.read_text()
        for backend in made_backends:
            await backend.stop()

    asyncio.run(main())


def test_a_new_front_end_reloads_without_a_failed_request_and_lets_open_requests_end(tmp_path: Path) -> None:
    async def main() -> None:
        one, two = await backends(2)
        one.wait = asyncio.Event()
        async with bench(tmp_path) as (made, http):
            made.marathon.apps = [app(made.service_port, one)]
            made.start()
            await made.answers(http, {one.port})
            await made.marathon.subscribed()
            before = await made.workers()
            slow = asyncio.ensure_future(made.get(http, "/slow"))
            await one.arrived.wait()
            async with Load(made) as load:
                other = host_app("/b", free_port(), [two.port], HAPROXY_0_VHOST="b.test")
                await made.show(app(made.service_port, one), other)
                await made.answers(http, {two.port}, host="b.test")
            assert await made.workers() != before
            assert set(load.statuses) == {200}
            one.wait.set()
            assert await slow == (200, str(one.port))

    asyncio.run(main())


def test_kill_9_and_a_new_program_adopts_haproxy_and_its_connections(tmp_path: Path) -> None:
    async def main() -> None:
        one, two = await backends(2)
        one.wait = asyncio.Event()
        async with bench(tmp_path) as (made, http):
            made.marathon.apps = [app(made.service_port, one)]
            program = made.start()
            await made.answers(http, {one.port})
            before = await made.haproxy.processes()
            slow = asyncio.ensure_future(made.get(http, "/slow"))
            await one.arrived.wait()
            async with Load(made) as load:
                program.kill()
                program.wait()
                made.marathon.apps = [app(made.service_port, one, two)]
                made.start()
                await made.answers(http, {one.port, two.port})
            assert await made.haproxy.processes() == before
            assert set(load.statuses) == {200}
            one.wait.set()
            assert await slow == (200, str(one.port))

    asyncio.run(main())


def test_sigterm_leaves_haproxy_serving_unless_asked_to_stop_it(tmp_path: Path) -> None:
    async def main() -> None:
        (one,) = await backends(1)
        async with bench(tmp_path) as (made, http):
            made.marathon.apps = [app(made.service_port, one)]
            for more, left in (((), True), (("--stop-haproxy",), False)):
                reads = made.marathon.reads
                program = made.start(*more)
                await until(partial(made.has_read, reads))
                await made.answers(http, {one.port})
                program.terminate()
                assert await asyncio.to_thread(program.wait, PATIENCE) == 0
                if left:
                    assert await made.get(http) == (200, str(one.port))

            async def gone() -> bool:
                return not await made.haproxy.processes()

            await until(gone)

    asyncio.run(main())


def test_haproxy_killed_is_started_again_on_its_configuration_while_marathon_is_away(tmp_path: Path) -> None:
    async def main() -> None:
        (one,) = await backends(1)
        async with bench(tmp_path) as (made, http):
            made.marathon.apps = [app(made.service_port, one)]
            made.start()
            await made.answers(http, {one.port})
            made.marathon.status = 503
            for pid in sorted(await made.haproxy.processes()):
                os.kill(pid, signal.SIGKILL)
            await made.answers(http, {one.port})

    asyncio.run(main())


def test_an_app_that_haproxy_refuses_and_one_whose_port_is_taken_do_not_hurt_the_others(tmp_path: Path) -> None:
    async def main() -> None:
        (one,) = await backends(1)
        async with bench(tmp_path) as (made, http):
            made.marathon.apps = [
                app(made.service_port, one),
                host_app("/bad", free_port(), [one.port], HAPROXY_0_BIND_OPTIONS="no-such-option"),
                host_app("/taken", one.port, [one.port], HAPROXY_0_VHOST="taken.test"),
            ]
            made.start()
            await made.answers(http, {one.port})
            text = made.haproxy.files.config.read_text()
            assert "backend bad_" not in text
            assert "backend taken_" not in text

    asyncio.run(main())


def test_an_app_without_tasks_keeps_its_front_end_and_a_refusing_server_is_503_after_three_seconds(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        (one,) = await backends(1)
        async with bench(tmp_path) as (made, http):
            made.marathon.apps = [app(made.service_port, one)]
            made.start()
            await made.answers(http, {one.port})
            await made.marathon.subscribed()
            assert (await made.get(http, host=f"A.test:{made.http_port}"))[0] == 200
            assert (await made.get(http, host="other.test"))[0] == 503
            await one.stop()
            loop = asyncio.get_running_loop()
            began = loop.time()
            assert (await made.get(http))[0] == 503
            assert loop.time() - began > 2.5
            before = await made.workers()
            await made.show(app(made.service_port))
            await made.answers(http, set())
            async with http.get(f"http://127.0.0.1:{made.service_port}/") as reply:
                assert reply.status == 503
            assert await made.workers() == before

    asyncio.run(main())


def test_the_paths_of_the_stats_port(tmp_path: Path) -> None:
    async def main() -> None:
        (one,) = await backends(1)
        async with bench(tmp_path) as (made, http):
            made.marathon.apps = [app(made.service_port, one)]
            made.start()
            await made.answers(http, {one.port})

            async def get(path: str) -> tuple[int, str]:
                async with http.get(f"http://127.0.0.1:{made.stats_port}{path}") as reply:
                    return reply.status, await reply.text()

            status, page = await get("/_haproxy_health_check")
            assert (status, "200 OK" in page) == (200, True)
            status, csv = await get("/haproxy?stats;csv")
            assert csv.startswith("# pxname,svname,")
            assert f"a_{made.service_port},127_0_0_1_{one.port}," in csv
            assert "haproxy_process_" in (await get("/metrics"))[1]
            assert (await get("/_haproxy_getconfig"))[1] == made.haproxy.files.config.read_text()
            pids = (await get("/_haproxy_getpids"))[1].split()
            assert sorted(map(int, pids)) == sorted(await made.haproxy.processes())
            reads = made.marathon.reads
            assert (await get("/_mlb_signal/hup"))[1] == "Sent SIGHUP signal to marathon-lb"
            await until(partial(made.has_read, reads))
            reads = made.marathon.reads
            made.programs[0].send_signal(signal.SIGHUP)
            await until(partial(made.has_read, reads))
            before = await made.workers()
            assert (await get("/_mlb_signal/usr1"))[0] == 200

            async def another() -> bool:
                return not set(before) & set((await made.workers())[:1])

            await until(another)

    asyncio.run(main())


def test_a_second_program_on_one_work_directory_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        (one,) = await backends(1)
        async with bench(tmp_path) as (made, http):
            made.marathon.apps = [app(made.service_port, one)]
            made.start()
            await made.answers(http, {one.port})
            assert await asyncio.to_thread(made.start().wait, PATIENCE) == 4

    asyncio.run(main())
