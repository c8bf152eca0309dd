"""Trying servers: who is tried, who waits, and what is remembered from one look to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from tests.support.balancing import Backend
from tests.support.ports import free_port
from tests.support.waiting import until

from tortie.lb.proof import Proof
from tortie.lb.service import Server, Service


def server(port: int, **more: Any) -> Server:
    return Server("127.0.0.1", "127.0.0.1", port, name=f"s{port}", task=f"t{port}", **more)


def service(*servers: Server, leaving: tuple[Server, ...] = ()) -> Service:
    return Service(app_id="/a", index=0, port=1, servers=servers, leaving=leaving)


def with_proof(main: Callable[[Proof, asyncio.Event], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            tries: list[asyncio.Task[None]] = []

            def spawn(work: Any) -> asyncio.Task[None]:
                tries.append(group.create_task(work))
                return tries[-1]

            changed = asyncio.Event()
            await main(Proof(spawn, changed.set), changed)
            for task in tries:
                task.cancel()

    asyncio.run(run())


async def allowed(proof: Proof, shown: Service) -> list[int]:
    (found,) = await proof.sift([shown])
    return [server.port for server in found.servers]


def test_what_answered_stays_and_what_answers_later_says_so() -> None:
    async def main(proof: Proof, changed: asyncio.Event) -> None:
        one, two = Backend(), Backend()
        await one.start()
        two.port = free_port()
        shown = service(server(one.port), server(two.port))

        async def only_one() -> bool:
            return await allowed(proof, shown) == [one.port]

        await until(only_one)
        assert proof.waiting() == [f"a_1/s{two.port}"]
        changed.clear()
        await two.start()
        await changed.wait()
        assert await allowed(proof, shown) == [one.port, two.port]
        assert proof.waiting() == []
        again = await proof.sift([shown])
        assert again[0] is shown, "the very same value, for whoever remembers it"
        await one.stop()
        assert await allowed(proof, shown) == [one.port, two.port], "HAProxy's own checks come from here on"
        await two.stop()

    with_proof(main)


def test_a_server_that_goes_is_not_tried_any_more() -> None:
    async def main(proof: Proof, _: asyncio.Event) -> None:
        gone = server(free_port())
        await proof.sift([service(gone)])
        assert proof.waiting() == [f"a_1/{gone.name}"]
        await proof.sift([service()])
        assert proof.waiting() == []

    with_proof(main)


def test_set_aside_servers_stay_aside_while_those_being_killed_serve_on() -> None:
    async def main(proof: Proof, _: asyncio.Event) -> None:
        one, two = Backend(), Backend()
        for backend in (one, two):
            await backend.start()

        async def both() -> bool:
            return len(await allowed(proof, service(server(one.port), server(two.port)))) == 2

        await until(both)
        changing = service(server(one.port, disabled=True), leaving=(server(two.port),))
        for _time in range(3):
            assert await allowed(proof, changing) == [one.port, two.port]
        back = replace(changing, servers=(server(one.port),))
        assert await allowed(proof, back) == [one.port]
        for backend in (one, two):
            await backend.stop()

    with_proof(main)
