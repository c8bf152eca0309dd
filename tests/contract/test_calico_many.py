"""The calico framework with more agents than a screen holds: who watches hears differences, and misses none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.agent_hosts import WHOLE, Live, roller
from tests.support.simulated_agents import SimulatedMaster
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(900)
NAMES = [f"agent-{number}" for number in range(1, 21)]


def test_every_watcher_sees_all_of_it_by_differences(tmp_path: Path) -> None:
    async def story() -> None:
        master = SimulatedMaster(NAMES)
        master.hold = lambda task: task.info["name"].startswith("calico-apply")
        await master.start()
        try:
            async with roller(tmp_path, master) as live, asyncio.timeout(WHOLE):
                await until(lambda: bool(master.live("calico-apply")))
                kinds: list[str] = []
                watching = [asyncio.ensure_future(watched(live, heard=kinds)) for _ in range(3)]
                await until(lambda: kinds.count("rollout") == 3)
                master.hold = lambda _task: False
                for task in master.live("calico-apply"):
                    master.run(task)
                seen = await asyncio.gather(*watching)
                assert set(kinds) - {"beat"} == {"rollout", "change"}
                whole = await live.state("done")
                assert [host["name"] for host in whole["hosts"]] == NAMES
                unsteady = {"trouble": "", "looking": False, "time": 0}
                for board in seen:
                    assert board | unsteady == whole | unsteady
                assert (await live.call("GET", "/v1/summary"))[1] == {"state": "done", "text": "20 of 20 agents done"}
        finally:
            await master.stop()

    asyncio.run(story())


def test_who_comes_later_gets_everything_and_an_order_is_heard_by_all(tmp_path: Path) -> None:
    async def story() -> None:
        master = SimulatedMaster(NAMES[:3])
        master.fails = lambda host, do, step: "not today" if (host, do, step) == ("agent-2", "apply", "gate") else ""
        await master.start()
        try:
            async with roller(tmp_path, master) as live, asyncio.timeout(WHOLE):
                stopped = await watched(live, "stopped")
                assert stopped["stopped"] == "agent-2: gate: not today"
                assert [host["failed"] for host in stopped["hosts"]] == ["", "gate", ""]
                watching = [asyncio.ensure_future(watched(live, "undone")) for _ in range(2)]
                status, said = await live.call("POST", "/v1/undo", **{"X-Forwarded-For": "10.9.8.7, 127.0.0.1"})
                assert (status, said["asked"]["word"], said["asked"]["by"]) == (200, "undo", "10.9.8.7")
                for board in await asyncio.gather(*watching):
                    assert board["counts"] == {"of": "agents", "all": 3, "done": 3, "failed": 0}
                    assert board["hosts"][0]["mark"] == "undone"
        finally:
            await master.stop()

    asyncio.run(story())


async def watched(live: Live, wanted: str = "done", heard: list[str] | None = None) -> Any:
    """What a watcher has put together once the rollout is as wanted."""
    await live.board(lambda _: True, "the framework answers")
    board: Any = None
    async for kind, told in events(live):
        (heard if heard is not None else []).append(kind)
        if kind == "rollout":
            board = told
        elif kind == "change":
            merge(board, told)
        if board is not None and board["state"] == wanted:
            return board
    raise AssertionError(f"the stream ended at {board}")


async def events(live: Live) -> AsyncIterator[tuple[str, Any]]:
    async with live.session.get(f"{live.url}/v1/events") as reply:
        kind = ""
        async for line in reply.content:
            name, _, text = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                kind = text
            elif name == "data":
                yield kind, json.loads(text)


def merge(board: Any, told: Any) -> None:
    hosts = {host["name"]: host for host in board["hosts"]}
    for host in told.pop("hosts", ()):
        mine = hosts[host["name"]]
        steps = {step["name"]: step for step in mine["steps"]}
        for step in host.pop("steps", ()):
            steps[step["name"]].update(step)
        mine.update(host)
    board.update(told)
