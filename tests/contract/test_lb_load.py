"""Scalings, rolling deployments and reloads under load: no request fails, no reload for servers, no process is left."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from tests.support.balancing import Bench, Fleet, Load, bench, needs_haproxy
from tests.support.fake_marathon import host_app
from tests.support.ports import free_port
from tests.support.waiting import until

pytestmark = [needs_haproxy, pytest.mark.timeout(900)]

SCALINGS, ROLLINGS, RELOADS = 100, 20, 4


async def show(made: Bench, fleets: Sequence[Fleet]) -> None:
    await made.show(*(fleet.shown() for fleet in fleets))
    for fleet in fleets:
        await until(fleet.settled)


async def begin(made: Bench, http: aiohttp.ClientSession) -> list[Fleet]:
    """Three apps, one for each way to choose a server."""
    fleets = [
        Fleet(made, "turns"),
        Fleet(made, "fewest", HAPROXY_0_BALANCE="leastconn", HAPROXY_0_STICKY="true"),
        Fleet(made, "hashed", HAPROXY_0_BALANCE="source", HAPROXY_0_STICKY="true"),
    ]
    for fleet in fleets:
        await fleet.start(3)
    made.marathon.apps = [fleet.shown() for fleet in fleets]
    made.start("--hard-stop-after", "5s")

    async def up() -> bool:
        return bool((await made.state(http))["haproxy"])

    await until(up)
    await made.marathon.subscribed()
    await show(made, fleets)
    return fleets


async def end(fleets: Sequence[Fleet]) -> None:
    for fleet in fleets:
        fleet.kill(1000)
        await fleet.bury()


def loads(made: Bench, fleets: Sequence[Fleet]) -> Load:
    return Load(made, workers=2 * len(fleets), limit=1_000_000, hosts=[fleet.host for fleet in fleets])


async def same(made: Bench, http: aiohttp.ClientSession, before: dict[int, str]) -> None:
    assert await made.haproxy.processes() == before
    assert (await made.state(http))["haproxy"]["reloads"] == 0


def test_a_hundred_scalings(tmp_path: Path) -> None:
    async def main() -> None:
        dice = random.Random(6)
        async with bench(tmp_path) as (made, http):
            fleets = await begin(made, http)
            before = await made.haproxy.processes()
            async with loads(made, fleets) as load:
                wanted = 3
                for _ in range(SCALINGS):
                    now, wanted = wanted, dice.choice([n for n in range(1, 7) if n != wanted])
                    for fleet in fleets:
                        await fleet.start(max(0, wanted - now))
                        fleet.kill(max(0, now - wanted))
                    await show(made, fleets)
                    for fleet in fleets:
                        await fleet.bury()
            assert set(load.statuses) == {200}, load.statuses
            await same(made, http, before)
            await end(fleets)

    asyncio.run(main())


def test_twenty_rolling_deployments(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path) as (made, http):
            fleets = await begin(made, http)
            before = await made.haproxy.processes()
            async with loads(made, fleets) as load:
                for _ in range(ROLLINGS):
                    for _ in range(3):
                        for fleet in fleets:
                            await fleet.start(1)
                        await show(made, fleets)
                        for fleet in fleets:
                            fleet.kill(1)
                        await show(made, fleets)
                        for fleet in fleets:
                            await fleet.bury()
                    await show(made, fleets)
            assert set(load.statuses) == {200}, load.statuses
            await same(made, http, before)
            await end(fleets)

    asyncio.run(main())


def test_new_front_ends_and_reloads_by_hand_with_connections_that_do_not_end(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path) as (made, http), AsyncExitStack() as held:
            fleets = await begin(made, http)
            others = []
            async with loads(made, fleets) as load:
                for number in range(RELOADS):
                    # Nothing is sent over it: its worker would have it until its time is up.
                    _, writer = await asyncio.open_connection("127.0.0.1", fleets[0].port)
                    held.callback(writer.close)
                    others.append(host_app(f"/other{number}", free_port(), []))
                    before = await made.workers()
                    await made.show(*(fleet.shown() for fleet in fleets), *others)
                    if number % 2:
                        async with http.get(f"http://127.0.0.1:{made.stats_port}/_mlb_signal/usr1"):
                            pass

                    async def another(before: list[int] = before) -> bool:
                        now = await made.workers()
                        return bool(now) and now != before

                    await until(another)
            assert set(load.statuses) == {200}, load.statuses

            async def all_there() -> bool:
                return all(f"backend other{number}_" in made.haproxy.files.text() for number in range(RELOADS))

            await until(all_there)

            async def none_left() -> bool:
                return sorted((await made.haproxy.processes()).values()) == ["master", "worker"]

            await until(none_left)
            await end(fleets)

    asyncio.run(main())
