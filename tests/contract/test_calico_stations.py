"""Masters in a rollout of the calico package: their package service is a station, killed, away, come back, alone."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from tests.support import station_hosts
from tests.support.agent_hosts import HostsMaster, Live, quiet, roller, start
from tests.support.ports import free_port
from tests.support.rollout_host import AGENT, NODE, Box, box
from tests.support.station_hosts import settings_of, station
from tests.support.waiting import PATIENCE, until

from tortie.base.errors import Unavailable
from tortie.framework.leader import Leadership
from tortie.packages.calico import stations
from tortie.packages.calico.board import NO_STATION
from tortie.packages.calico.desk import Desk
from tortie.packages.calico.stations import Stations
from tortie.packages.calico.tasks import Needs
from tortie.packages.rollout import drive
from tortie.packages.stations import read_request, request_key, station_key
from tortie.store.open import open_store
from tortie.store.port import Datastore, Drop, KeyValue, Put

STEPS = ["artefact", "configuration", "node", "gate"]
Story = Callable[[HostsMaster, dict[str, Box]], Awaitable[None]]
pytestmark = pytest.mark.timeout(900)


def told(tmp_path: Path, story: Story, masters: tuple[str, ...] = ("m1",), agents: tuple[str, ...] = ("a1",)) -> None:
    """`masters`: hosts without an agent."""

    async def whole() -> None:
        with ExitStack() as stack:
            mesos = HostsMaster(tmp_path / "tasks", {name: stack.enter_context(box()) for name in agents})
            hosts = {name: stack.enter_context(box()) for name in masters}
            await mesos.start()
            try:
                await story(mesos, hosts)
            finally:
                await mesos.stop()

    asyncio.run(whole())


def names(shown: Any) -> list[str]:
    return [host["name"] for host in shown["hosts"]]


async def masters_done(live: Live, *wanted: str) -> Any:
    def there(shown: Any) -> bool:
        return shown["state"] == "done" and [h["name"] for h in shown["hosts"] if h["kind"] == "station"] == [*wanted]

    return await live.board(there, f"a rollout done on {wanted}")


async def announced(directory: Path, *masters: str) -> None:
    with closing(open_store(f"sqlite://{directory}/store")) as store:
        await until(
            lambda: all(store.get(station_key(name)) for name in masters), message=f"{masters} announce themselves"
        )


def test_masters_come_last_without_plug_ins_and_are_undone_first(tmp_path: Path) -> None:
    async def story(mesos: HostsMaster, hosts: dict[str, Box]) -> None:
        before = {name: tree(host) for name, host in hosts.items()}
        did: list[str] = []
        mesos.before = lambda host, task: did.append(f"{host} {task.info['name'].removeprefix('calico-')}")
        first, second = (
            settings_of(name, host, lambda step, name=name: did.append(f"{name} {step}"))  # type: ignore[misc]
            for name, host in hosts.items()
        )
        async with station(tmp_path, second), station(tmp_path, first):
            await announced(tmp_path, "m1", "m2")
            async with roller(tmp_path, mesos) as live:
                shown = await masters_done(live, "m1", "m2")
                assert names(shown) == ["a1", "m1", "m2"]
                assert [[step["name"] for step in host["steps"]] for host in shown["hosts"][1:]] == [STEPS, STEPS]
                assert shown["note"] == ""
                assert [did.index(f"{name} apply-artefact") for name in ("a1", "m1", "m2")] == sorted(
                    did.index(f"{name} apply-artefact") for name in ("a1", "m1", "m2")
                )
                assert did.index("a1 apply-gate") < did.index("m1 apply-artefact")
                assert did.index("m1 apply-gate") < did.index("m2 apply-artefact")
                for host in hosts.values():
                    assert host.restarts() == [NODE]
                    assert (host.root / "etc/tortie/store").read_text().startswith("etcd://10.0.0.1:31000,")
                    assert (host.root / "etc/calico/calicoctl.cfg").exists()
                    assert not (host.root / "opt/cni").exists()
                assert list((await live.call("GET", "/json"))[1]) == ["a1"]
                await live.leave()
                undone = [line.partition(" ")[0] for line in did if " undo-" in line]
                assert [name for name, _ in itertools.groupby(undone)] == ["m2", "m1", "a1"]
                assert {name: tree(host) for name, host in hosts.items()} == before

    told(tmp_path, story, ("m1", "m2"))


def test_without_any_the_page_says_so_and_one_that_comes_later_is_rolled_out_alone(tmp_path: Path) -> None:
    async def story(mesos: HostsMaster, hosts: dict[str, Box]) -> None:
        did: list[str] = []
        settings = settings_of("m1", hosts["m1"], did.append)
        async with roller(tmp_path, mesos) as live:
            shown = await masters_done(live)
            assert shown["note"] == NO_STATION
            asked = len(mesos.tasks)
            async with station(tmp_path, settings):
                shown = await masters_done(live, "m1")
                await live.board(lambda shown: shown["note"] == "", "no note any more")
                assert [host["steps"] for host in shown["hosts"] if host["name"] == "a1"] == [[]]
                assert len(mesos.tasks) == asked
                assert did == ["probe-all", *(f"apply-{step}" for step in STEPS)]
            await live.board(lambda shown: shown["note"] == NO_STATION, "the note again")
            async with station(tmp_path, settings):
                await until(lambda: did[-1] == "probe-all", message="it is looked at again")
                await live.board(lambda shown: shown["note"] == "" and quiet(shown), "nothing to do")
            assert did.count("apply-node") == 1
            assert len(mesos.tasks) == asked
            assert hosts["m1"].restarts() == [NODE]

    told(tmp_path, story)


@pytest.mark.parametrize("along", [True, False], ids=["with its hand", "its hand goes on"])
def test_killed_in_each_step_it_comes_back_and_it_ends_as_wanted(tmp_path: Path, along: bool) -> None:
    async def story(mesos: HostsMaster, hosts: dict[str, Box]) -> None:
        host, port, ends = hosts["m1"], free_port(), asyncio.Event()
        begun = 0

        async def serving() -> None:
            """As a service manager does."""
            nonlocal begun
            while not ends.is_set():
                begun += 1
                with station_hosts.start(tmp_path, "m1", host, port, along=along) as process:
                    await until(functools.partial(over, process, ends), seconds=600)
                    process.kill()

        async with roller(tmp_path, mesos) as live:
            manager = asyncio.ensure_future(serving())
            try:
                await masters_done(live, "m1")
            finally:
                ends.set()
                await manager
        killed = (tmp_path / "m1.killed").read_text().split()
        assert killed == ["probe-all", *(f"apply-{step}" for step in STEPS)]
        assert begun == len(killed) + 1
        assert host.restarts() == [NODE]
        assert mesos.boxes["a1"].restarts() == [AGENT, NODE]

    told(tmp_path, story)


def test_one_that_stays_away_stops_the_rollout_and_retry_goes_on_once_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive, "PAUSE", 0.1)
    monkeypatch.setattr(stations, "LOOK_SECONDS", 0.1)

    async def story(mesos: HostsMaster, hosts: dict[str, Box]) -> None:
        came: list[str] = []

        async with roller(tmp_path, mesos, absent_seconds=0.5) as live:
            async with station(tmp_path, settings_of("m1", hosts["m1"], came.append)):
                await until(lambda: "apply-configuration" in came)
            shown = await live.state("stopped")
            assert "m1: its station has been away for 0.5 s" in shown["stopped"]
            assert [host["mark"] for host in shown["hosts"]] == ["done", "stuck"]
            async with station(tmp_path, settings_of("m1", hosts["m1"])):
                await announced(tmp_path, "m1")
                assert (await live.call("POST", "/v1/retry"))[0] == 200
                await masters_done(live, "m1")
            assert hosts["m1"].restarts() == [NODE]

    told(tmp_path, story)


def test_a_framework_killed_while_a_master_is_at_work_is_followed_by_the_next(tmp_path: Path) -> None:
    async def story(mesos: HostsMaster, hosts: dict[str, Box]) -> None:
        port, killed = free_port(), list[str]()
        processes = [start(tmp_path, mesos, port)]

        def kill(step: str) -> None:
            if step not in killed:
                killed.append(step)
                processes[-1].kill()
                processes[-1].wait()
                processes.append(start(tmp_path, mesos, port))

        try:
            async with aiohttp.ClientSession() as session, station(tmp_path, settings_of("m1", hosts["m1"], kill)):
                running: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                await masters_done(Live(f"http://127.0.0.1:{port}", session, running), "m1")
        finally:
            processes[-1].kill()
            processes[-1].wait()
        assert killed == ["probe-all", *(f"apply-{step}" for step in STEPS)]
        assert hosts["m1"].restarts() == [NODE]

    told(tmp_path, story)


def over(process: subprocess.Popen[bytes], ends: asyncio.Event) -> bool:
    return process.poll() is not None or ends.is_set()


def tree(host: Box) -> dict[str, Any]:
    """Without what runs: a service manager's own matter."""
    with contextlib.suppress(FileNotFoundError):
        return {name: held for name, held in host.tree().items() if name != "active"}
    return {}


