"""The framework at work: it looks, decides and does one thing, again and again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from tortie.base.errors import Conflict, Unavailable
from tortie.framework.link import Link
from tortie.framework.memory import Memory
from tortie.packages.etcd import machine, tasks
from tortie.packages.etcd.api import Etcd
from tortie.packages.etcd.look import Look
from tortie.packages.etcd.master import Master
from tortie.packages.etcd.reports import Reports
from tortie.packages.etcd.values import (
    Forget,
    Grow,
    Kept,
    Kill,
    Know,
    Member,
    Promote,
    Remove,
    Reseed,
    Seed,
    Seen,
    Step,
    Stop,
    Wait,
    Wanted,
)
from tortie.wire import mesos

TICK = 1.0
HURRIED_TICK = 0.25
"""While members start and nothing refuses: each round is one that somebody waits for."""
LIVE = frozenset({"TASK_STAGING", "TASK_STARTING", "TASK_RUNNING"})
ENDPOINTS = "/calico/resources/v3/projectcalico.org/workloadendpoints/"
log = logging.getLogger("etcd-framework")


class Engine:
    """Owns what is known, and hears the master. `folder` is for what a new cluster begins with; `url` the address of
    the pages, where members find that, too."""

    def __init__(
        self,
        memory: Memory[Kept],
        link: Link,
        etcd: Etcd,
        needs: tasks.Needs,
        wanted: Wanted,
        *,
        folder: Path,
        url: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.memory, self.link, self.etcd, self.master = memory, link, etcd, Master(link, needs, clock)
        self.needs, self.wanted, self.folder, self.url, self.clock = needs, wanted, folder, url, clock
        self._look = Look(etcd, clock)
        self.seen = Seen(in_touch=False)
        self.step: Step = Wait("starting")
        self.trouble = ""
        self.removed = False
        self.livelocks = 0
        self.reports = Reports()
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()

    @property
    def kept(self) -> Kept:
        return self.memory.kept

    # -- for the pages -------------------------------------------------------------------------------------------------

    @property
    def whole(self) -> bool:
        return self.link.subscribed and machine.is_whole(self.kept, self.seen, self.wanted)

    @property
    def why(self) -> str:
        """What there is to say besides who runs; nothing when all is well."""
        if self.removed:
            return "uninstalled"
        step, said = self.step, self.trouble
        if isinstance(step, Stop):
            return f"{step.why}. {step.how.format(url=self.url)}"
        if isinstance(step, Seed | Grow) and not said:
            refused = "; ".join(f"{host}: {why}" for host, why in sorted(self.master.refused.items()))
            said = f"waiting for an offer with room for a member ({refused or 'none has come'})"
            if (left := self.reports.pause_ends - self.clock()) > 0:
                said = f"the next member is started in {left:.0f} s"
        said = said or (step.why if isinstance(step, Wait | Kill) else "")
        return "; ".join(part for part in (said, self.reports.failure) if part)

    async def reseed(self, *, empty: bool) -> str:
        """Asked by a person. Raises Conflict when there is nothing to be mended by it."""
        async with self._turn:
            if not isinstance(self.step, Stop) and self.kept.survivor is None:
                raise Conflict("nothing is to be reseeded: " + (self.why or "the cluster has its majority"))
            alive = machine.survivors(self.kept, self.seen)
            if empty:
                await self._reseed(None)
                return "reseeding with nothing"
            if self.kept.survivor is not None:
                return "reseeding"
            if not alive:
                raise Conflict("no member is left to reseed from; /reseed?empty=true begins with nothing")
            await self._reseed(alive[0])
        return f"reseeding with what {alive[0].name} holds"

    async def leave(self, *, force: bool) -> str | None:
        """Ends all members for good; None once they have ended. Raises Conflict while networks live in them."""
        async with self._turn:
            if self.removed:
                return None
            if not self.kept.leaving:
                await self._refuse_to_leave(force=force)
                await self.memory.keep(msgspec.structs.replace(self.kept, leaving=True, survivor=None))
        self._wake.set()
        left = len(self.kept.members)
        return f"{left} members are ending" if left != 1 else "1 member is ending"

    async def _refuse_to_leave(self, *, force: bool) -> None:
        if force or not self.kept.seeded:
            return
        try:
            endpoints = await self.etcd.count(self._healthy(), ENDPOINTS)
        except Unavailable as error:
            raise Conflict(f"etcd cannot be asked whether networks still need it: {error}") from error
        if endpoints:
            raise Conflict(f"{endpoints} endpoints of containers are in this etcd: their network ends with it")

    # -- what the master says ------------------------------------------------------------------------------------------

    async def on_subscribed(self, framework_id: str) -> None:
        async with self._turn:
            await self.memory.subscribed(framework_id)
        self.master.on_subscribed()

    async def on_disconnect(self) -> None:
        self.master.on_disconnect()
        self._wake.set()

    async def on_heard(self) -> None:
        self._wake.set()

    def on_offers(self, offers: Sequence[mesos.Offer]) -> None:
        self.master.on_offers(offers)

    def on_rescind(self, offer: str) -> None:
        self.master.on_rescind(offer)

    def on_update(self, status: mesos.TaskStatus) -> None:
        task = status.task_id.value
        member = self.kept.of_task(task)
        if self.reports.told(status, member, self.clock()):
            log.info("task=%s %s %s", task, status.state, status.message or "")
        self.master.acknowledge(status)
        if status.state in LIVE and member is None:
            self.master.kill(task, status.agent_id.value if status.agent_id else None)

    # -- the round -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled; raises when the store or the leadership is lost."""
        while True:
            self._wake.clear()
            if not self.removed:
                await self.round()
            with contextlib.suppress(TimeoutError):
                calm = self.whole or self.trouble or isinstance(self.step, Stop)
                async with asyncio.timeout(TICK if calm else HURRIED_TICK):
                    await self._wake.wait()

    async def round(self) -> None:
        """One look, one decision, one deed."""
        async with self._turn:
            self.seen = await self._look.at(self.kept.members, self.reports.states, lambda: self.link.subscribed)
            now = self.clock()
            step = machine.decide(self.kept, self.seen, self.wanted, now)
            if type(step) is not type(self.step) or (isinstance(step, Stop | Wait | Kill) and step != self.step):
                log.info("%s %s", type(step).__name__, _about(step))
            if isinstance(step, Stop) and not isinstance(self.step, Stop):
                self.livelocks += 1
            self.step = step
            if self.whole:
                self.reports.whole()
            if not self.link.subscribed:
                return
            self.master.reconcile(self.kept.members, now)
            self.master.show_interest(isinstance(step, Seed | Grow) and now >= self.reports.pause_ends)
            try:
                await self._do(step, now)
                self.trouble = ""
            except (Unavailable, Conflict) as error:
                if not self.trouble.endswith(str(error)):
                    log.warning("%s: %s", type(step).__name__, error)
                again = "etcd takes no change yet and is asked again: " if isinstance(error, Conflict) else ""
                self.trouble = f"{again}{error}"

    def _healthy(self) -> list[Member]:
        return [one for one in self.kept.members if one.name in self.seen.healthy]

    # -- deeds ---------------------------------------------------------------------------------------------------------

    async def _do(self, step: Step, now: float) -> None:
        match step:
            case Know(kept):
                survivor = self.kept.survivor
                await self.memory.keep(kept)
                if survivor is not None and kept.survivor is None:
                    self.master.kill(survivor.task, survivor.agent)
                self._wake.set()
            case Seed(source):
                await self._seed(source, now)
            case Grow():
                await self._grow(now)
            case Promote(member):
                await self.etcd.promote(self._others(member), self._etcd_id(member))
                self._wake.set()
            case Remove(member):
                await self.etcd.remove(self._others(member), self._etcd_id(member))
                self._wake.set()
            case Forget(member):
                await self.memory.keep(self.kept.without(member.name))
                self._wake.set()
            case Kill(member):
                self.master.kill(member.task, member.agent)
            case Reseed(survivor):
                await self._reseed(survivor)
        if self.kept.leaving and not self.kept.members:
            await self._end()

    def _others(self, member: Member) -> list[Member]:
        """Healthy ones to ask, another than itself first."""
        return sorted(self._healthy(), key=lambda one: one.name == member.name)

    def _etcd_id(self, member: Member) -> int:
        cluster = self.seen.cluster or ()
        return next((one.id for one in cluster if member.peer_url in one.urls), member.etcd_id)

    async def _seed(self, source: Member | None, now: float) -> None:
        if source is not None:
            await self._fetch_seed(source)
        if (room := self.master.room(self.kept.members)) is None:
            return
        member = await self._new(room, now)
        seed = f"{self.url}/seeds/{self.seed_name}" if source is not None else ""
        self.master.launch(room[0], tasks.task_of(member, self.kept, self.needs, (), seed))

    @property
    def seed_name(self) -> str:
        return f"seed-{self.kept.epoch}.db"

    async def _fetch_seed(self, source: Member) -> None:
        """What the survivor holds, once; it goes on running until the new cluster answers."""
        target = self.folder / self.seed_name
        if target.exists():
            return
        beside = self.folder / f".{self.seed_name}"
        try:
            await self.etcd.snapshot(source, beside)
        except Unavailable as error:
            raise Unavailable(
                f"what {source.name} on {source.host} holds cannot be fetched: {error}; if it is gone for good, "
                "POST /reseed?empty=true begins with nothing"
            ) from error
        beside.replace(target)

    async def _grow(self, now: float) -> None:
        """Stored, then known to etcd, then started: wherever this breaks off, the next look finds what to take back."""
        if (room := self.master.room(self.kept.members)) is None:
            return
        before = self.kept
        member = await self._new(room, now)
        try:
            cluster = await self.etcd.add_learner(self._healthy(), member.peer_url)
        except Conflict:
            # Refused, as for some seconds after each change: there never was such a member. The offer is held.
            await self.memory.keep(before)
            self.master.hold(room[0])
            raise
        except Unavailable:
            self.reports.states[member.task] = "TASK_DROPPED"
            self.master.hold(room[0])
            self.master.decline()
            raise
        names = {one.peer_url: one.name for one in self.kept.members}
        others = [
            (names.get(url, one.name), url) for one in cluster for url in one.urls if member.peer_url not in one.urls
        ]
        self.master.launch(room[0], tasks.task_of(member, self.kept, self.needs, others))

    async def _new(self, room: tuple[mesos.Offer, tuple[int, ...]], now: float) -> Member:
        offer, ports = room
        member = tasks.new_member(self.kept, offer, ports, str(uuid.uuid4()), now)
        kept = msgspec.structs.replace(self.kept, number=self.kept.number + 1)
        await self.memory.keep(kept.with_member(member))
        return member

    async def _reseed(self, survivor: Member | None) -> None:
        given_up = [one for one in self.kept.members if one != survivor]
        if survivor is None and self.kept.survivor is not None:
            given_up.append(self.kept.survivor)
        await self.memory.keep(machine.reseeded(self.kept, survivor))
        log.warning("reseeding from %s", survivor.name if survivor else "nothing")
        self._look.forget_leader()
        for one in given_up:
            self.master.kill(one.task, one.agent)
        self._wake.set()

    async def _end(self) -> None:
        """Nothing of us is left but this process, which waits to be ended."""
        self.link.tear_down()
        self.removed = True
        await self.memory.forget()
        log.info("uninstalled")


def _about(step: Step) -> str:
    member = getattr(step, "member", None)
    return " ".join(part for part in (member.name if member else "", getattr(step, "why", "")) if part)
