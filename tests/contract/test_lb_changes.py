"""Changes of servers that HAProxy takes at run time, whatever the algorithm, and servers that are not ready yet."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.support.balancing import Backend, Bench, Load, app, backends, bench, needs_haproxy
from tests.support.fake_marathon import host_app
from tests.support.ports import free_port
from tests.support.waiting import until

from tortie.lb.haproxy import can_bind
from tortie.lb.service import server_id, server_name

pytestmark = needs_haproxy


async def begin(made: Bench, http: aiohttp.ClientSession, shown: dict[str, Any], *ports: int) -> None:
    made.marathon.apps = [shown]
    made.start()
    await made.answers(http, set(ports))
    await made.marathon.subscribed()


async def serves_by(made: Bench, *wanted: Backend) -> None:
    """HAProxy has these servers in use and no others."""

    async def there() -> bool:
        return {port for port, have in (await made.servers()).items() if have.serves} == {b.port for b in wanted}

    await until(there)


@pytest.mark.parametrize("balance", ["leastconn", "source", "uri", "hdr(Host)", "random", "first"])
def test_no_algorithm_needs_a_reload_for_its_servers(tmp_path: Path, balance: str) -> None:
    async def main() -> None:
        one, two, three = await backends(3)
        labels = {"HAPROXY_0_BALANCE": balance}
        async with bench(tmp_path) as (made, http):
            await begin(made, http, app(made.service_port, one, **labels), one.port)
            before = await made.haproxy.processes()
            async with Load(made) as load:
                await made.show(app(made.service_port, one, two, three, **labels))
                await serves_by(made, one, two, three)
                await made.show(app(made.service_port, two, three, **labels))
                await serves_by(made, two, three)
                await made.show(app(made.service_port, **labels))
                await serves_by(made)
                await made.show(app(made.service_port, three, **labels))
                await serves_by(made, three)
            assert set(load.statuses) <= {200, 503}, "503 only while there is no server"
            assert await made.haproxy.processes() == before

    asyncio.run(main())


def test_visitors_stay_with_their_server_through_changes_and_reloads_and_leave_one_that_goes(tmp_path: Path) -> None:
    async def main() -> None:
        one, two, three = await backends(3)
        labels = {"HAPROXY_0_STICKY": "true"}
        jar = aiohttp.CookieJar(unsafe=True)
        async with bench(tmp_path) as (made, http), aiohttp.ClientSession(cookie_jar=jar) as visitor:
            await begin(made, http, app(made.service_port, one, **labels), one.port)
            before = await made.haproxy.processes()
            assert await made.get(visitor) == (200, str(one.port))
            await made.show(app(made.service_port, one, two, three, **labels))
            await made.answers(http, {one.port, two.port, three.port})
            assert {await made.get(visitor) for _ in range(6)} == {(200, str(one.port))}
            async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as other:
                served = {(await made.get(other))[1] for _ in range(6)}
                assert len(served) == 1, "a server added at run time has its cookie"
            assert await made.haproxy.processes() == before
            await made.show(app(made.service_port, one, two, three, **labels), host_app("/b", free_port(), []))

            async def reloaded() -> bool:
                worker = {pid for pid, role in (await made.haproxy.processes()).items() if role == "worker"}
                return bool(worker) and not worker & before.keys()

            await until(reloaded)
            await made.answers(http, {one.port, two.port, three.port})
            assert {await made.get(visitor) for _ in range(6)} == {(200, str(one.port))}
            await made.show(app(made.service_port, two, **labels))
            await serves_by(made, two)
            assert {await made.get(visitor) for _ in range(3)} == {(200, str(two.port))}

    asyncio.run(main())


def test_a_server_gets_no_request_before_it_has_answered_while_there_is_another(tmp_path: Path) -> None:
    async def main() -> None:
        one, two = Backend(), Backend()
        await one.start()
        two.port = free_port()
        async with bench(tmp_path) as (made, http):
            await begin(made, http, app(made.service_port, one), one.port)
            async with Load(made) as load:
                await made.show(app(made.service_port, one, two))
                await until(lambda: made.marathon.reads > 1)

                async def waiting() -> list[str]:
                    found: list[str] = (await made.state(http))["marathon"].get("waiting", [])
                    return found

                async def waits() -> bool:
                    return await waiting() == [f"a_{made.service_port}/127_0_0_1_{two.port}"]

                async def nobody_waits() -> bool:
                    return not await waiting()

                await until(waits)
                assert two.port not in await made.servers()
                await two.start()
                await made.answers(http, {one.port, two.port})
                await until(nobody_waits)
            assert set(load.statuses) == {200}

    asyncio.run(main())


def test_where_the_app_has_a_page_for_its_health_a_new_server_has_to_show_it(tmp_path: Path) -> None:
    async def main() -> None:
        one, two = await backends(2)
        two.status = 503
        checks = {"healthChecks": [{"protocol": "HTTP", "path": "/health", "intervalSeconds": 60, "portIndex": 0}]}
        async with bench(tmp_path) as (made, http):
            await begin(made, http, app(made.service_port, one) | checks, one.port)
            async with Load(made) as load:
                await made.show(app(made.service_port, one, two) | checks)
                await until(lambda: two.served > 1)
                assert two.port not in await made.servers()
                two.status = 200
                await made.answers(http, {one.port, two.port})
            assert set(load.statuses) == {200}

    asyncio.run(main())


def test_the_only_server_is_used_although_it_never_answered(tmp_path: Path) -> None:
    async def main() -> None:
        one, two = Backend(), Backend()
        one.port, two.port = free_port(), free_port()
        async with bench(tmp_path) as (made, http):
            await begin(made, http, app(made.service_port, one, two))
            await serves_by(made, one, two)
            await two.start()
            await serves_by(made, two)
            await one.start()
            await serves_by(made, one, two)

    asyncio.run(main())


def test_a_task_that_is_being_killed_finishes_its_requests_and_gets_no_new_ones(tmp_path: Path) -> None:
    async def main() -> None:
        one, two = await backends(2)
        one.wait = asyncio.Event()
        async with bench(tmp_path) as (made, http):
            await begin(made, http, app(made.service_port, one), one.port)
            slow = asyncio.ensure_future(made.get(http, "/slow"))
            await one.arrived.wait()
            async with Load(made) as load:
                await made.show(app(made.service_port, one, two))
                await made.answers(http, {one.port, two.port})
                leaving = app(made.service_port, one, two)
                leaving["tasks"][0]["state"] = "TASK_KILLING"
                await made.show(leaving)
                await serves_by(made, two)
                served = one.served
                await made.answers(http, {two.port})
                assert one.port in await made.servers(), "it is there until its last request has been answered"
                one.wait.set()
                assert await slow == (200, str(one.port))

                async def gone() -> bool:
                    return one.port not in await made.servers()

                await until(gone)
                assert one.served == served
            assert set(load.statuses) == {200}

    asyncio.run(main())


def clashing() -> tuple[int, int]:
    """Two free ports whose servers would have one id."""
    seen: dict[int, int] = {}
    for port in range(20000, 32000):
        number = server_id(server_name("127.0.0.1", "127.0.0.1", port))
        if number in seen and not can_bind("127.0.0.1", seen[number]) and not can_bind("127.0.0.1", port):
            return seen[number], port
        seen[number] = port
    raise AssertionError("no such ports")


def test_the_id_of_a_server_that_still_finishes_its_requests_costs_no_reload(tmp_path: Path) -> None:
    async def main() -> None:
        one, two = Backend(), Backend()
        one.port, two.port = clashing()
        one.wait = asyncio.Event()
        await one.start()
        await two.start()
        async with bench(tmp_path) as (made, http):
            await begin(made, http, app(made.service_port, one), one.port)
            before = await made.haproxy.processes()
            slow = asyncio.ensure_future(made.get(http, "/slow"))
            await one.arrived.wait()
            await made.show(app(made.service_port, two))
            await made.answers(http, {two.port})
            assert one.port in await made.servers(), "it is there until its last request has been answered"
            one.wait.set()
            assert await slow == (200, str(one.port))
            await serves_by(made, two)
            assert await made.haproxy.processes() == before

    asyncio.run(main())


def test_all_tasks_that_are_being_killed_serve_on_until_a_new_one_answers(tmp_path: Path) -> None:
    async def main() -> None:
        one, two = Backend(), Backend()
        await one.start()
        two.port = free_port()
        async with bench(tmp_path) as (made, http):
            await begin(made, http, app(made.service_port, one), one.port)
            async with Load(made, limit=1_000_000) as load:  # it is waited for more of them
                changing = app(made.service_port, one, two)
                changing["tasks"][0]["state"] = "TASK_KILLING"
                await made.show(changing)
                await until(lambda: made.marathon.reads > 1)
                served = one.served
                await until(lambda: one.served > served + 20)
                assert two.port not in await made.servers()
                await two.start()
                await serves_by(made, two)
                await made.answers(http, {two.port})
            assert set(load.statuses) == {200}

    asyncio.run(main())


def test_another_task_at_the_address_of_one_that_went_has_to_answer_for_itself(tmp_path: Path) -> None:
    async def main() -> None:
        one, two = await backends(2)
        async with bench(tmp_path) as (made, http):
            await begin(made, http, app(made.service_port, one, two), one.port, two.port)
            await two.stop()
            again = app(made.service_port, one, two)
            again["tasks"][1]["id"] = "/a.another"
            await made.show(again)
            await serves_by(made, one)
            async with Load(made) as load:
                await two.start()
                await made.answers(http, {one.port, two.port})
            assert set(load.statuses) == {200}

    asyncio.run(main())
