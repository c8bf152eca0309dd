"""Sessions in containers, terminals, and everything that goes in and out."""

from __future__ import annotations

import asyncio
import hashlib
import os
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.support.machine import needs_oci_runtime
from tests.support.ucr_containers import Box
from tests.support.waiting import PATIENCE, until

from tortie.base import cgroups
from tortie.base.errors import Conflict, Invalid, NotFound, Unavailable
from tortie.mesos.agent.streams import Session

pytestmark = [pytest.mark.root, needs_oci_runtime]

Story = Callable[[Box], Awaitable[None]]


def told(tmp_path: Path, story: Story) -> None:
    box = Box(tmp_path, recipes=tmp_path.parent / "recipes")
    asyncio.run(box.run(lambda: story(box)))


def session(parent: str, line: str, **parts: Any) -> Session:
    arguments = parts.pop("arguments", ["sh", "-c", line])
    return Session(id=f"s-{uuid.uuid4()}", parent=parent, arguments=arguments, **parts)


class Reading:
    """Everything that one has said so far."""

    def __init__(self, box: Box, container_id: str) -> None:
        self.parts: dict[str, bytearray] = {"STDOUT": bytearray(), "STDERR": bytearray()}
        self.task = asyncio.ensure_future(self._read(box, container_id))

    async def _read(self, box: Box, container_id: str) -> None:
        async for kind, data in box.made.streams.output(container_id):
            assert data
            self.parts[kind] += data

    @property
    def out(self) -> str:
        return self.parts["STDOUT"].decode(errors="replace")

    @property
    def err(self) -> str:
        return self.parts["STDERR"].decode(errors="replace")


async def ran(box: Box, asked: Session) -> tuple[int, str, str]:
    streams = box.made.streams
    await streams.launch(asked)
    reading = Reading(box, asked.id)
    await reading.task
    status = await streams.wait(asked.id)
    await streams.remove(asked.id)
    return status, reading.out, reading.err


def test_a_session_has_the_containers_world_and_an_end_of_its_own(tmp_path: Path) -> None:
    async def story(box: Box) -> None:
        async with box.running("echo here > /made; sleep 1000") as parent:

            async def made() -> bool:
                said = await box.made.run_in(f"mesos-{parent}", ["cat", "/made"], environment={}, timeout=PATIENCE)
                return said == (0, "here")

            await until(made, message="the task has made its file")
            line = "cat /made; echo $COLOUR $MORE; pwd; hostname >/dev/null; echo oops >&2; exit 7"
            status, out, err = await ran(box, session(parent, line, environment={"MORE": "and more"}))
            assert (status, err) == (7 << 8, "oops\n")
            assert out.splitlines()[-2:] == ["ginger and more", "/mnt/mesos/sandbox"]
            assert (await ran(box, session(parent, "kill -9 $$")))[0] == 9
            assert (await ran(box, session(parent, "id -u", user="nobody")))[1] == "65534\n"
            status, out, err = await ran(box, session(parent, "", arguments=["/no/such/program"]))
            assert status == 127 << 8
            assert "no such file" in err.lower()
            assert (await box.made.look(f"mesos-{parent}")).running

    told(tmp_path, story)


def test_ten_megabytes_each_way_arrive_whole(tmp_path: Path) -> None:
    async def story(box: Box) -> None:
        given = os.urandom(10 << 20)
        async with box.running() as parent:
            asked = session(parent, "", arguments=["cat"])
            streams = box.made.streams
            await streams.launch(asked)
            reading = Reading(box, asked.id)
            for at in range(0, len(given), 1 << 20):
                await streams.write(asked.id, given[at : at + (1 << 20)])
            await streams.close_input(asked.id)
            await reading.task
            assert await streams.wait(asked.id) == 0
            assert hashlib.sha256(reading.parts["STDOUT"]).digest() == hashlib.sha256(given).digest()
            await streams.write(asked.id, b"nobody reads this")
            await streams.remove(asked.id)

    told(tmp_path, story)


def test_a_session_begins_with_its_first_reader_and_waits_for_slow_ones(tmp_path: Path) -> None:
    async def story(box: Box) -> None:
        async with box.running() as parent:
            asked = session(parent, ": > $MESOS_SANDBOX/begun; head -c 3000000 /dev/zero; : > $MESOS_SANDBOX/written")
            streams, sandbox = box.made.streams, box.work / "sandboxes" / parent
            await streams.launch(asked)
            output = streams.output(asked.id)
            assert not (sandbox / "begun").exists()
            read = len((await anext(output))[1])
            assert (sandbox / "begun").exists()
            # Nobody reads: pipes and buffers hold less than that.
            assert not (sandbox / "written").exists()
            async for _, data in output:
                read += len(data)
            assert read == 3_000_000
            await streams.remove(asked.id)

    told(tmp_path, story)


def test_a_terminal_has_a_size_and_one_stream(tmp_path: Path) -> None:
    async def story(box: Box) -> None:
        async with box.running() as parent:
            line = "stty size; echo oops >&2; while read x; do stty size; echo got $x; done; exit 3"
            asked = session(parent, line, terminal=True, rows=30, columns=70, environment={"TERM": "xterm"})
            streams = box.made.streams
            await streams.launch(asked)
            reading = Reading(box, asked.id)
            await until(lambda: "30 70\r\noops\r\n" in reading.out, message=lambda: reading.out)
            await streams.resize(asked.id, 50, 60)
            await streams.write(asked.id, b"typed\n")
            await until(lambda: "50 60\r\ngot typed\r\n" in reading.out, message=lambda: reading.out)
            await streams.close_input(asked.id)
            await streams.write(asked.id, b"\x04")
            await reading.task
            assert (await streams.wait(asked.id), reading.err) == (3 << 8, "")
            await streams.remove(asked.id)

    told(tmp_path, story)


