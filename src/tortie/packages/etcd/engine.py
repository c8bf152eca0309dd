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

from tortie.base.decoding import ready
from tortie.base.errors import Conflict, Invalid, TortieError, Unavailable
from tortie.marathon.framework import Framework, FrameworkRemoved
from tortie.marathon.leader import Keys, Leadership
from tortie.packages.etcd import machine, tasks
from tortie.packages.etcd.api import Etcd
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
from tortie.store.port import Drop, Put, Write
from tortie.wire import mesos

TICK = 1.0
KILL_AGAIN = 10.0
RECONCILE_AGAIN = 60.0
REFUSE = 5.0
LONGEST_PAUSE = 60.0
STATE = "state"
LIVE = frozenset({"TASK_STAGING", "TASK_STARTING", "TASK_RUNNING"})
ENDPOINTS = "/calico/resources/v3/projectcalico.org/workloadendpoints/"
log = logging.getLogger("etcd-framework")


class StoreLost(TortieError):
    """The store or the leadership is gone: the process ends, and another takes over."""


def keys(framework: str) -> Keys:
    """Where the framework of this name keeps what must outlive it, and who of several leads."""
    base = "/tortie/v1/packages/etcd"
    return Keys(f"{base}/{framework}/", f"{base}-leader/{framework}", f"{base}-term/{framework}")


def load(items: Sequence[tuple[str, bytes]]) -> Kept:
    """What is kept, from the store's keys."""
    for key, value in items:
        if key.endswith(f"/{STATE}"):
            try:
                return msgspec.json.decode(value, type=ready(Kept))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise Invalid(f"{key} of the store cannot be read: {error}") from error
    return Kept()


