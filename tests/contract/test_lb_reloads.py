"""When HAProxy is reloaded, what happens meanwhile, and what when it refuses."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.balancing import Backend, backends, needs_haproxy
from tests.support.fake_marathon import host_app
from tests.support.ports import free_port
from tests.support.waiting import until

from tortie.base.errors import Unavailable
from tortie.lb.balancer import Balancer, Pace
from tortie.lb.change import Have, parse_state
from tortie.lb.haproxy import Haproxy, can_bind
from tortie.lb.proof import Proof
from tortie.lb.render import Settings
from tortie.lb.service import Service
from tortie.lb.services import Choice, services
from tortie.wire.marathon_apps import decode

pytestmark = needs_haproxy

PORT = free_port()


def wanted(*apps: dict[str, Any]) -> list[Service]:
    decoded, problems = decode(msgspec.json.encode({"apps": apps}))
    found, said = services(decoded, Choice(groups=("external",)), lambda host: host)
    assert not problems
    assert not said
    return found


def shown(*there: Backend, **more: Any) -> dict[str, Any]:
    return host_app("/a", PORT, [backend.port for backend in there]) | more


def another(number: int, port: int) -> dict[str, Any]:
    return host_app(f"/b{number}", port, [])


@dataclass
class Scene:
    haproxy: Haproxy
    settings: Settings
    proof: Proof

    def balancer(self, pace: Pace | None = None, **settings: Any) -> Balancer:
        return Balancer(self.haproxy, replace(self.settings, **settings), pace)

    async def ports(self) -> set[int]:
        """Where the servers of /a are that get requests."""
        return {have.port for have in (await self.servers()).values() if have.serves}

    async def servers(self) -> dict[tuple[str, str], Have]:
        return parse_state(await self.haproxy.command(f"show servers state a_{PORT}"))


@asynccontextmanager
async def scene(work_dir: Path) -> AsyncIterator[Scene]:
    settings = Settings(
        work_dir=str(work_dir), http_port=free_port(), appid_port=free_port(), stats_port=free_port(), maxconn=100
    )
    haproxy = Haproxy("haproxy", work_dir)
    try:
        async with asyncio.TaskGroup() as group:
            tries: list[asyncio.Task[None]] = []

            def spawn(work: Any) -> asyncio.Task[None]:
                tries.append(group.create_task(work))
                return tries[-1]

            yield Scene(haproxy, settings, Proof(spawn, lambda: None))
            for task in tries:
                task.cancel()
    finally:
        for pid in sorted(await haproxy.processes()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

        async def free() -> bool:
            return not can_bind("*", PORT)

        await until(free)  # the next test has the same port


async def stop(there: Sequence[Backend]) -> None:
    for backend in there:
        await backend.stop()


def test_changes_of_servers_do_not_wait_for_a_reload_that_has_to(tmp_path: Path) -> None:
    async def main() -> None:
        one, two = there = await backends(2)
        first, second = another(1, free_port()), another(2, free_port())
        async with scene(tmp_path) as made:
            balancer = made.balancer(Pace(interval=3600))
            await balancer.apply(wanted(shown(one)), made.proof)
            assert not await balancer.apply(wanted(shown(one), first), made.proof) > 2
            assert balancer.told.reloads == 1, "the first one need not wait"
            assert await balancer.apply(wanted(shown(two), first, second), made.proof) > 2
            assert balancer.told.reload_waits > 0
            assert await made.ports() == {two.port}
            await balancer.apply(wanted(shown(), first, second), made.proof)
            assert await made.ports() == set()
            assert balancer.told.reloads == 1
            assert "backend b2_" not in made.haproxy.files.text()
            balancer.force_reload = True
            balancer._reloaded = float("-inf")
            await balancer.tend()
            assert balancer.told.reloads == 2
            assert "backend b2_" in made.haproxy.files.text()
        await stop(there)

    asyncio.run(main())


def test_a_reload_that_fails_leaves_what_runs_and_is_tried_so_often_as_told(tmp_path: Path) -> None:
    async def main() -> None:
        one, two = there = await backends(2)
        async with scene(tmp_path) as made:
            await made.balancer().apply(wanted(shown(one)), made.proof)
            before, processes = made.haproxy.files.text(), await made.haproxy.processes()
            worker = next(pid for pid, role in processes.items() if role == "worker")
            with socket.create_server(("127.0.0.1", 0)) as taken:
                pace = Pace(interval=0, retry=0, tries=1)
                other = made.balancer(pace, http_port=taken.getsockname()[1])
                for failed in (1, 2):
                    with pytest.raises(Unavailable, match="cannot bind"):
                        await other.apply(wanted(shown(one)), made.proof)
                    assert other.told.failed_reloads == failed
                await other.apply(wanted(shown(one, two)), made.proof)
                assert other.told.failed_reloads == 2, "no third time"
                assert await made.ports() == {one.port, two.port}, "servers change all the same"
                assert made.haproxy.files.text() == before
                assert worker in await made.haproxy.processes()
            other.force_reload = True
            await other.tend()
            assert other.told.reloads == 1
            assert made.haproxy.files.text() != before
        await stop(there)

    asyncio.run(main())


def test_a_server_that_was_down_before_a_reload_comes_back_when_nothing_checks_it_any_more(tmp_path: Path) -> None:
    async def main() -> None:
        (one,) = await backends(1)
        check = {"protocol": "TCP", "intervalSeconds": 1, "maxConsecutiveFailures": 0, "portIndex": 0}
        async with scene(tmp_path) as made:
            balancer = made.balancer(Pace(interval=0))
            await balancer.apply(wanted(shown(one, healthChecks=[check])), made.proof)
            await one.stop()

            async def down() -> bool:
                return not await made.ports()

            await until(down)
            await balancer.apply(wanted(shown(one)), made.proof)
            assert balancer.told.reloads == 1
            assert await made.ports() == {one.port}

    asyncio.run(main())


def test_health_is_kept_over_a_reload_and_not_over_a_start(tmp_path: Path) -> None:
    async def main() -> None:
        (one,) = await backends(1)
        check = {"protocol": "TCP", "intervalSeconds": 3600, "maxConsecutiveFailures": 0, "portIndex": 0}
        checked = shown(one, healthChecks=[check])
        async with scene(tmp_path) as made:
            balancer = made.balancer(Pace(interval=0))
            await balancer.apply(wanted(checked), made.proof)
            (key,) = await made.servers()
            await made.haproxy.command(f"set server {'/'.join(key)} health down")
            await balancer.apply(wanted(checked, another(1, free_port())), made.proof)
            assert balancer.told.reloads == 1
            assert (await made.servers())[key].stopped
            master = made.haproxy.master()
            os.kill(master, signal.SIGKILL)
            await made.haproxy.ended()
            await balancer.tend()
            assert made.haproxy.master() != master
            assert await made.ports() == {one.port}
        await one.stop()

    asyncio.run(main())


def test_what_somebody_else_changed_in_haproxy_is_put_right(tmp_path: Path) -> None:
    async def main() -> None:
        one, two = there = await backends(2)
        async with scene(tmp_path) as made:
            balancer = made.balancer()
            await balancer.apply(wanted(shown(one, two)), made.proof)
            key = next(key for key, have in (await made.servers()).items() if have.port == one.port)
            await made.haproxy.command(f"set server {'/'.join(key)} state maint")
            assert await made.ports() == {two.port}

            async def mended() -> bool:
                await balancer.tend()
                return await made.ports() == {one.port, two.port}

            await until(mended)
            assert balancer.told.reloads == 0
        await stop(there)

    asyncio.run(main())


def test_the_log_of_haproxy_does_not_grow_for_ever(tmp_path: Path) -> None:
    async def main() -> None:
        async with scene(tmp_path) as made:
            balancer = made.balancer(Pace(interval=0))
            await balancer.apply(wanted(shown()), made.proof)
            log = tmp_path / "haproxy.log"
            with log.open("ab") as file:
                file.write(b"x" * 2_000_000)
            await balancer.tend()
            assert log.stat().st_size < 1_000_000
            assert (tmp_path / "haproxy.log.1").stat().st_size > 2_000_000
            balancer.force_reload = True
            await balancer.tend()
            await until(lambda: b"worker" in log.read_bytes(), message=log.read_bytes)
            assert b"\0" not in log.read_bytes(), "what is said later is at the beginning"

    asyncio.run(main())


def test_so_many_earlier_configurations_are_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with scene(tmp_path) as made:
            balancer = made.balancer(Pace(interval=0, archive=2))
            texts = []
            for number in range(4):
                await balancer.apply(wanted(another(number, free_port())), made.proof)
                texts.append(made.haproxy.files.text())
            kept = [(tmp_path / f"haproxy.cfg.{age}").read_text() for age in (1, 2)]
            assert kept == [texts[2], texts[1]]
            assert not (tmp_path / "haproxy.cfg.3").exists()

    asyncio.run(main())


def test_a_worker_that_does_not_finish_is_gone_after_the_limit(tmp_path: Path) -> None:
    async def main() -> None:
        (one,) = await backends(1)
        one.wait = asyncio.Event()
        async with scene(tmp_path) as made:
            balancer = made.balancer(Pace(interval=0), hard_stop="1s")
            await balancer.apply(wanted(shown(one, healthChecks=[])), made.proof)
            reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
            writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            await one.arrived.wait()
            for number in range(3):
                await balancer.apply(wanted(shown(one), another(number, free_port())), made.proof)
            with suppress(ConnectionError):
                assert await reader.read() == b"", "the connection was ended with its worker"
            writer.close()

            async def two_left() -> bool:
                return sorted((await made.haproxy.processes()).values()) == ["master", "worker"]

            await until(two_left)
            one.wait.set()
        await one.stop()

    asyncio.run(main())
