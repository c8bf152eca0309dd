"""The balancer with a real HAProxy on loopback: changes without reload, reloads without loss, adoption."""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from pathlib import Path

from tests.support.balancing import Load, app, backends, bench, end_haproxy, needs_haproxy
from tests.support.fake_marathon import host_app
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE, until

pytestmark = needs_haproxy


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
            end_haproxy(made.work_dir)
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
            assert await get("/_haproxy_getvhostmap") == (200, f"a.test a_{made.service_port}\n")
            assert await get("/_haproxy_getappmap") == (200, f"/a a_{made.service_port}\n")
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
