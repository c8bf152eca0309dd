"""What a framework says to the master, what it keeps, and whose seat its pages ask."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from tortie.base.errors import Invalid, Unavailable
from tortie.framework import calls
from tortie.framework.leader import Keys, Leadership
from tortie.framework.life import Seat, first_end
from tortie.framework.memory import Memory, StoreLost
from tortie.store.port import Drop, Put, Write
from tortie.wire import mesos

KEYS = Keys("/x/", "/x-leader", "/x-term")


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    framework_id: str | None = None
    count: int = 0


def keeping(written: list[Sequence[Write]], *, lost: bool = False) -> Leadership:
    async def commit(writes: Sequence[Write]) -> None:
        if lost:
            raise Unavailable("the store is away")
        written.append(writes)

    return cast(Leadership, SimpleNamespace(keys=KEYS, commit=commit))


def test_calls_have_what_the_protocol_wants_of_them() -> None:
    status = mesos.TaskStatus(task_id=mesos.ID(value="t"), state="TASK_RUNNING")
    assert calls.acknowledge(status) == []
    asked = msgspec.structs.replace(status, uuid=b"u", agent_id=mesos.ID(value="a"))
    assert [one.type for one in calls.acknowledge(asked)] == ["ACKNOWLEDGE"]
    everything, one = calls.reconcile(()).reconcile, calls.reconcile([("t", None)]).reconcile
    assert everything is not None
    assert everything.tasks == []
    assert one is not None
    assert [(task.task_id.value, task.agent_id) for task in one.tasks] == [("t", None)]
    assert (calls.interest(True).type, calls.interest(False).type) == ("REVIVE", "SUPPRESS")


def test_what_is_kept_is_stored_first_and_only_when_it_is_another() -> None:
    async def story() -> None:
        written: list[Sequence[Write]] = []
        memory = Memory(keeping(written), Kept, [("/x/state", b'{"count": 3}'), ("/x/other", b"?")])
        assert memory.kept == Kept(count=3)
        await memory.subscribed("F")
        await memory.subscribed("F")
        await memory.change(lambda kept: kept, Drop("/x/other"))
        text = msgspec.json.encode(Kept(framework_id="F", count=3))
        assert written == [[Put("/x/state", text)], [Put("/x/state", text), Drop("/x/other")]]
        await memory.forget(Drop("/x/more"))
        assert written[-1] == [Drop("/x/state"), Drop("/x/more")]
        away = Memory(keeping([], lost=True), Kept)
        with pytest.raises(StoreLost, match="the store is away"):
            await away.keep(Kept(count=1))
        assert away.kept == Kept()

    asyncio.run(story())
    with pytest.raises(Invalid, match="/x/state of the store cannot be read"):
        Memory(keeping([]), Kept, [("/x/state", b'{"count": "three"}')])


def test_without_a_holder_pages_say_who_leads_or_that_nobody_does_yet() -> None:
    def away() -> str | None:
        raise Unavailable("gone")

    async def story() -> None:
        assert await Seat[Any](lambda: None).standby() == "starting"
        assert "leads, at h:1:" in await Seat[Any](lambda: "h:1").standby()
        assert await Seat[Any](away).standby() == "the store: gone"

    asyncio.run(story())


def test_the_first_part_that_fails_ends_the_others_and_is_raised_as_it_is() -> None:
    ended: list[str] = []

    async def stays() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("stays")

    async def fails() -> None:
        await asyncio.sleep(0)
        raise Unavailable("broken")

    with pytest.raises(Unavailable, match="broken"):
        asyncio.run(first_end(stays(), fails()))
    assert ended == ["stays"]
