"""Hands on agents: each request becomes a task of the host's agent, one on a host at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tortie.base.errors import Unavailable
from tortie.framework import calls
from tortie.framework.link import Link
from tortie.packages.calico import tasks
from tortie.packages.calico.desk import Asked, Desk, Said
from tortie.packages.calico.memory import Memory
from tortie.packages.rollout.reach import SECONDS, given, hand, understood
from tortie.wire import mesos

OFFER_SECONDS = 60.0
UNREACHABLE_SECONDS = 120.0
ENDING_SECONDS = 60.0
LOOK_SECONDS = 5.0
REFUSE_SECONDS = 5.0
AWAY_SECONDS = 2.0
ENDED = mesos.TERMINAL | {"TASK_UNKNOWN", "TASK_GONE_BY_OPERATOR"}
RUN_APART = "systemd-run"
log = logging.getLogger("calico-framework")


@dataclass(slots=True)
class _Task:
    state: str = ""
    message: str = ""
    since: float = 0.0


class Hands:
    """Offers are taken only while a request waits for one."""

    def __init__(
        self, memory: Memory, link: Link, needs: tasks.Needs, desk: Desk, offer_seconds: float = OFFER_SECONDS
    ) -> None:
        self.memory, self.link, self.needs, self.desk = memory, link, needs, desk
        self._away, self._away_since = 0.0, time.monotonic()
        self._offer_seconds = offer_seconds
        self._tasks: dict[str, _Task] = {}
        self._waiting: dict[str, asyncio.Future[tuple[mesos.Offer, list[mesos.Resource]]]] = {}
        self._refused: dict[str, str] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    # -- asking --------------------------------------------------------------------------------------------------------

    async def ask(self, host: str, request: Mapping[str, Any], payload: bytes) -> dict[str, Any]:
        """The hand's answer. StepFailed with its reason; Unavailable when the agent is out of reach."""
        async with self._turns.setdefault(host, asyncio.Lock()):
            await self._clear(host)
            step = f"{request['do']}-{request['step'] or 'all'}"
            task = f"{step}.{uuid.uuid4()}"
            # The way to the host leads over its agent: whoever restarts that must not end with it.
            with self.desk.asking(given({**request, "apart": RUN_APART}, payload)) as asked:
                await self._launch(host, task, asked.url, step)
                said = await self._wait(host, task, asked)
            with contextlib.suppress(Unavailable):  # it is seen to before the next request to this host
                await self._clear(host, patience=LOOK_SECONDS)
        return understood(host, said.code, said.out, said.err.strip())

    async def _launch(self, host: str, task: str, where: str, step: str) -> None:
        offer, taken = await self._offer(host)
        info = tasks.task_of(f"calico-{step}", task, offer.agent_id.value, taken, self.needs, where, len(hand()))
        self._tasks[task] = _Task()
        await self.memory.change(lambda kept: kept.with_hand(task, host))
        log.info("host=%s task=%s", host, task)
        self.link.send(calls.launch(offer, [info], REFUSE_SECONDS))

    async def _offer(self, host: str) -> tuple[mesos.Offer, list[mesos.Resource]]:
        waiting: asyncio.Future[tuple[mesos.Offer, list[mesos.Resource]]] = asyncio.get_running_loop().create_future()
        self._waiting[host] = waiting
        self._refused.pop(host, None)
        self.link.send(calls.interest(True))
        ends = self._clock() + self._offer_seconds
        try:
            while not (await asyncio.wait([waiting], timeout=min(LOOK_SECONDS, self._offer_seconds)))[0]:
                if self._clock() >= ends:
                    text = f"{host}: no offer of its agent with room for a task within {self._offer_seconds:g} s"
                    raise Unavailable(f"{text} ({self._refused.get(host, 'none has come')})")
            return waiting.result()
        finally:
            del self._waiting[host]
            if not self._waiting:
                self.link.send(calls.interest(False))

    async def _wait(self, host: str, task: str, asked: Asked) -> Said:
        ends = self._clock() + SECONDS
        while asked.said is None:
            known, now = self._tasks[task], self._clock()
            if known.state in ENDED:
                raise Unavailable(f"{host}: the task ended as {known.state} without an answer: {known.message}")
            if known.state == "TASK_UNREACHABLE" and now - known.since > UNREACHABLE_SECONDS:
                raise Unavailable(f"{host}: its agent has been away for {UNREACHABLE_SECONDS:g} s")
            if now > ends:
                raise Unavailable(f"{host}: no answer within {SECONDS:g} s")
            await self._hear(task)
        return asked.said

    async def _clear(self, host: str, patience: float | None = None) -> None:
        """Returns once no hand is at work on the host; what is left of earlier requests is ended, unless `patience`
        says how long its own end may take."""
        clock = self._clock if patience is None else time.monotonic
        ends = clock() + (ENDING_SECONDS if patience is None else patience)
        while left := self.memory.kept.hands_on(host):
            for task in left:
                if self._tasks.get(task, _Task()).state in ENDED:
                    await self.memory.change(lambda kept, task=task: kept.without_hand(task))  # type: ignore[misc]
                    self._tasks.pop(task, None)
            if not (left := self.memory.kept.hands_on(host)):
                return
            if clock() > ends:
                raise Unavailable(f"{host}: an earlier task, {left[0]}, may be at work still: nobody says it has ended")
            for task in left:
                if patience is None:
                    self.link.send(calls.kill(task))
            await self._hear(left[0])

    async def _hear(self, task: str) -> None:
        """Returns when something has been heard, and asks after the task when nothing is."""
        if not await self.desk.hear(LOOK_SECONDS):
            self._reconcile([task])

    # -- what the master says ------------------------------------------------------------------------------------------

    async def on_subscribed(self, framework_id: str) -> None:
        await self.memory.subscribed(framework_id)
        if not self.link.subscribed:
            self._away += time.monotonic() - self._away_since
        self._reconcile(list(self.memory.kept.hands))
        self.link.send(calls.interest(bool(self._waiting)))

    async def on_disconnect(self) -> None:
        self._away_since = time.monotonic()

    async def on_heard(self) -> None:
        await self.desk.tell()

    @property
    def trouble(self) -> str:
        """What all that is under way waits for; nothing when the master is there."""
        away = not self.link.subscribed and time.monotonic() - self._away_since > AWAY_SECONDS
        return "the master is away: what is under way waits for it" if away else ""

    def _clock(self) -> float:
        """Seconds during which the master could say something: while it is away, nobody's patience ends."""
        now = time.monotonic()
        return now - self._away - (0.0 if self.link.subscribed else now - self._away_since)

    def on_offers(self, offers: Sequence[mesos.Offer]) -> None:
        """A request revives the offers of all agents for the one it waits for: the others go back in one call."""
        left = [offer for offer in offers if not self._takes(offer)]
        if left:
            self.link.send(calls.decline(left, REFUSE_SECONDS))

    def on_rescind(self, offer: str) -> None:
        """None is kept: what was launched with it ends as an error, and is asked for again."""

    def _takes(self, offer: mesos.Offer) -> bool:
        waiting = self._waiting.get(offer.hostname)
        if waiting is None or waiting.done():
            return False
        found = tasks.room(offer, self.needs)
        if isinstance(found, str):
            self._refused[offer.hostname] = found
            return False
        waiting.set_result((offer, found))
        return True

    def on_update(self, status: mesos.TaskStatus) -> None:
        task = status.task_id.value
        known = self._tasks.setdefault(task, _Task())
        if known.state not in ENDED and known.state != status.state:
            log.info("task=%s %s %s", task, status.state, status.message or "")
            self._tasks[task] = _Task(status.state, status.message or "", self._clock())
        self.link.send(*calls.acknowledge(status))
        if task not in self.memory.kept.hands:
            self._tasks.pop(task, None)

    def _reconcile(self, names: Sequence[str]) -> None:
        if names:
            self.link.send(calls.reconcile((name, None) for name in names))