def test_what_a_session_started_ends_with_it_and_the_task_lives(tmp_path: Path) -> None:
    async def story(box: Box) -> None:
        async with box.running() as parent:
            streams = box.made.streams
            asked = session(parent, "setsid sleep 2000 & sleep 2001 & echo up; sleep 2002")
            await streams.launch(asked)
            reading = Reading(box, asked.id)
            await until(lambda: "up" in reading.out)
            await until(lambda: len(sleepers(box)) == 3, message=lambda: sleepers(box))
            await streams.remove(asked.id)
            assert sleepers(box) == []
            with pytest.raises(Unavailable):
                await reading.task
            assert (await box.made.look(f"mesos-{parent}")).running
            # One that ends by itself does not wait for those who still hold its output.
            status, out, _ = await ran(box, session(parent, "setsid sleep 2003 & echo done"))
            assert (status, out) == (0, "done\n")
            assert sleepers(box) == []

    told(tmp_path, story)


def sleepers(box: Box) -> list[int]:
    """Processes of sessions of these tests that sleep."""
    found = []
    for pid in cgroups.processes(cgroups.controlled_by("pids") / box.cgroup):
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            found += [pid] if words[0].endswith(b"sleep") and words[1].startswith(b"200") else []
    return found


def test_a_task_with_a_terminal_can_be_attached_to(tmp_path: Path) -> None:
    async def story(box: Box) -> None:
        tty: Any = {"tty_info": {"window_size": {"rows": 24, "columns": 80}}}
        async with box.running("while read x; do echo got $x; stty size; done", **tty) as container_id:
            streams = box.made.streams
            readings = [Reading(box, container_id) for _ in range(3)]
            await streams.resize(container_id, 11, 22)
            log = box.work / "sandboxes" / container_id / "stdout"

            async def typed(word: str) -> bool:
                await streams.write(container_id, f"{word}\n".encode())
                # The terminal's echo of what is typed meanwhile may stand between any two of these.
                return all(f"got {word}" in reading.out and "11 22" in reading.out for reading in readings)

            await until(lambda: typed("x"), message=lambda: [reading.out for reading in readings])
            await until(lambda: "got x" in log.read_text(), message=log.read_text)
            await streams.signal(container_id, 9)
            for reading in readings:
                await reading.task
            assert await streams.wait(container_id) == 9

    told(tmp_path, story)


def test_what_is_not_there_or_makes_no_sense(tmp_path: Path) -> None:
    async def story(box: Box) -> None:
        streams = box.made.streams
        for name in ("nobody", "../containers", "", "a/b", "x" * 300):
            with pytest.raises(NotFound):
                await streams.launch(session(name, "true"))
            with pytest.raises(NotFound):
                await streams.wait(name)
        async with box.running() as parent:
            asked = session(parent, "cat")
            await streams.launch(asked)
            with pytest.raises(Conflict):
                await streams.launch(asked)
            for wrong in (-1, 1 << 16):
                with pytest.raises(Invalid):
                    await streams.resize(asked.id, wrong, 1)
            for number in (0, 65, -9):
                with pytest.raises(Invalid):
                    await streams.signal(asked.id, number)
            with pytest.raises(NotFound):
                await streams.launch(Session(id="../x", parent=parent, arguments=["true"]))
            with pytest.raises(Invalid, match="No such user"):
                await streams.launch(session(parent, "true", user="nemo"))
            await streams.remove(asked.id)
            await streams.remove(asked.id)
        launch = box.launch("exit 0")
        await box.made.start(launch)
        await box.made.wait(launch.name)
        with pytest.raises(NotFound):
            await streams.launch(session(launch.container_id, "true"))
        assert [part async for part in streams.output(launch.container_id)] == []
        await box.made.remove(launch.name)

    told(tmp_path, story)


def test_sessions_of_an_agent_that_was_killed_are_ended(tmp_path: Path) -> None:
    async def story(box: Box) -> None:
        async with box.running() as parent:
            asked = session(parent, "sleep 2000")
            await box.made.streams.launch(asked)
            reading = Reading(box, asked.id)
            await until(lambda: len(sleepers(box)) == 1)
            later = box.containers()
            assert [entry[1:] for entry in await later.owned()] == [(parent, False)]
            assert sleepers(box) == []
            with pytest.raises(Unavailable):
                await reading.task
            await later.close()

    told(tmp_path, story)


def test_a_command_in_a_container_has_its_time(tmp_path: Path) -> None:
    async def story(box: Box) -> None:
        async with box.running() as parent:
            with pytest.raises(Unavailable, match=r"no answer within 0\.5 seconds"):
                await box.made.run_in(f"mesos-{parent}", ["sleep", "2000"], environment={}, timeout=0.5)
            assert sleepers(box) == []
            said = await box.made.run_in(
                f"mesos-{parent}", ["sh", "-c", "echo $A; exit 3"], environment={"A": "b"}, timeout=0
            )
            assert said == (3, "b")

    told(tmp_path, story)
