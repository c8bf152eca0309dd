"""Marathon as a framework: against a master that keeps the rules of the v1 scheduler API."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from tests.support.marathon_live import AGENTS, Live, marathon, sleeper, stars
from tests.support.ports import free_port
from tests.support.scheduler_master import Agent, SchedulerMaster, Task
from tests.support.waiting import PATIENCE, until

from tortie.framework.subscription import FrameworkRemoved, Subscription, framework_info

WHO: dict[str, Any] = {
    "name": "marathon", "user": "root", "role": "*", "hostname": "h", "webui_url": "", "failover_timeout": 1.0,
    "framework_id": None,
}  # fmt: skip


def test_the_stars_group_runs_from_one_put(tmp_path: Path) -> None:
    async def story() -> None:
        async with marathon(tmp_path) as live:
            put = await live.call("PUT", "/v2/groups/calico-stars", stars())
            assert put.status == 200
            assert put.body.keys() == {"version", "deploymentId"}
            await live.settled()
            assert len(live.master.live()) == 4
            ui = next(t for t in live.master.live() if t.info["name"] == "management-ui.calico-stars")
            docker = ui.info["container"]["docker"]
            assert [(p["key"], p["value"]) for p in docker["parameters"]][:2] == [
                ("net", "management-ui"),
                ("ip", "192.168.255.254"),
            ]
            assert "network" not in docker
            assert ui.info["discovery"]["ports"]["ports"] == [{"number": 9001, "name": "http", "protocol": "tcp"}]
            assert ui.info["command"]["uris"][0]["extract"] is False
            (task,) = await live.tasks("calico-stars/management-ui")
            assert task["ipAddresses"] == [{"ipAddress": ui.address, "protocol": "IPv4"}]
            assert task["ports"] == []
            assert task["state"] == "TASK_RUNNING"
            await until(lambda: not any(live.master.unacknowledged.values()))

    asyncio.run(story())


def test_nothing_wanted_means_no_offers_and_a_new_app_gets_them_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with marathon(tmp_path) as live:
            await until(lambda: live.master.count("SUPPRESS") >= 1)
            await live.call("POST", "/v2/apps", sleeper())
            await live.settled()
            assert live.master.count("REVIVE") >= 1
            assert len(live.master.live()) == 1

    asyncio.run(story())


def test_a_task_that_dies_is_replaced_after_the_back_off(tmp_path: Path) -> None:
    async def story() -> None:
        async with marathon(tmp_path) as live:
            await live.call("POST", "/v2/apps", sleeper(backoffSeconds=0.2))
            await live.settled()
            await until(lambda: live.master.count("RECONCILE") > 0)
            (first,) = live.master.live()
            live.master.update(first, "TASK_FAILED", message="Container exited with status 137")
            await until(lambda: len(live.master.live()) == 1)
            app = (await live.call("GET", "/v2/apps/a")).body["app"]
            assert app["lastTaskFailure"]["message"] == "Container exited with status 137"
            assert app["lastTaskFailure"]["taskId"] == first.info["task_id"]["value"]

    asyncio.run(story())


def test_failures_in_a_row_are_delayed_and_the_delay_can_be_reset(tmp_path: Path) -> None:
    async def story() -> None:
        async with marathon(tmp_path) as live:
            live.master.die_on_launch = lambda _task: True
            await live.call("POST", "/v2/apps", sleeper(backoffSeconds=60))

            async def delayed() -> bool:
                queue = (await live.call("GET", "/v2/queue")).body["queue"]
                return bool(queue) and not queue[0]["delay"]["overdue"]

            await until(delayed)
            queue = (await live.call("GET", "/v2/queue")).body["queue"]
            assert 0 < queue[0]["delay"]["timeLeftSeconds"] <= 60
            assert len(live.master.tasks) == 1
            live.master.die_on_launch = lambda _task: False
            assert (await live.call("DELETE", "/v2/queue//a/delay")).status == 204
            await until(lambda: len(live.master.live()) == 1)
            assert (await live.call("DELETE", "/v2/queue/nope/delay")).status == 404

    asyncio.run(story())


def test_a_restart_of_marathon_keeps_tasks_and_goes_on_with_deployments(tmp_path: Path) -> None:
    async def story() -> None:
        master = SchedulerMaster(list(AGENTS))
        await master.start()
        port = free_port()
        async with marathon(tmp_path, master, port=port) as live:
            await live.call("PUT", "/v2/groups/calico-stars", stars())
            await live.settled()
            before = set(master.tasks)
            master.hold = lambda _task: True
            await live.call("POST", "/v2/apps", sleeper("slow"))
            await until(lambda: len(master.tasks) == 5)
        framework = master.framework
        async with marathon(tmp_path, master, port=port) as live:
            assert master.framework == framework
            (deployment,) = (await live.call("GET", "/v2/deployments")).body
            assert deployment["affectedApps"] == ["/slow"]
            master.run(master.live("slow")[0])
            await live.settled()
            assert len(master.tasks) == 5
            assert before <= {task.info["task_id"]["value"] for task in master.live()}
        await master.stop()

    asyncio.run(story())


def test_what_happened_while_marathon_was_away_is_found_again(tmp_path: Path) -> None:
    async def story() -> None:
        master = SchedulerMaster(list(AGENTS))
        await master.start()
        async with marathon(tmp_path, master) as live:
            await live.call("POST", "/v2/apps", sleeper(instances=2))
            await live.settled()
        gone = master.live()[0]
        del master.tasks[gone.info["task_id"]["value"]]
        stray = Task({**gone.info, "task_id": {"value": "stray.1"}}, gone.agent, "TASK_RUNNING")
        master.tasks["stray.1"] = stray
        async with marathon(tmp_path, master) as live:
            await until(lambda: stray.state == "TASK_KILLED")
            await until(lambda: len(master.live()) == 2)
            await until(lambda: _running(live, 2))
        await master.stop()

    asyncio.run(story())


async def _running(live: Live, count: int) -> bool:
    app = (await live.call("GET", "/v2/apps/a")).body["app"]
    return bool(app["tasksRunning"] == count)


def test_a_cut_stream_is_taken_up_again_under_the_same_framework_id(tmp_path: Path) -> None:
    async def story() -> None:
        async with marathon(tmp_path) as live:
            await live.call("POST", "/v2/apps", sleeper())
            await live.settled()
            framework, task = live.master.framework, live.master.live()[0]
            live.master.cut()
            await until(lambda: live.master.subscriptions == 2)
            assert live.master.framework == framework
            live.master.update(task, "TASK_FINISHED")
            await until(lambda: len(live.master.live()) == 1)

    asyncio.run(story())


def test_a_master_that_comes_back_finds_its_framework(tmp_path: Path) -> None:
    async def story() -> None:
        async with marathon(tmp_path) as live:
            await live.call("POST", "/v2/apps", sleeper())
            await live.settled()
            await live.master.stop()
            assert (await live.call("POST", "/v2/apps", sleeper("b"))).status == 201
            await live.master.start()
            await live.settled()
            assert len(live.master.live()) == 2

    asyncio.run(story())


def test_a_framework_id_that_is_refused_for_ever_is_forgotten_and_ends_the_program(tmp_path: Path) -> None:
    async def story() -> None:
        master = SchedulerMaster(list(AGENTS))
        await master.start()
        async with marathon(tmp_path, master):
            first = master.framework
        master.refuse_subscribe = "Framework has been removed"
        with pytest.raises(FrameworkRemoved):
            async with marathon(tmp_path, master) as live:
                await until(live.ended)
        master.refuse_subscribe = None
        async with marathon(tmp_path, master):
            assert master.framework != first
        await master.stop()

    asyncio.run(story())


def test_offers_are_refused_with_their_reasons(tmp_path: Path) -> None:
    async def story() -> None:
        async with marathon(tmp_path) as live:
            await live.call("POST", "/v2/apps", sleeper(cpus=1000))
            await live.call("POST", "/v2/apps", sleeper("b", instances=3, constraints=[["hostname", "UNIQUE"]]))
            await until(lambda: len(live.master.live("b")) == 2)

            async def reasons() -> bool:
                body = (await live.call("GET", "/v2/queue?embed=lastUnusedOffers")).body
                found: dict[str, Any] = {}
                for item in body["queue"]:
                    funnel = item["processedOffersSummary"]["rejectSummaryLastOffers"]
                    found[item["app"]["id"]] = {r["reason"] for r in funnel if r["declined"]}
                return found == {"/a": {"InsufficientCpus"}, "/b": {"UnfulfilledConstraint"}}

            await until(reasons)

    asyncio.run(story())


def test_agents_of_a_role_that_is_not_accepted_are_left_alone(tmp_path: Path) -> None:
    async def story() -> None:
        master = SchedulerMaster([Agent("P", "172.24.197.201", role="slave_public"), Agent("A", "172.24.197.102")])
        await master.start()
        async with marathon(tmp_path, master) as live:
            await live.call("POST", "/v2/apps", sleeper(instances=5))
            await live.settled()
            assert {task.agent.id for task in master.live()} == {"A"}
        await master.stop()

    asyncio.run(story())


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMesos-Stream-Id: s\r\nTransfer-Encoding: chunked\r\n\r\n"
SUBSCRIBED = (
    b'{"type":"SUBSCRIBED","subscribed":{"framework_id":{"value":"f"},"heartbeat_interval_seconds":0.05}}'
)  # fmt: skip
RECORD = b"%d\n%s" % (len(SUBSCRIBED), SUBSCRIBED)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", "no answer for 0.3 s"),
        (HEAD, "no heartbeat for"),
        (HEAD + b"%x\r\n%s\r\n" % (len(RECORD), RECORD), "no heartbeat for"),
        (b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 9\r\n\r\n", "no answer for 0.3 s"),
    ],
    ids=["nothing", "a head", "subscribed", "half a refusal"],
)
def test_a_master_that_falls_silent_is_asked_anew(said: bytes, why: str, caplog: pytest.LogCaptureFixture) -> None:
    """As one does that is stopped by a signal: its connections stay open."""
    met: list[asyncio.StreamWriter] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await reader.read()  # the caller has gone
        writer.close()

    async def nothing(*_: object) -> None:
        return None

    async def story() -> None:
        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
            where = "127.0.0.1:{1}".format(*server.sockets[0].getsockname())
            framework = Subscription([where], lambda: framework_info(**WHO), nothing, nothing, answer_seconds=0.3)
            running = asyncio.ensure_future(framework.run())
            try:
                await until(lambda: len(met) >= 3 and why in caplog.text)
            finally:
                running.cancel()
                await asyncio.wait({running}, timeout=PATIENCE)
                for writer in met:
                    writer.close()

    with caplog.at_level("WARNING"):
        asyncio.run(story())


class _Chatter:
    """An answer that always has more to read."""

    def __init__(self) -> None:
        self.content = self

    async def readany(self) -> bytes:
        await asyncio.sleep(0)
        return b"x"


def test_being_told_to_end_is_never_missed_between_two_events() -> None:
    async def nothing(*_: object) -> None:
        return None

    async def story() -> None:
        framework = Subscription(["127.0.0.1:1"], lambda: framework_info(**WHO), nothing, nothing)

        async def read() -> None:
            while True:
                await framework._next(cast(aiohttp.ClientResponse, _Chatter()), 60)

        for steps in range(16):
            reading = asyncio.ensure_future(read())
            for _ in range(steps):
                await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait({reading}, timeout=PATIENCE)
            assert reading.cancelled(), f"went on reading after {steps} steps"

    asyncio.run(story())
