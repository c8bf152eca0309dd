"""Requests that are cut off on their way to a host, or arrive as others: nothing is done, and asking again works."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.support.agent_hosts import GIVEN, HostsMaster, roller
from tests.support.rollout_host import AGENT, NODE, Box, artefact, box, want
from tests.support.scheduler_master import Task

from tortie.base.errors import Unavailable
from tortie.packages.rollout import drive
from tortie.packages.rollout.reach import BEGIN, StepFailed, given, hand, understood


def sent(data: bytes) -> dict[str, Any]:
    """What becomes of it on a host."""
    words = [sys.executable, "-I", "-B", "-c", BEGIN, str(len(hand()))]
    done = subprocess.run(words, input=data, capture_output=True, check=False)
    return understood("a1", done.returncode, done.stdout, done.stderr.decode().strip())


def whole(host: Box) -> tuple[bytes, int]:
    """A request with its artefact, and where that begins."""
    name, payload = artefact("one")
    request = given(host.request("apply", "artefact", want(name)), payload)
    return request, len(request) - len(payload)


def test_a_request_that_is_cut_off_anywhere_does_nothing_and_is_to_be_asked_again() -> None:
    with box() as host:
        before = host.tree()
        request, payload = whole(host)
        inside, line = len(hand()), (len(hand()) + payload) // 2
        for length in (
            0,
            1,
            inside // 2,
            inside - 1,
            inside,
            line,
            payload - 1,
            payload,
            payload + 1,
            len(request) - 1,
        ):
            with pytest.raises(Unavailable) as cut:
                sent(request[:length])
            assert str(cut.value) == "a1: the request was cut off", length
            assert host.tree() == before, length
        assert sent(request) == {"notes": []}
        assert (host.root / "opt/tortie/current/bin/tortie").exists()


@pytest.mark.parametrize("place", [0, 11, -1], ids=["its first byte", "in its middle", "its last byte"])
def test_an_artefact_that_is_another_one_is_not_unpacked(place: int) -> None:
    with box() as host:
        request, payload = whole(host)
        at = (len(request) if place < 0 else payload) + place
        other = request[:at] + bytes([request[at] ^ 0xFF]) + request[at + 1 :]
        with pytest.raises(StepFailed, match="the artefact did not arrive whole"):
            sent(other)
        assert list((host.root / "opt/tortie").iterdir()) == []
        assert sent(request) == {"notes": []}


class Cutting:
    """Shortens what the first tasks have fetched of the artefact, each time less."""

    def __init__(self, master: HostsMaster, lengths: list[int]) -> None:
        self.master, self.lengths = master, lengths

    def __call__(self, _host: str, task: Task) -> None:
        if task.info["name"] == "calico-apply-artefact" and self.lengths:
            file = self.master.work / task.info["task_id"]["value"] / GIVEN
            file.write_bytes(file.read_bytes()[: self.lengths.pop()])


def test_a_task_whose_download_ends_early_is_asked_for_again_and_after_three_times_it_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive, "PAUSE", 0.1)

    async def story(master: HostsMaster) -> None:
        before = files(master.boxes["a1"])
        master.fetched = Cutting(master, [len(hand()) + 3000, len(hand()) - 9, 5, 40, len(hand()) + 40])
        async with roller(tmp_path, master) as live:
            shown = await live.board(lambda shown: bool(shown.get("stopped")), "stopped")
            assert shown["stopped"] == "a1: artefact: a1: the request was cut off"
            assert shown["hosts"][0]["mark"] == "failed"
            assert files(master.boxes["a1"]) == before
            assert (await live.call("POST", "/v1/retry"))[0] == 200
            await live.state("done")
        assert master.boxes["a1"].restarts() == [AGENT, NODE]

    asyncio.run(_told(tmp_path, story))


async def _told(tmp_path: Path, story: Any) -> None:
    with ExitStack() as stack:
        master = HostsMaster(tmp_path / "tasks", {"a1": stack.enter_context(box())})
        await master.start()
        try:
            await story(master)
        finally:
            await master.stop()


def files(host: Box) -> dict[str, Any]:
    """Without what runs."""
    return {name: held for name, held in host.tree().items() if name != "active"}