class _Away:
    """A store that can be out of reach."""

    def __init__(self, store: Datastore) -> None:
        self._store, self.away, self.refused = store, False, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def get(self, key: str) -> KeyValue | None:
        if self.away:
            self.refused += 1
            raise Unavailable("the store is away")
        return self._store.get(key)


def test_a_store_that_is_away_for_a_moment_ends_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        with closing(open_store(f"sqlite://{tmp_path}/store")) as plain:
            store, desk = _Away(plain), Desk("http://127.0.0.1:1")

            async def commit(writes: Sequence[Put]) -> None:
                plain.commit(writes)

            leadership = SimpleNamespace(store=store, commit=commit)
            asking = Stations(cast(Leadership, leadership), Needs(), desk)
            step = {"do": "apply", "step": "gate", "plan": "p", "want": {}}
            asked = asyncio.ensure_future(asking.ask("m1", step, b""))
            await until(lambda: plain.get(request_key("m1")))
            store.away = True
            await until(lambda: store.refused >= 2 or asked.done())
            store.away = False
            stands = plain.get(request_key("m1"))
            assert stands is not None, "it is not withdrawn"
            token = read_request(stands.value).given.rpartition("/")[2]
            assert await desk.answered(token, b'{"code":0,"out":"{\\"notes\\":[]}","err":""}')
            plain.commit([Drop(request_key("m1"))])
            assert await asyncio.wait_for(asked, PATIENCE) == {"notes": []}

    asyncio.run(story())