class Engine:
    """Owns what is kept and what is known. `folder` is for what a new cluster begins with; `url` the address of the
    pages, where members find that, too."""

    def __init__(
        self,
        kept: Kept,
        leadership: Leadership,
        etcd: Etcd,
        needs: tasks.Needs,
        wanted: Wanted,
        *,
        folder: Path,
        url: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.kept, self.leadership, self.etcd = kept, leadership, etcd
        self.needs, self.wanted, self.folder, self.url, self.clock = needs, wanted, folder, url, clock
        self.framework: Framework | None = None
        self.seen = Seen(in_touch=False)
        self.step: Step = Wait("starting")
        self.trouble = ""
        self.removed = False
        self.launched = self.failed = self.livelocks = 0
        self.states: dict[str, str] = {}
        self.failure = ""
        self._failures, self._pause_ends = 0, 0.0
        self._offers: dict[str, mesos.Offer] = {}
        self._refused: dict[str, str] = {}
        self._silent: dict[str, float] = {}
        self._leaderless: float | None = None
        self._killed: dict[str, float] = {}
        self._subscribed = False
        self._interested: bool | None = None
        self._reconciled = 0.0
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()

    # -- for the pages -------------------------------------------------------------------------------------------------

    @property
    def whole(self) -> bool:
        return self._subscribed and machine.is_whole(self.kept, self.seen, self.wanted)

    @property
    def why(self) -> str:
        """What there is to say besides who runs; nothing when all is well."""
        if self.removed:
            return "uninstalled"
        step, said = self.step, self.trouble
        if isinstance(step, Stop):
            return f"{step.why}. {step.how.format(url=self.url)}"
        if isinstance(step, Seed | Grow) and not said:
            refused = "; ".join(f"{host}: {why}" for host, why in sorted(self._refused.items()))
            said = f"waiting for an offer with room for a member ({refused or 'none has come'})"
            if (left := self._pause_ends - self.clock()) > 0:
                said = f"the next member is started in {left:.0f} s"
        said = said or (step.why if isinstance(step, Wait | Kill) else "")
        return "; ".join(part for part in (said, self.failure) if part)

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
                await self._keep(msgspec.structs.replace(self.kept, leaving=True, survivor=None))
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

    async def on_events(self, events: Sequence[mesos.Event]) -> None:
        for event in events:
            if event.subscribed is not None:
                await self._on_subscribed(event.subscribed.framework_id.value)
            elif event.offers is not None:
                self._offers |= {offer.id.value: offer for offer in event.offers.offers}
            elif event.rescind is not None:
                self._offers.pop(event.rescind.offer_id.value, None)
            elif event.update is not None:
                self._on_update(event.update.status)
        self._wake.set()

    async def _on_subscribed(self, framework_id: str) -> None:
        async with self._turn:
            if self.kept.framework_id != framework_id:
                await self._keep(msgspec.structs.replace(self.kept, framework_id=framework_id))
        log.info("subscribed framework=%s", framework_id)
        self._offers.clear()
        self._subscribed, self._interested, self._reconciled = True, None, 0.0

    async def on_disconnect(self) -> None:
        self._subscribed = False
        self._offers.clear()
        self._wake.set()

    def _on_update(self, status: mesos.TaskStatus) -> None:
        task = status.task_id.value
        if self.states.get(task) not in mesos.TERMINAL:
            if self.states.get(task) != status.state:
                log.info("task=%s %s %s", task, status.state, status.message or "")
            if status.state in mesos.TERMINAL and self._ours(task) and status.state != "TASK_KILLED":
                self._on_failure(task, status)
            self.states[task] = status.state
        if status.uuid is not None and status.agent_id is not None:
            said = mesos.Acknowledge(agent_id=status.agent_id, task_id=status.task_id, uuid=status.uuid)
            self._send(mesos.Call(type="ACKNOWLEDGE", acknowledge=said))
        if status.state in LIVE and not self._ours(task):
            self._kill(task, status.agent_id.value if status.agent_id else None)

    def _on_failure(self, task: str, status: mesos.TaskStatus) -> None:
        """The first is replaced at once, the next later and later: an image that is nowhere keeps no agent busy."""
        self.failed += 1
        self._failures += 1
        self._pause_ends = self.clock() + min(LONGEST_PAUSE, 2.0 ** min(self._failures - 1, 10) - 1)
        member = next((one for one in self.kept.members if one.task == task), None)
        name = f"{member.name} on {member.host}" if member else task
        what = (status.message or "").strip() or status.state
        self.failure = f"{name} has ended: {what}"

    def _ours(self, task: str) -> bool:
        kept = self.kept
        return any(one.task == task for one in (*kept.members, *((kept.survivor,) if kept.survivor else ())))

    def _send(self, *calls: mesos.Call) -> None:
        if self.framework is not None:
            self.framework.send(calls)

    def _kill(self, task: str, agent: str | None) -> None:
        now = self.clock()
        if now - self._killed.get(task, 0.0) < KILL_AGAIN:
            return
        self._killed[task] = now
        log.info("task=%s is to end", task)
        kill = mesos.Kill(task_id=mesos.ID(value=task), agent_id=mesos.ID(value=agent) if agent else None)
        self._send(mesos.Call(type="KILL", kill=kill))

    # -- the round -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled; raises when the store or the leadership is lost."""
        while True:
            self._wake.clear()
            if not self.removed:
                await self.round()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK):
                    await self._wake.wait()

    async def follow(self) -> None:
        """The subscription. A framework that the master will not have again is forgotten with its members."""
        assert self.framework is not None
        try:
            await self.framework.run()
        except FrameworkRemoved:
            if not self.removed:
                await self._write(Drop(self._key))
                raise
            await asyncio.get_running_loop().create_future()

    async def round(self) -> None:
        """One look, one decision, one deed."""
        async with self._turn:
            self.seen = await self._look()
            now = self.clock()
            step = machine.decide(self.kept, self.seen, self.wanted, now)
            if type(step) is not type(self.step) or (isinstance(step, Stop | Wait | Kill) and step != self.step):
                log.info("%s %s", type(step).__name__, _about(step))
            if isinstance(step, Stop) and not isinstance(self.step, Stop):
                self.livelocks += 1
            self.step = step
            if self.whole:
                self.failure, self._failures = "", 0
            if not self._subscribed:
                return
            self._reconcile(now)
            self._show_interest(isinstance(step, Seed | Grow) and now >= self._pause_ends)
            try:
                await self._do(step, now)
                self.trouble = ""
            except (Unavailable, Conflict) as error:
                if not self.trouble.endswith(str(error)):
                    log.warning("%s: %s", type(step).__name__, error)
                again = "etcd takes no change yet and is asked again: " if isinstance(error, Conflict) else ""
                self.trouble = f"{again}{error}"

    async def _keep(self, kept: Kept) -> None:
        """Stored before anybody acts on it. A store that fails ends the program: what it knows would be ahead."""
        await self._write(Put(self._key, msgspec.json.encode(kept)))
        self.kept = kept
        self._silent = {name: since for name, since in self._silent.items() if kept.member(name)}

    async def _write(self, write: Write) -> None:
        try:
            await self.leadership.commit([write])
        except TortieError as error:
            raise StoreLost(str(error)) from error

    @property
    def _key(self) -> str:
        return self.leadership.keys.prefix + STATE

    async def _look(self) -> Seen:
        members = self.kept.members
        answers = await asyncio.gather(*(self._look_at(member) for member in members))
        now = self.clock()
        alive = {one.name: index for one, (index, _) in zip(members, answers, strict=True) if index is not None}
        healthy = {one.name for one, (_, good) in zip(members, answers, strict=True) if good}
        cluster = None
        for member in members:
            if member.name in healthy and cluster is None:
                cluster = await self.etcd.members(member)
        for member in members:
            if member.name in alive:
                self._silent.pop(member.name, None)
            else:
                self._silent.setdefault(member.name, now)
        self._leaderless = None if cluster is not None else (self._leaderless or now)
        return Seen(
            in_touch=self._subscribed,
            tasks=dict(self.states),
            alive=alive,
            healthy=healthy,
            cluster=cluster,
            silent=dict(self._silent),
            leaderless=self._leaderless,
        )

    async def _look_at(self, member: Member) -> tuple[int | None, bool]:
        index = await self.etcd.alive(member)
        return index, index is not None and await self.etcd.healthy(member)

    def _reconcile(self, now: float) -> None:
        if now - self._reconciled < RECONCILE_AGAIN:
            return
        self._reconciled = now
        asked = [
            mesos.ReconcileTask(task_id=mesos.ID(value=one.task), agent_id=mesos.ID(value=one.agent))
            for one in self.kept.members
        ]
        for one in [asked, []] if asked else [[]]:
            self._send(mesos.Call(type="RECONCILE", reconcile=mesos.Reconcile(tasks=one)))

    def _show_interest(self, wants: bool) -> None:
        if wants != self._interested:
            self._interested = wants
            self._send(mesos.Call(type="REVIVE" if wants else "SUPPRESS"))
        if not wants:
            self._decline()

    def _decline(self) -> None:
        if self._offers:
            filters = mesos.Filters(refuse_seconds=REFUSE)
            for offer in self._offers.values():
                self._send(mesos.Call(type="DECLINE", decline=mesos.Decline(offer_ids=[offer.id], filters=filters)))
            self._offers.clear()

    def _healthy(self) -> list[Member]:
        return [one for one in self.kept.members if one.name in self.seen.healthy]

    # -- deeds ---------------------------------------------------------------------------------------------------------

    async def _do(self, step: Step, now: float) -> None:
        match step:
            case Know(kept):
                survivor = self.kept.survivor
                await self._keep(kept)
                if survivor is not None and kept.survivor is None:
                    self._kill(survivor.task, survivor.agent)
                self._wake.set()
            case Seed(source):
                await self._seed(source, now)
            case Grow():
                await self._grow(now)
            case Promote(member):
                await self.etcd.promote(self._others(member), self._etcd_id(member))
            case Remove(member):
                await self.etcd.remove(self._others(member), self._etcd_id(member))
                self._wake.set()
            case Forget(member):
                await self._keep(self.kept.without(member.name))
                self._wake.set()
            case Kill(member):
                self._kill(member.task, member.agent)
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

    def _room(self) -> tuple[mesos.Offer, tuple[int, ...]] | None:
        """An offer that holds a member, taken from those at hand; the others are given back."""
        used, found = {one.agent for one in self.kept.members}, None
        for offer in list(self._offers.values()):
            answer = tasks.place(offer, self.needs, used)
            if isinstance(answer, str):
                self._refused[offer.hostname] = answer
            elif found is None:
                found = self._offers.pop(offer.id.value), answer
        self._decline()
        if found is not None:
            self._refused.clear()
        return found

    async def _seed(self, source: Member | None, now: float) -> None:
        if source is not None:
            await self._fetch_seed(source)
        if (room := self._room()) is None:
            return
        member = await self._new(room, now)
        seed = f"{self.url}/seeds/{self.seed_name}" if source is not None else ""
        self._launch(room[0], tasks.task_of(member, self.kept, self.needs, (), seed))

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
        if (room := self._room()) is None:
            return
        before = self.kept
        member = await self._new(room, now)
        try:
            cluster = await self.etcd.add_learner(self._healthy(), member.peer_url)
        except Conflict:
            # Refused, as for some seconds after each change: there never was such a member. The offer is held.
            await self._keep(before)
            self._offers[room[0].id.value] = room[0]
            raise
        except Unavailable:
            self.states[member.task] = "TASK_DROPPED"
            self._offers[room[0].id.value] = room[0]
            self._decline()
            raise
        names = {one.peer_url: one.name for one in self.kept.members}
        others = [
            (names.get(url, one.name), url) for one in cluster for url in one.urls if member.peer_url not in one.urls
        ]
        self._launch(room[0], tasks.task_of(member, self.kept, self.needs, others))

    async def _new(self, room: tuple[mesos.Offer, tuple[int, ...]], now: float) -> Member:
        offer, ports = room
        member = tasks.new_member(self.kept, offer, ports, str(uuid.uuid4()), now)
        kept = msgspec.structs.replace(self.kept, number=self.kept.number + 1)
        await self._keep(kept.with_member(member))
        return member

    def _launch(self, offer: mesos.Offer, task: mesos.TaskInfo) -> None:
        self.launched += 1
        log.info("launching %s on %s", task.task_id.value, offer.hostname)
        launch = mesos.Operation(type="LAUNCH", launch=mesos.Launch(task_infos=[task]))
        accept = mesos.Accept(offer_ids=[offer.id], operations=[launch], filters=mesos.Filters(refuse_seconds=REFUSE))
        self._send(mesos.Call(type="ACCEPT", accept=accept))

    async def _reseed(self, survivor: Member | None) -> None:
        given_up = [one for one in self.kept.members if one != survivor]
        if survivor is None and self.kept.survivor is not None:
            given_up.append(self.kept.survivor)
        await self._keep(machine.reseeded(self.kept, survivor))
        log.warning("reseeding from %s", survivor.name if survivor else "nothing")
        self._leaderless = None
        for one in given_up:
            self._kill(one.task, one.agent)
        self._wake.set()

    async def _end(self) -> None:
        """Nothing of us is left but this process, which waits to be ended."""
        self._send(mesos.Call(type="TEARDOWN"))
        self.removed = True
        await self._write(Drop(self._key))
        log.info("uninstalled")


def _about(step: Step) -> str:
    member = getattr(step, "member", None)
    return " ".join(part for part in (member.name if member else "", getattr(step, "why", "")) if part)
