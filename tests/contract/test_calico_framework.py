"""The calico package's framework with hands that really run: rolled out, renewed, taken over, stopped, uninstalled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from tests.support.agent_hosts import HostsMaster, Live, quiet, roller, start
from tests.support.etcd_server import ETCD, EtcdServer
from tests.support.ports import free_port
from tests.support.rollout_host import AGENT, NODE, artefact, box
from tests.support.scheduler_master import Task
from tests.support.waiting import until

from tortie.base.errors import Conflict, NoNetworkStore
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.model.resource import Metadata, Resource
from tortie.packages.calico.roller import Roller
from tortie.packages.rollout.drive import PAUSE, TRIES
from tortie.packages.rollout.inventory import STORE as NETWORK_STORE
from tortie.store.client import Client
from tortie.store.open import network_of, open_store

CFG, STORE = "etc/calico/calicoctl.cfg", "etc/tortie/store"
ENDPOINT = Resource(
    kind=WORKLOAD_ENDPOINT,
    metadata=Metadata(
        name="a1-libnetwork-libnetwork-e", namespace="libnetwork", annotations={"org.tortie/container": "web"}
    ),
    spec=WorkloadEndpointSpec(
        orchestrator="libnetwork",
        workload="libnetwork",
        node="a1",
        endpoint="e",
        interface_name="calie",
        ip_networks=("10.65.0.1/32",),
    ),
)
REFUSED = "1 endpoint of a container is on this network: web; it would end under them: end these containers first"
Story = Callable[[HostsMaster], Awaitable[None]]
pytestmark = pytest.mark.timeout(900)


def told(tmp_path: Path, story: Story, names: tuple[str, ...] = ("a1", "a2", "p1"), public: str = "p1") -> None:
    async def whole() -> None:
        with ExitStack() as stack:
            master = HostsMaster(tmp_path / "tasks", {name: stack.enter_context(box()) for name in names}, public)
            await master.start()
            try:
                await story(master)
            finally:
                await master.stop()

    asyncio.run(whole())


def marks(shown: Any) -> dict[str, str]:
    return {host["name"]: host["mark"] for host in shown["hosts"]}


def network_of_others(tmp_path: Path) -> str:
    """The network's store as a host learns of it that has no node, or nothing."""
    cluster = tmp_path / "cluster-store"
    cluster.write_text(f"sqlite://{tmp_path}/store\n")
    try:
        return network_of(cluster)
    except NoNetworkStore:
        return ""


def test_every_agent_gets_it_one_at_a_time_and_a_new_member_is_rolled_out(tmp_path: Path) -> None:
    async def story(master: HostsMaster) -> None:
        async with roller(tmp_path, master) as live:
            shown = await live.state("done")
            assert marks(shown) == {"a1": "done", "a2": "done", "p1": "done"}
            steps = [step["name"] for step in shown["hosts"][0]["steps"]]
            assert steps == ["artefact", "configuration", "cni", "agent", "node", "gate"]
            assert master.together == []
            subscribe = next(call for call in master.calls if call["type"] == "SUBSCRIBE")
            assert subscribe["subscribe"]["framework_info"]["roles"] == ["*", "slave_public"]
            for host in master.boxes.values():
                assert host.restarts() == [AGENT, NODE]
                assert (host.systemctl.with_name("apart")).read_text().split()[-2:] == ["restart", AGENT]
                assert (host.root / STORE).read_text() == "etcd://10.0.0.1:31000,10.0.0.2:31001,10.0.0.3:31002\n"
            await until(lambda: master.live() == [])
            await until(lambda: not any(master.unacknowledged.values()))
            master.members = [*master.members[1:], ("10.0.0.4", 31003)]

            def renewed() -> bool:
                return all("http://10.0.0.4:31003" in (h.root / CFG).read_text() for h in master.boxes.values())

            await until(renewed, message="the new member in every calicoctl.cfg")
            there = "etcd://10.0.0.2:31001,10.0.0.3:31002,10.0.0.4:31003"
            await until(lambda: network_of_others(tmp_path) == there, message="who has no node is told of it, too")
            shown = await live.state("done")
            assert [step["name"] for step in shown["hosts"][2]["steps"]] == ["configuration", "node", "gate"]
            assert {tuple(host.restarts()) for host in master.boxes.values()} == {(AGENT, NODE, NODE)}
            told_before = (await live.call("GET", "/json"))[1]["a1"]
            assert told_before["TaskRunCalicoNode"]["state"] == 1

    told(tmp_path, story)


