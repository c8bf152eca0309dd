"""`tortie marathon run` as a process: ended the hard way, started again, called wrongly."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from pathlib import Path

import aiohttp
import pytest
from tests.support.marathon_live import AGENTS, Live, sleeper, stars
from tests.support.ports import free_port
from tests.support.scheduler_master import SchedulerMaster
from tests.support.waiting import until

START = "from tortie.cli.main import main; main()"


async def start(*arguments: str, **environment: str) -> Process:
    command = (sys.executable, "-c", START, "marathon", "run", *arguments)
    return await asyncio.create_subprocess_exec(
        *command, stderr=asyncio.subprocess.PIPE, env=dict(os.environ) | environment
    )


async def answers(live: Live) -> bool:
    try:
        return (await live.call("GET", "/v2/info")).status == 200
    except aiohttp.ClientError:
        return False


def test_killed_in_the_middle_of_a_deployment_it_goes_on_and_launches_nothing_twice(tmp_path: Path) -> None:
    async def story() -> None:
        master = SchedulerMaster(list(AGENTS))
        await master.start()
        port = free_port()
        arguments = (
            *("--master", f"127.0.0.1:{master.port}", "--store", f"sqlite://{tmp_path}/store"),
            *("--http-port", str(port), "--http-address", "127.0.0.1", "--hostname", "127.0.0.1"),
            *("--reconciliation_initial_delay", "300"),
        )
        async with aiohttp.ClientSession() as session:
            live = Live(master, f"http://127.0.0.1:{port}", session)
            first = await start(*arguments)
            await until(lambda: answers(live))
            await live.call("PUT", "/v2/groups/calico-stars", stars())
            await live.settled()
            master.hold = lambda _task: True
            await live.call("POST", "/v2/apps", sleeper("slow", instances=2))
            await until(lambda: len(master.tasks) == 6)
            first.send_signal(signal.SIGKILL)
            await first.wait()
            launched = set(master.tasks)
            framework = master.framework

            second = await start(*arguments)
            await until(lambda: answers(live))
            assert len((await live.call("GET", "/v2/deployments")).body) == 1
            await until(lambda: master.subscriptions == 2)
            await until(lambda: master.count("RECONCILE") >= 2)
            for task in master.live("slow"):
                master.run(task)
            await live.settled()
            assert (master.framework, set(master.tasks)) == (framework, launched)
            assert all(task.live for task in master.tasks.values())
            assert len((await live.call("GET", "/v2/tasks")).body["tasks"]) == 6
            second.send_signal(signal.SIGTERM)
            assert await second.wait() == 0
            assert second.stderr is not None
            assert b"Traceback" not in await second.stderr.read()
        await master.stop()

    asyncio.run(story())


def test_two_of_them_share_a_store_and_one_leads(tmp_path: Path) -> None:
    async def story() -> None:
        master = SchedulerMaster(list(AGENTS))
        await master.start()
        ports = free_port(), free_port()
        common = ("--master", f"127.0.0.1:{master.port}", "--store", f"sqlite://{tmp_path}/store")
        here = ("--http-address", "127.0.0.1", "--hostname", "127.0.0.1")
        async with aiohttp.ClientSession() as session:
            lives = [Live(master, f"http://127.0.0.1:{port}", session) for port in ports]
            first = await start(*common, *here, "--http-port", str(ports[0]))
            await until(lambda: answers(lives[0]))
            second = await start(*common, *here, "--http-port", str(ports[1]))

            await until(lambda: answers(lives[1]))
            posted = await lives[1].call("POST", "/v2/apps", sleeper())
            assert (posted.status, posted.headers["X-Marathon-Leader"]) == (201, lives[0].url)
            assert posted.headers["X-Marathon-Via"] == f"1.1 127.0.0.1:{ports[1]}"
            assert (await lives[1].call("GET", "/v2/leader")).body == {"leader": f"127.0.0.1:{ports[0]}"}
            wrong = await lives[1].call("POST", "/v2/apps", "{")
            assert (wrong.status, wrong.body["message"]) == (400, "Invalid JSON")
            assert (await lives[1].call("GET", "/v2/apps//a")).body["app"]["id"] == "/a"
            assert (await lives[1].call("GET", "/v2/apps?label=x=1")).status == 422
            await lives[1].settled()
            async with session.get(f"{lives[1].url}/v2/events") as stream:
                assert (await stream.content.readline()) == b"event: event_stream_attached\r\n"
            abdicated = await lives[1].call("DELETE", "/v2/leader")
            assert (abdicated.status, abdicated.body) == (200, {"message": "Leadership abdicated"})
            assert await first.wait() != 0
            assert first.stderr is not None
            assert b"Traceback" not in await first.stderr.read()
            await until(lambda: answers(lives[1]))
            assert (await lives[1].call("GET", "/v2/leader")).body == {"leader": f"127.0.0.1:{ports[1]}"}
            app = (await lives[1].call("GET", "/v2/apps/a")).body["app"]
            assert app["tasksRunning"] == 1
            second.send_signal(signal.SIGTERM)
            await second.wait()
        await master.stop()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([], 2, "--master"),
        (["--master", "zk://h:2181/mesos"], 2, "zk:// is not supported"),
        (["--master", "h:1", "--http-port", "0"], 2, "http-port"),
        (["--master", "h:1", "--local-port-min", "5", "--local-port-max", "5"], 2, "local-port-max"),
        (["--master", "h:1", "--default-accepted-resource-roles", "other"], 2, "known are *"),
        (["--master", "h:1", "--http-port", "{taken}", "--http-address", "127.0.0.1"], 5, "cannot listen on"),
        (["--master", "h:1", "--http-port", "{free}", "--store", "mysql://x"], 2, "unknown kind 'mysql'"),
    ],
)
def test_called_wrongly_it_says_why_and_ends(tmp_path: Path, arguments: list[str], code: int, text: str) -> None:
    async def story() -> None:
        server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
        taken = str(server.sockets[0].getsockname()[1])
        store = [] if "--store" in arguments else ["--store", f"sqlite://{tmp_path}/store"]
        filled = [part.format(taken=taken, free=free_port()) for part in arguments]
        process = await start(*filled, *store)
        assert process.stderr is not None
        said = (await process.stderr.read()).decode()
        assert (await process.wait(), text in said) == (code, True), said
        assert "Traceback" not in said
        server.close()

    asyncio.run(story())
