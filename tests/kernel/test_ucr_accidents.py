"""Whatever is lost, killed or hangs on the way: the next agent finds its way, and nothing is left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.support.machine import needs_oci_runtime
from tests.support.ucr_containers import Box
from tests.support.waiting import PATIENCE, until

from tortie.base import cgroups
from tortie.base.errors import Invalid, NotFound
from tortie.mesos.agent import namespaces
from tortie.mesos.agent.networks import Joined, Wish
from tortie.mesos.agent.ucr import connection
from tortie.mesos.agent.ucr.host_network import HostNetworks
from tortie.wire import mesos as wire

pytestmark = [pytest.mark.root, needs_oci_runtime, pytest.mark.timeout(900)]


def box_in(tmp_path: Path) -> Box:
    return Box(tmp_path, recipes=tmp_path.parent / "recipes")


def told(box: Box, story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(box.run(story))


@pytest.mark.parametrize("step", ["before", "shim", "isolated"])
def test_what_an_agent_that_was_killed_had_begun_is_removed_by_the_next(tmp_path: Path, step: str) -> None:
    folder = tmp_path / f"tortie-test-{os.getpid()}-{step}"
    folder.mkdir()
    child = [sys.executable, str(Path(__file__).with_name("run_ucr_start.py")), str(folder), step]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        child, env=environment, capture_output=True, timeout=4 * PATIENCE, check=False
    )  # makes an image
    assert done.returncode == 9, done.stderr
    box = Box(folder, cgroup=folder.name, recipes=tmp_path.parent / "recipes")

    async def story() -> None:
        ((name, container_id, has_ended),) = await box.made.owned()
        assert (name, has_ended) == (f"mesos-{container_id}", False)
        assert not (await box.made.look(name)).started
        await box.made.remove(name)
        with pytest.raises(NotFound):
            await box.made.look(name)

    told(box, story)


class Elsewhere(HostNetworks):
    """A network namespace that is there when it is joined; `lost`: and gone when the container is made."""

    def __init__(self, folder: Path, *, lost: bool = False) -> None:
        self.path, self.lost = folder / "netns", lost
        self.left: list[str] = []

    async def join(self, wish: Wish) -> Joined:
        namespaces.make(self.path)
        if self.lost:
            namespaces.drop(self.path)
        return Joined(namespace=str(self.path), hostname="elsewhere")

    def joined(self, container_id: str) -> Joined | None:
        return Joined(namespace=str(self.path), hostname="elsewhere")

    async def leave(self, container_id: str) -> None:
        namespaces.drop(self.path)
        self.left.append(container_id)


def test_a_namespace_that_vanished_is_told_of(tmp_path: Path) -> None:
    box = box_in(tmp_path)
    networks = Elsewhere(tmp_path, lost=True)
    box.made = box.containers(networks)

    async def story() -> None:
        launch = box.launch("true")
        await box.made.prepare(launch)
        with pytest.raises(Invalid, match=r"(?i)failed to launch container: .*netns.*no such file"):
            await box.made.start(launch)
        assert networks.left == [launch.container_id]

    told(box, story)


def test_a_container_is_in_its_networks_namespace_until_it_ends(tmp_path: Path) -> None:
    box = box_in(tmp_path)
    networks = Elsewhere(tmp_path)
    box.made = box.containers(networks)

    async def story() -> None:
        launch = box.launch("hostname; exit 0")
        async with box.running() as container_id:
            pid = (await box.made.look(f"mesos-{container_id}")).pid
            inside, outside = (os.stat(path).st_ino for path in (f"/proc/{pid}/ns/net", "/proc/self/ns/net"))
            assert inside == networks.path.stat().st_ino != outside
        assert networks.left == [container_id]
        await box.made.prepare(launch)
        await box.made.start(launch)
        await box.made.wait(launch.name)
        await box.made.release(launch.name)
        await box.made.release(launch.name)
        assert networks.left == [container_id, launch.container_id]
        ended = (await box.made.look(launch.name)).exit
        assert ended is not None
        assert ended.status == 0
        assert (Path(launch.sandbox) / "stdout").read_text() == "elsewhere\n"
        await box.made.remove(launch.name)

    told(box, story)


def test_a_runtime_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = tmp_path / "hanging"
    hanging.write_text(f'#!/bin/sh\ncase "$3" in create) exec sleep 2007{os.getpid()};; esac\n')
    hanging.chmod(0o755)
    box = box_in(tmp_path)
    box.made = box.containers(program=str(hanging))
    monkeypatch.setattr(connection, "MAKING", 0.5)

    async def story() -> None:
        with pytest.raises(Invalid, match=r"hanging has not ended within 0\.5 seconds"):
            await box.made.start(box.launch("true"))
        await until(lambda: not sleeping(f"2007{os.getpid()}"), message="what hung is gone")

    told(box, story)


def sleeping(seconds: str) -> bool:
    return subprocess.run(["pgrep", "-f", f"^sleep {seconds}$"], capture_output=True, check=False).returncode == 0


def test_a_first_process_that_somebody_kills_has_been_killed(tmp_path: Path) -> None:
    box = box_in(tmp_path)

    async def story() -> None:
        async with box.running() as container_id:
            name = f"mesos-{container_id}"
            os.kill((await box.made.look(name)).pid, signal.SIGKILL)
            await box.made.wait(name)
            ended = (await box.made.look(name)).exit
            assert ended is not None
            assert (ended.status, ended.reason) == (9, None)

    told(box, story)


def test_twenty_at_once(tmp_path: Path) -> None:
    box = box_in(tmp_path)

    async def story() -> None:
        launches = [box.launch(f"echo {number}; exit {number}") for number in range(20)]
        await asyncio.gather(*(box.made.start(launch) for launch in launches))
        await asyncio.gather(*(box.made.wait(launch.name) for launch in launches))
        for number, launch in enumerate(launches):
            ended = (await box.made.look(launch.name)).exit
            assert ended is not None
            assert ended.code == number
            assert (Path(launch.sandbox) / "stdout").read_text() == f"{number}\n"
        await asyncio.gather(*(box.made.remove(launch.name) for launch in launches))

    told(box, story)


def test_a_sandbox_full_of_links_leads_nowhere(tmp_path: Path) -> None:
    """What was fetched may be hostile, and so may the task: its output is the host's to write."""
    box = box_in(tmp_path)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "file").write_text("untouched")

    async def story() -> None:
        launch = box.launch("true", volumes=[wire.Volume(mode="RW", container_path="/x", host_path="link")])
        (Path(launch.sandbox) / "link").symlink_to(tmp_path / "secret")
        with pytest.raises(Invalid, match="leads out of the sandbox"):
            await box.made.start(launch)
        launch = box.launch("cat /x", volumes=[wire.Volume(mode="RO", container_path="/x", host_path="file")])
        (Path(launch.sandbox) / "file").write_text("a file may be one")
        await box.made.start(launch)
        await box.made.wait(launch.name)
        assert (Path(launch.sandbox) / "stdout").read_text() == "a file may be one"
        await box.made.remove(launch.name)
        swap = f"cd $MESOS_SANDBOX && mv stdout old && ln -s {tmp_path}/secret/file stdout"
        launch = box.launch(f"{swap} && head -c 5000000 /dev/zero; echo end")
        await box.made.start(launch)
        await box.made.wait(launch.name)
        assert (Path(launch.sandbox) / "stdout.2").is_symlink()
        assert not (Path(launch.sandbox) / "stdout").is_symlink()
        assert (tmp_path / "secret" / "file").read_text() == "untouched"
        await box.made.remove(launch.name)

    told(box, story)


@pytest.mark.skipif(cgroups.unified(), reason="here every other test runs on version 2 alone")
def test_version_2_of_cgroups_alone_will_do(tmp_path: Path) -> None:
    only = "mount --make-rprivate / && mount -t cgroup2 none /mnt && mount --move /mnt /sys/fs/cgroup"
    script = Path(__file__).with_name("run_ucr_unified.py")
    folder = tmp_path / "unified"
    folder.mkdir()
    command = ["unshare", "--mount", "sh", "-c", f'{only} && exec "$@"', "-", sys.executable, str(script), str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=4 * PATIENCE, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