def test_another_process_goes_on_with_the_step_that_was_cut_short(tmp_path: Path) -> None:
    async def story(master: HostsMaster) -> None:
        master.hold = lambda task: task.agent.hostname == "a2" and task.info["name"] == "calico-apply-cni"
        async with roller(tmp_path, master) as live:
            await until(lambda: any(task.state == "TASK_STAGING" for task in master.live("calico-apply-cni")))
            held = next(iter(master.live("calico-apply-cni")))
            assert (await live.call("POST", "/v1/pause"))[0] == 200
        assert held.live
        async with roller(tmp_path, master) as live:
            await until(lambda: not held.live and master.live("calico-apply-cni"))
            going = ("rolling", "")
            await live.board(lambda shown: (marks(shown)["a2"], shown["trouble"]) == going, "nothing else is told")
            master.hold = lambda _task: False
            master.run(next(iter(master.live("calico-apply-cni"))))
            wanted = {"a1": "done", "a2": "done", "p1": "waiting"}
            shown = await live.board(lambda shown: marks(shown) == wanted, "the agent at hand brought to its end")
            assert (shown["state"], shown["orders"]) == ("paused", ["resume", "undo", "abort"])
            assert held.state == "TASK_KILLED"
            assert (await live.call("POST", "/v1/pause"))[0] == 409
            assert (await live.call("POST", "/v1/resume", **{"Sec-Fetch-Site": "cross-site"}))[0] == 403
            assert (await live.call("POST", "/uninstall", **{"Sec-Fetch-Site": "same-site"}))[0] == 403
            assert (await live.call("POST", "/v1/dance"))[0] == 404
            assert (await live.call("POST", "/v1/resume"))[0] == 200
            await live.state("done")
            assert {tuple(host.restarts()) for host in master.boxes.values()} == {(AGENT, NODE)}
            assert master.together == []
            assert master.subscriptions == 2
            assert len({call["framework_id"]["value"] for call in master.calls if "framework_id" in call}) == 1

    told(tmp_path, story)


def test_a_failed_step_stops_all_undoes_its_agent_and_retry_goes_on(tmp_path: Path) -> None:
    async def story(master: HostsMaster) -> None:
        before = {name: host.tree() for name, host in master.boxes.items()}
        master.boxes["a2"].refuse_restarts(True)
        async with roller(tmp_path, master) as live:
            shown = await live.board(lambda shown: bool(shown.get("stopped")), "stopped")
            assert shown["stopped"] == "a2: agent: " + shown["hosts"][1]["steps"][3]["error"] or "the unit" in str(
                shown
            )
            assert "the unit does not start" in shown["stopped"]
            assert shown["orders"] == ["retry", "undo", "abort"]
            assert marks(shown)["p1"] == "waiting"
            assert master.boxes["p1"].tree() == before["p1"]
            master.boxes["a2"].refuse_restarts(False)
            assert (await live.call("POST", "/v1/retry"))[0] == 200
            await live.state("done")

    told(tmp_path, story)


def test_a_task_that_dies_is_asked_for_again(tmp_path: Path) -> None:
    died: list[str] = []

    def once(host: str, task: Task) -> None:
        if task.info["name"] == "calico-apply-agent" and host not in died:
            died.append(host)
            raise OSError("the agent took it along")

    async def story(master: HostsMaster) -> None:
        master.before = once
        async with roller(tmp_path, master) as live:
            await live.state("done")
            assert died == ["a1"]
            assert master.boxes["a1"].restarts() == [AGENT, NODE]

    told(tmp_path, story, ("a1",), "")


def test_while_the_master_is_away_everything_waits(tmp_path: Path) -> None:
    patience = 1.0

    async def story(master: HostsMaster) -> None:
        master.hold = lambda task: task.info["name"] == "calico-apply-cni"
        async with roller(tmp_path, master, offer_seconds=patience) as live:
            await until(lambda: any(task.state == "TASK_STAGING" for task in master.live("calico-apply-cni")))
            master.update(next(iter(master.live("calico-apply-cni"))), "TASK_FAILED")
            await master.stop()
            # For longer than a step is tried, as long as somebody could hear of it.
            ends = time.monotonic() + TRIES * (patience + PAUSE)
            await live.board(lambda shown: shown["trouble"].startswith("the master is away"), "the master is missed")
            await until(lambda: time.monotonic() > ends)
            master.hold = lambda _task: False
            await master.start()
            for task in master.live("calico-apply-cni"):
                master.run(task)  # where stopping took so long that the step was tried again before
            shown = await live.board(lambda shown: shown["state"] == "done" and quiet(shown), "done")
            assert marks(shown) == {"a1": "done"}
            assert next(step["tries"] for step in shown["hosts"][0]["steps"] if step["name"] == "cni") == 1

    told(tmp_path, story, ("a1",), "")


