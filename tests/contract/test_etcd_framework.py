"""The etcd package's framework with real etcd members: seeded, mended, taken over, reseeded, uninstalled."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.etcd_members import Live, MembersMaster, framework
from tests.support.etcd_server import ETCD
from tests.support.scheduler_master import Task
from tests.support.waiting import until

from tortie.store.etcd.store import EtcdStore
from tortie.store.port import Put

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        ETCD is None or shutil.which("etcdctl") is None, reason="needs etcd and etcdctl (etcd-server, etcd-client)"
    ),
]

Story = Callable[[MembersMaster], Awaitable[None]]


def told(tmp_path: Path, count: int, story: Story) -> None:
    async def whole() -> None:
        master = MembersMaster(tmp_path / "tasks", count)
        await master.start()
        try:
            await story(master)
        finally:
            await master.stop()

    asyncio.run(whole())


class BareMaster(MembersMaster):
    """Its agents find no image until `mended`."""

    mended = False

    def run(self, task: Task) -> None:
        if self.mended:
            super().run(task)
        else:
            self.update(task, "TASK_FAILED", message="no such image")


def test_members_that_end_at_once_are_told_with_the_reason_and_tried_again(tmp_path: Path) -> None:
    async def whole() -> None:
        master = BareMaster(tmp_path / "tasks", 3)
        await master.start()
        try:
            async with framework(tmp_path, master) as live:
                await live.says("has ended: no such image")
                await live.says("the next member is started in")
                master.mended = True
                names = await live.whole()
                assert "etcd-1" not in names, "the first ones have failed"
                assert (await live.call("GET", "/stats"))[1]["failed_servers"] >= 1

                async def says_no_more() -> bool:
                    return bool((await live.call("GET", "/json"))[1]["why"] == "")

                await until(says_no_more)
        finally:
            await master.stop()

    asyncio.run(whole())


async def clients(live: Live) -> str:
    _, found = await live.call("GET", "/members")
    return "etcd://" + ",".join(f"{one['host']}:{one['clientPort']}" for one in found)


def put(url: str, key: str) -> None:
    store = EtcdStore(url)
    store.commit([Put(key, b"1")])
    store.close()


def has(url: str, key: str) -> bool:
    store = EtcdStore(url)
    try:
        return store.get(key) is not None
    finally:
        store.close()


def test_a_lost_member_is_replaced_and_one_whose_agent_is_away_lives_as_long_as_it_answers(tmp_path: Path) -> None:
    async def story(master: MembersMaster) -> None:
        async with framework(tmp_path, master) as live:
            assert await live.whole() == ["etcd-1", "etcd-2", "etcd-3"]
            assert len({task.agent.id for task in master.live()}) == 3
            assert {task.info["name"] for task in master.live()} == {"etcd-server"}
            await asyncio.to_thread(put, await clients(live), "/kept")
            away = master.member("etcd-2")
            master.update(away, "TASK_UNREACHABLE")

            async def told_of_it() -> bool:
                _, found = await live.call("GET", "/json")
                return bool(found["members"][1]["task"] == "unreachable")

            await until(told_of_it)
            assert await live.whole() == ["etcd-1", "etcd-2", "etcd-3"]
            master.processes[away.info["task_id"]["value"]].kill()
            await until(lambda: len(master.live()) == 3, message="a fourth member")
            assert await live.whole() == ["etcd-1", "etcd-3", "etcd-4"]
            assert await asyncio.to_thread(has, await clients(live), "/kept")

    told(tmp_path, 4, story)


def test_another_takes_over_what_runs_and_uninstallation_ends_it(tmp_path: Path) -> None:
    async def story(master: MembersMaster) -> None:
        async with framework(tmp_path, master) as first:
            names = await first.whole()
            async with framework(tmp_path, master) as second:
                await second.says("another process of this framework leads")
                assert (await second.call("GET", "/members"))[0] == 503
                assert (await second.call("POST", "/reseed"))[0] == 503
                id_ = master.framework
                first.program.cancel()
                assert await second.whole() == names
                assert (master.framework, len(master.tasks)) == (id_, 3)
                await uninstalled(master, second)

    told(tmp_path, 3, story)


async def uninstalled(master: MembersMaster, live: Live) -> None:
    key = "/calico/resources/v3/projectcalico.org/workloadendpoints/default/one"
    await asyncio.to_thread(put, await clients(live), key)
    status, said = await live.call("POST", "/uninstall", {"force": False})
    assert status == 409
    assert said["message"].startswith("1 endpoints of containers are in this etcd")
    assert (await live.call("POST", "/uninstall", {"force": "yes"}))[0] == 400
    assert (await live.call("POST", "/uninstall", {"force": True}))[0] == 202

    async def gone() -> bool:
        return (await live.call("POST", "/uninstall", {"force": True}))[0] == 204

    await until(gone)
    assert master.live() == []
    await until(lambda: master.count("TEARDOWN") == 1)


def test_a_lost_majority_stops_until_somebody_asks_for_a_new_beginning(tmp_path: Path) -> None:
    async def story(master: MembersMaster) -> None:
        async with framework(tmp_path, master) as live:
            await live.whole()
            for order in ("/reseed", "/uninstall"):
                other = {"Sec-Fetch-Site": "cross-site"}
                async with live.session.post(live.url + order, headers=other) as reply:
                    assert reply.status == 403, "another site's page has no orders to give"
            status, why = await live.call("POST", "/reseed")
            assert (status, why) == (409, "nothing is to be reseeded: the cluster has its majority\n")
            await asyncio.to_thread(put, await clients(live), "/kept")
            master.end("etcd-1")
            master.end("etcd-3")
            words = await live.says("the majority is lost: etcd-1 on 127.0.0.1, etcd-3 on 127.0.0.1 ended. ")
            assert f"To go on: curl -X POST {live.url}/reseed (a new cluster begins with what etcd-2 holds;" in words
            assert len(master.tasks) == 3
            assert (await live.call("POST", "/reseed?empty=maybe"))[0] == 400
            assert (await live.call("GET", "/reseed"))[0] == 405
            assert await live.call("POST", "/reseed") == (202, "reseeding with what etcd-2 holds\n")
            last: list[Any] = [None]

            async def begun() -> bool:
                last[0] = (await live.call("GET", "/json"))[1]
                return [(one["name"], one["etcd"]) for one in last[0]["members"][:1]] == [("etcd-4", "healthy")]

            await until(begun, message=lambda: f"a new cluster, there is {last}")
            await until(lambda: not master.member("etcd-2").live, message="the survivor has ended")
            assert await asyncio.to_thread(has, await clients(live), "/kept")
            assert (await live.call("GET", "/stats"))[1]["cluster_reseeds"] == 1

    told(tmp_path, 4, story)
