"""The calico package's framework beside others: its next version, a rollout over ssh, a second process, two at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.agent_hosts import HostsMaster, quiet, roller
from tests.support.rollout_host import AGENT, NODE, artefact, box
from tests.support.waiting import until

from tortie.base.errors import Conflict
from tortie.packages.calico.roller import Roller
from tortie.packages.rollout import book
from tortie.packages.rollout.inventory import Plan, Task, plan
from tortie.packages.rollout.machine import ordered
from tortie.packages.rollout.reach import Ssh
from tortie.store.open import open_store

Story = Callable[[HostsMaster], Awaitable[None]]
pytestmark = pytest.mark.timeout(900)


def told(tmp_path: Path, story: Story, names: tuple[str, ...] = ("a1", "a2", "a3")) -> None:
    async def whole() -> None:
        with ExitStack() as stack:
            master = HostsMaster(tmp_path / "tasks", {name: stack.enter_context(box()) for name in names})
            await master.start()
            try:
                await story(master)
            finally:
                await master.stop()

    asyncio.run(whole())


def marks(shown: Any) -> list[str]:
    return [host["mark"] for host in shown["hosts"]]


def at(step: str, *hosts: str) -> Callable[[Any], bool]:
    return lambda task: task.agent.hostname in hosts and task.info["name"] == f"calico-apply-{step}"


async def held(master: HostsMaster, step: str, count: int = 1) -> list[Any]:
    """The tasks that the master keeps from running, once there are so many."""
    name = f"calico-apply-{step}"
    await until(
        lambda: sum(task.state == "TASK_STAGING" for task in master.live(name)) == count,
        message=lambda: f"{count} of {name}: {master.live()}",
    )
    return [task for task in master.live(name) if task.state == "TASK_STAGING"]


def test_the_next_version_in_the_middle_of_a_rollout_finishes_its_agent_says_so_and_waits(tmp_path: Path) -> None:
    async def story(master: HostsMaster) -> None:
        master.hold = at("cni", "a2")
        async with roller(tmp_path, master, "one") as live:
            (task,) = await held(master, "cni")
            shown = await live.state("rolling")
        master.hold = lambda _task: False
        one, two = artefact("one")[0], artefact("two")[0]
        async with roller(tmp_path, master, "two") as live:
            says = f"rollout {shown['plan']} brings the product as {one}, this installation is {two}"
            shown = await live.board(lambda shown: says in shown["trouble"], "that the rollout is another version's")
            assert task.state == "TASK_KILLED"
            assert (marks(shown), shown["orders"]) == (["done", "done", "waiting"], ["pause", "undo", "abort"])
            assert [host.restarts() for host in master.boxes.values()] == [[AGENT, NODE], [AGENT, NODE], []]
            assert (await live.call("POST", "/v1/abort"))[0] == 200
            await live.board(lambda shown: shown["orders"] == ["undo", "begin"], "aborted")
            assert (await live.call("POST", "/v1/begin"))[0] == 200
            shown = await live.board(lambda shown: (shown["state"], shown["artefact"]) == ("done", two), "upgraded")
            steps = [[step["name"] for step in host["steps"]] for host in shown["hosts"]]
            assert steps[:2] == [["artefact", "node", "gate"]] * 2
            assert [host.restarts() for host in master.boxes.values()] == [[AGENT, NODE, NODE]] * 2 + [[AGENT, NODE]]
            for host in master.boxes.values():
                assert "two" in (host.root / "opt/tortie/current/lib/product.py").read_text()
            assert master.together == []

    told(tmp_path, story)


def test_a_version_back_is_the_next_rollout_or_the_last_one_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for an upgrade is not told of the rollout before it: the roller looks until the next has begun."""
    looked, begin = list[bool](), Roller._write_first

    def recorded(of: Roller, made: Plan) -> None:
        looked.append(of.looking)
        begin(of, made)

    monkeypatch.setattr(Roller, "_write_first", recorded)

    def current(master: HostsMaster) -> set[str]:
        return {(host.root / "opt/tortie/current/lib/product.py").read_text() for host in master.boxes.values()}

    async def story(master: HostsMaster) -> None:
        for mark in ("one", "two", "one"):
            async with roller(tmp_path, master, mark) as live:
                name = artefact(mark)[0]
                await live.board(
                    lambda shown, name=name: (shown["state"], shown["artefact"]) == ("done", name),  # type: ignore[misc]
                    mark,
                )
                assert current(master) == {f"MARK = {mark!r}\n"}
        assert {tuple(host.restarts()) for host in master.boxes.values()} == {(AGENT, NODE, NODE, NODE)}
        async with roller(tmp_path, master, "one") as live:
            await live.board(lambda shown: shown["state"] == "done" and quiet(shown), "nothing to do")
            assert (await live.call("POST", "/v1/undo"))[0] == 200
            await live.state("undone")
            assert current(master) == {"MARK = 'two'\n"}
        assert {tuple(host.restarts()) for host in master.boxes.values()} == {(AGENT, NODE, NODE, NODE, NODE)}
        assert master.together == []

    told(tmp_path, story, ("a1", "a2"))
    assert len(looked) > 1
    assert all(looked)


