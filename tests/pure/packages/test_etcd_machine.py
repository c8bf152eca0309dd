"""The etcd framework's decisions, with etcd and Mesos as values: whatever fails, nothing of ours costs the quorum."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.packages.etcd import machine, tasks
from tortie.packages.etcd.reports import Reports
from tortie.packages.etcd.values import (
    Forget,
    Grow,
    Kept,
    Kill,
    Know,
    Member,
    Peer,
    Promote,
    Remove,
    Reseed,
    Seed,
    Seen,
    Stop,
    Wait,
    Wanted,
)
from tortie.wire import mesos

WANTED = Wanted(size=3, unreachable=20, start=60, hung=30, election=5)
AGENTS = 5
Fault = Literal["die", "freeze", "thaw", "part", "return", "restart", "break", "time"]


@dataclass
class World:
    """What really is: processes, the master's idea of tasks, etcd's list. Changes want a quorum of running voters."""

    kept: Kept = field(default_factory=Kept)
    now: float = 1000.0
    peers: dict[int, Peer] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    frozen: set[str] = field(default_factory=set)
    apart: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    silent: dict[str, float] = field(default_factory=dict)
    leaderless: float | None = None
    breaking: bool = False
    ids: int = 0

    def answering(self) -> set[str]:
        return self.running - self.frozen

    def voters(self) -> list[Peer]:
        return [one for one in self.peers.values() if not one.learner]

    def spare(self) -> int:
        """How many running voters there are above the quorum; negative without one."""
        return sum(one.name in self.answering() for one in self.voters()) - machine.quorum(len(self.voters()))

    def seen(self) -> Seen:
        names = {one.name for one in self.kept.members}
        alive = dict.fromkeys(self.answering() & names, 1)
        led = bool(self.voters()) and self.spare() >= 0
        voting = {one.name for one in self.voters()}
        for name in names:
            if name in alive:
                self.silent.pop(name, None)
            else:
                self.silent.setdefault(name, self.now)
        self.leaderless = None if led else (self.leaderless or self.now)
        states = {}
        for one in self.kept.members:
            state = "TASK_FAILED" if one.name in self.ended else "TASK_RUNNING"
            states[one.task] = "TASK_UNREACHABLE" if one.name in self.apart else state
        return Seen(
            tasks=states,
            alive=alive,
            healthy=frozenset(alive.keys() & voting) if led else frozenset(),
            cluster=tuple(self.peers.values()) if led else None,
            silent=dict(self.silent),
            leaderless=self.leaderless,
        )

    def new(self) -> Member | None:
        used = {one.agent for one in self.kept.members}
        free = [f"A{index}" for index in range(AGENTS) if f"A{index}" not in used]
        if not free:
            return None
        name = f"etcd-{self.kept.number}"
        member = Member(name=name, task=f"t-{name}", agent=free[0], host=name, peer=1, client=2, http=3, since=self.now)
        kept = msgspec.structs.replace(self.kept, number=self.kept.number + 1)
        self.kept = kept.with_member(member)
        return member

    def add(self, member: Member, *, learner: bool) -> None:
        self.ids += 1
        self.peers[self.ids] = Peer(id=self.ids, name="", urls=(member.peer_url,), learner=learner)

    def start(self, member: Member) -> None:
        self.running.add(member.name)
        for id_, peer in self.peers.items():
            if member.peer_url in peer.urls:
                self.peers[id_] = msgspec.structs.replace(peer, name=member.name)

    def stop(self, name: str) -> None:
        self.running.discard(name)
        self.frozen.discard(name)
        self.ended.add(name)

    def of(self, member: Member) -> int:
        return next(id_ for id_, peer in self.peers.items() if member.peer_url in peer.urls)

    def act(self) -> object:
        """One round of the framework; what it does may break off before it has reached anybody."""
        step = machine.decide(self.kept, self.seen(), WANTED, self.now)
        broken, self.breaking = self.breaking, False
        match step:
            case Know(kept):
                self.kept = kept
            case Forget(member):
                self.kept = self.kept.without(member.name)
            case Seed():
                self.peers.clear()
                self._begin(learner=False, broken=broken)
            case Grow():
                self._begin(learner=True, broken=broken)
            case Promote(member) if not broken:
                id_ = self.of(member)
                self.peers[id_] = msgspec.structs.replace(self.peers[id_], learner=False)
            case Remove(member) if not broken:
                del self.peers[self.of(member)]
                if member.name in self.running:
                    self.stop(member.name)
            case Kill(member) if not broken and member.name not in self.apart:
                self.stop(member.name)
        return step

    def _begin(self, *, learner: bool, broken: bool) -> None:
        if (member := self.new()) is None:
            return
        if broken:
            self.ended.add(member.name)
            return
        self.add(member, learner=learner)
        self.start(member)

    def fault(self, kind: Fault, which: int) -> None:
        names = [one.name for one in self.kept.members]
        name = names[which % len(names)] if names else ""
        if kind == "time":
            self.now += 10.0 * (which + 1)
        elif kind == "restart":
            self.silent.clear()
            self.leaderless = None
        elif kind == "break":
            self.breaking = True
        elif kind == "die" and name in self.running:
            self.stop(name)
        elif kind == "freeze" and name in self.running:
            self.frozen.add(name)
        elif kind == "thaw":
            self.frozen.discard(name)
        elif kind == "part" and name:
            self.apart.add(name)
        elif kind == "return":
            self.apart.discard(name)


FAULTS = st.tuples(
    st.sampled_from(["die", "freeze", "thaw", "part", "return", "restart", "break", "time", "round", "round", "round"]),
    st.integers(0, 4),
)


def settled(world: World, rounds: int = 200) -> object:
    step: object = None
    for _ in range(rounds):
        step = world.act()
        world.now += 5.0
        if step == Wait() or isinstance(step, Stop):
            break
    return step


@given(st.lists(FAULTS, max_size=60))
def test_nothing_that_we_do_costs_the_quorum_and_what_can_be_mended_is(story: list[tuple[str, int]]) -> None:
    world = World()
    names: set[str] = set()
    for kind, which in story:
        if kind != "round":
            world.fault(kind, which)  # type: ignore[arg-type]
            continue
        seeded, before, had = world.kept.seeded, world.spare(), len(world.voters())
        step = world.act()
        if seeded:
            assert not isinstance(step, Seed | Reseed), "begun anew without being asked"
            assert before < 0 or world.spare() >= 0, f"{step} cost the quorum"
            assert abs(len(world.voters()) - had) <= 1
        assert len({one.agent for one in world.kept.members}) == len(world.kept.members)
        names |= {one.name for one in world.kept.members}
    assert len(names) <= world.kept.number
    world.frozen.clear()
    world.apart.clear()
    step = settled(world)
    if isinstance(step, Stop):
        assert world.spare() < 0
        assert "curl -X POST" in step.how
    else:
        assert step == Wait()
        assert len(world.voters()) == len(world.kept.members) == 3
        assert machine.is_whole(world.kept, world.seen(), WANTED)


def test_three_are_seeded_one_after_the_other_and_a_dead_one_is_replaced_by_a_new_name() -> None:
    world = World()
    assert settled(world) == Wait()
    assert [one.name for one in world.kept.members] == ["etcd-1", "etcd-2", "etcd-3"]
    world.fault("die", 1)
    assert settled(world) == Wait()
    assert [one.name for one in world.kept.members] == ["etcd-1", "etcd-3", "etcd-4"]


def test_without_a_majority_nothing_is_done_and_the_best_survivor_is_named() -> None:
    world = World()
    settled(world)
    world.fault("die", 0)
    world.fault("die", 2)
    step = settled(world)
    assert isinstance(step, Stop)
    assert step.why == "the majority is lost: etcd-1 on etcd-1, etcd-3 on etcd-3 ended"
    assert step.how.startswith("To go on: curl -X POST {url}/reseed (a new cluster begins with what etcd-2 holds;")
    later = machine.decide(
        world.kept,
        world.seen(),
        Wanted(auto_reseed=True, election=5),
        world.now + 1000,
    )
    assert later == Reseed(world.kept.members[1])


def test_a_larger_and_a_smaller_size_are_reached_one_at_a_time() -> None:
    world = World()
    settled(world)
    seen = world.seen()
    assert machine.decide(world.kept, seen, Wanted(size=5), world.now) == Grow()
    assert machine.decide(world.kept, seen, Wanted(size=1), world.now) == Remove(world.kept.members[2])
    assert machine.decide(world.kept, Seen(in_touch=False), WANTED, world.now) == Wait(
        "not in touch with the Mesos master"
    )


@given(st.lists(st.booleans(), min_size=1, max_size=7), st.integers(0, 6))
def test_only_who_is_not_missed_may_be_taken_out(up: list[bool], which: int) -> None:
    voters = [Peer(id=index + 1, name=f"m{index}") for index in range(len(up))]
    out = voters[which % len(voters)]
    healthy = {one.name for one, good in zip(voters, up, strict=True) if good}
    left = [one for one in voters if one is not out]
    agrees = len(healthy) > len(voters) / 2
    goes_on = len(left) > 0 and len([one for one in left if one.name in healthy]) > len(left) / 2
    assert machine.safe_without(out, voters, healthy) == (agrees and goes_on)


def offer(*ports: tuple[int, int], cpus: float = 4, role: str = "*") -> mesos.Offer:
    ranges = mesos.Ranges(range=[mesos.Range(begin=low, end=high) for low, high in ports])
    scalars = {"cpus": cpus, "mem": 1000.0, "disk": 5000.0}
    return mesos.Offer(
        id=mesos.ID(value="o"),
        framework_id=mesos.ID(value="f"),
        agent_id=mesos.ID(value="a"),
        hostname="h",
        resources=[
            *(
                mesos.Resource(name=name, type="SCALAR", scalar=mesos.Scalar(value=value), role=role)
                for name, value in scalars.items()
            ),
            mesos.Resource(name="ports", type="RANGES", ranges=ranges, role=role),
        ],
    )


NEEDS = tasks.Needs(cpus=1, mem=256, disk=1024, image="i")


@pytest.mark.parametrize(
    ("given_offer", "answer"),
    [
        (offer((31000, 31999)), (31000, 31001, 31002)),
        (offer((7, 7), (31000, 31000), (31005, 31009)), (7, 31000, 31005)),
        (offer((7, 8)), "fewer than three free ports"),
        (offer((31000, 31999), cpus=0.5), "cpus: 0.5 of 1"),
        (offer((31000, 31999), role="slave_public"), "cpus: 0 of 1"),
    ],
)
def test_three_ports_and_room_are_found_in_an_offer_or_the_reason_why_not(
    given_offer: mesos.Offer, answer: object
) -> None:
    assert tasks.place(given_offer, NEEDS, ()) == answer
    assert tasks.place(given_offer, NEEDS, {"a"}) == "a member is there already"


def test_the_task_is_found_by_the_names_of_the_original_and_of_etcd() -> None:
    member = tasks.new_member(Kept(framework_id="F"), offer((31000, 31999)), (31000, 31001, 31002), "x", 5.0)
    task = tasks.task_of(member, Kept(framework_id="F"), NEEDS, [("etcd-9", "http://g:1")])
    assert task.name == "etcd-server"
    assert task.discovery is not None
    assert task.discovery.ports is not None
    assert [(one.number, one.protocol) for one in task.discovery.ports.ports] == [(31000, "tcp"), (31001, "client")]
    line = task.command.value if task.command else ""
    assert line is not None
    assert "--initial-cluster etcd-9=http://g:1,etcd-1=http://h:31000" in line
    assert "--initial-cluster-state existing" in line
    assert "restore" not in line
    seeded = tasks.task_of(member, Kept(), NEEDS, (), "http://x/seed").command
    assert seeded is not None
    assert seeded.uris[0].value == "http://x/seed"
    assert (seeded.value or "").startswith("ETCDCTL_API=3 etcdctl snapshot restore ")


def test_the_first_member_that_ends_is_replaced_at_once_the_next_later_until_all_is_well() -> None:
    told, now = Reports(), 1000.0

    def member(number: int) -> Member:
        name = f"etcd-{number}"
        return Member(name=name, task=f"t-{name}", agent="A", host="H", peer=1, client=2, http=3, since=now)

    def ends(one: Member, state: mesos.TaskState = "TASK_FAILED", message: str = "exit 1") -> float:
        status = mesos.TaskStatus(task_id=mesos.ID(value=one.task), state=state, message=message)
        assert told.told(status, one, now)
        assert not told.told(status, one, now)
        return told.pause_ends - now

    assert (ends(member(1)), told.failure) == (0.0, "etcd-1 on H has ended: exit 1")
    assert (ends(member(2)), told.failed) == (1.0, 2)
    assert [ends(member(number)) for number in (3, 4)] == [3.0, 7.0]
    killed = ends(member(5), "TASK_KILLED")
    assert (killed, told.failed) == (7.0, 4)
    told.whole()
    assert (told.failure, ends(member(6))) == ("", 0.0)
    assert [ends(member(number)) for number in range(7, 20)][-1] == 60.0