@pytest.mark.parametrize("along", [True, False], ids=["with its hand", "its hand goes on"])
def test_killed_in_each_step_it_ends_as_wanted(tmp_path: Path, along: bool) -> None:
    async def story(master: HostsMaster) -> None:
        port, killed = free_port(), []
        processes = [start(tmp_path, master, port)]

        def kill(_host: str, task: Task) -> None:
            if task.info["name"] not in killed:
                killed.append(task.info["name"])
                processes[-1].kill()
                processes[-1].wait()
                processes.append(start(tmp_path, master, port))
                if along:
                    raise OSError("it goes with the framework")

        master.fetched = kill
        try:
            async with aiohttp.ClientSession() as session:
                running: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                live = Live(f"http://127.0.0.1:{port}", session, running)
                await live.state("done")
        finally:
            processes[-1].kill()
            processes[-1].wait()
        steps = ["artefact", "configuration", "cni", "agent", "node", "gate"]
        assert killed == ["calico-probe-all", *(f"calico-apply-{step}" for step in steps)]
        assert {tuple(host.restarts()) for host in master.boxes.values()} == {(AGENT, NODE)}
        assert master.together == []

    told(tmp_path, story, ("a1", "a2"), "")


def test_undone_nothing_begins_by_itself_and_uninstalled_nothing_is_left(tmp_path: Path) -> None:
    async def story(master: HostsMaster) -> None:
        before = {name: host.tree() for name, host in master.boxes.items()}
        async with roller(tmp_path, master) as live:
            await live.state("done")
            assert (await live.call("POST", "/v1/undo"))[0] == 200
            shown = await live.board(lambda shown: shown["orders"] == ["begin"] and bool(shown["trouble"]), "rests")
            assert shown["trouble"] == "the last rollout is undone: nothing begins before somebody says so"
            assert network_of_others(tmp_path) == ""
            assert {name: files(host.tree()) for name, host in master.boxes.items()} == {
                name: files(tree) for name, tree in before.items()
            }
            assert (await live.call("POST", "/v1/begin"))[0] == 200
            await live.state("done")
        async with roller(tmp_path, master, "two") as live:
            two = artefact("two")[0]
            shown = await live.board(lambda shown: (shown["state"], shown["artefact"]) == ("done", two), "upgraded")
            assert [step["name"] for step in shown["hosts"][0]["steps"]] == ["artefact", "node", "gate"]
            assert "two" in (master.boxes["a1"].root / "opt/tortie/current/lib/product.py").read_text()
            assert (await live.call("POST", "/uninstall", {"force": "yes"}))[0] == 400
            status, said = await live.call("POST", "/uninstall", {"force": True})
            assert (status, said["message"]) == (202, "2 rollouts are being undone")
            await live.leave()
            await until(lambda: master.count("TEARDOWN") == 1)
            await until(lambda: network_of_others(tmp_path) == "", message="no network for who has no node")
            assert {name: files(host.tree()) for name, host in master.boxes.items()} == {
                name: files(tree) for name, tree in before.items()
            }

    told(tmp_path, story, ("a1", "a2"), "")


@pytest.mark.skipif(ETCD is None, reason="no etcd on this machine (package etcd-server)")
def test_uninstalling_under_endpoints_is_refused_with_their_names_and_forced_down_to_each_host(tmp_path: Path) -> None:
    etcd = EtcdServer(tmp_path / "etcd")

    async def story(master: HostsMaster) -> None:
        before = {name: host.tree() for name, host in master.boxes.items()}
        master.members = [("127.0.0.1", etcd.client)]
        async with roller(tmp_path, master) as live:
            await live.state("done")
            with closing(open_store(etcd.url)) as store:
                Client(store).apply(ENDPOINT)
            master.boxes["a1"].beside("endpoints").touch()
            status, said = await live.call("POST", "/uninstall", {})
            assert (status, said["message"]) == (409, REFUSED)
            there = {name: host.tree() for name, host in master.boxes.items()}
            assert (await live.call("POST", "/uninstall", {"force": True}))[0] == 202
            await live.leave()
            assert there != before
            assert master.boxes["a1"].beside("uninstalled").read_text() == "node uninstall --unit  --force\n"
            assert {name: files(host.tree()) for name, host in master.boxes.items()} == {
                name: files(tree) for name, tree in before.items()
            }

    etcd.start()
    try:
        told(tmp_path, story, ("a1",), "")
    finally:
        etcd.stop()


def files(tree: dict[str, Any]) -> dict[str, Any]:
    """Without what runs: an agent that was restarted runs on."""
    return {name: held for name, held in tree.items() if name != "active"}


def test_uninstalling_is_refused_while_nobody_can_say_who_is_on_the_network() -> None:
    store = {"files": {"configuration": {NETWORK_STORE: {"text": f"etcd://127.0.0.1:{free_port()}\n"}}}}
    made = SimpleNamespace(tasks=[SimpleNamespace(want=store)])
    lost = cast(Roller, SimpleNamespace(memory=SimpleNamespace(latest=made)))
    with pytest.raises(Conflict, match=r"nobody can say whether containers are on the network: .*127\.0\.0\.1"):
        Roller._refuse_to_leave(lost)