def test_two_agents_at_once_after_the_first_and_a_failure_of_one_stops_the_rest(tmp_path: Path) -> None:
    async def story(master: HostsMaster) -> None:
        master.hold = at("cni", "a1", "a2", "a3", "a4")
        master.boxes["a2"].refuse_restarts(True)
        async with roller(tmp_path, master, at_once=2) as live:
            (first,) = await held(master, "cni")
            shown = await live.state("rolling")
            assert (first.agent.hostname, marks(shown)) == ("a1", ["rolling", *["waiting"] * 3])
            master.run(first)
            both = await held(master, "cni", 2)
            assert sorted(task.agent.hostname for task in both) == ["a2", "a3"]
            shown = await live.state("rolling")
            assert marks(shown) == ["done", "rolling", "rolling", "waiting"]
            for task in both:
                master.run(task)
            shown = await live.board(
                lambda shown: marks(shown) == ["done", "stuck", "done", "waiting"], "the other one comes to its end"
            )
            assert "the unit does not start" in shown["stopped"]
            assert shown["state"] == "stopped"
            master.boxes["a2"].refuse_restarts(False)
            master.hold = lambda _task: False
            assert (await live.call("POST", "/v1/retry"))[0] == 200
            await live.state("done")
            assert {tuple(host.restarts()) for host in master.boxes.values()} == {(AGENT, NODE)}

    told(tmp_path, story, ("a1", "a2", "a3", "a4"))


def test_a_rollout_over_ssh_comes_first_and_one_of_the_framework_refuses_it(tmp_path: Path) -> None:
    want = {"files": {"configuration": {"/etc/tortie/store": {"text": "x", "mode": 0o644}}}}
    made = plan([Task("h", Ssh(), want)], {"h": {"node": [{"text": "restart it", "have": ""}]}}, "0123")

    async def story(master: HostsMaster) -> None:
        with closing(open_store(f"sqlite://{tmp_path}/store")) as store:
            with book.Driver(store, "root@somewhere") as driver:
                driver.begin(made, ordered(made.rollout(time.time()), "pause"))
            async with roller(tmp_path, master) as live:
                says = f"rollout {made.digest}, over ssh, is paused: it comes first"
                await live.board(lambda shown: says in shown["trouble"], "that another rollout comes first")
                assert master.live() == []
                assert (await live.call("POST", "/v1/resume"))[0] == 409
                master.hold = at("cni", "a1")
                book.order(store, "abort", "me")
                await live.board(lambda shown: "nothing begins before" in shown["trouble"], "rests")
                assert (await live.call("POST", "/v1/begin"))[0] == 200
                await held(master, "cni")
                with pytest.raises(Conflict) as refused, book.Driver(store, "root@somewhere"):
                    pass
                assert "driven already, by the framework calico at " in str(refused.value)
                assert str(refused.value).endswith("pause, undo or abort it")
                assert (await live.call("POST", "/v1/pause"))[0] == 200
                for task in await held(master, "cni"):
                    master.run(task)
                await live.board(lambda shown: marks(shown)[0] == "done", "the agent at hand is done")
                await until(lambda: store.get(book.DRIVER) is None, message="nobody drives what is paused")
                with pytest.raises(Conflict) as refused, book.Driver(store, "root@somewhere") as driver:
                    driver.begin(made, made.rollout(time.time()))
                assert ", of the calico framework, is paused: resume, retry, undo or abort" in str(refused.value)
                assert (await live.call("POST", "/v1/resume"))[0] == 200
                await live.state("done")

    told(tmp_path, story)


def test_a_second_framework_names_the_first_and_takes_over_when_that_ends(tmp_path: Path) -> None:
    async def story(master: HostsMaster) -> None:
        master.hold = at("cni", "a2")
        async with roller(tmp_path, master) as first:
            await held(master, "cni")
            async with roller(tmp_path, master, "two") as second:
                says = f"another process of this framework leads, at {first.url.removeprefix('http://')}"
                shown = await second.board(lambda shown: says in shown["trouble"], "who leads")
                assert (shown["state"], shown["hosts"]) == ("none", [])
                for word in ("pause", "undo"):
                    assert (await second.call("POST", f"/v1/{word}"))[0] == 503
                status, said = await second.call("POST", "/uninstall", {"force": True})
                assert (status, "another process of this framework leads" in said["message"]) == (409, True)
                assert master.subscriptions == 1
                master.hold = lambda _task: False
                await first.end()
                await second.board(
                    lambda shown: marks(shown) == ["done", "done", "waiting"], "the second has taken over"
                )
                assert master.subscriptions == 2

    told(tmp_path, story)
