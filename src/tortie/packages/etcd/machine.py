"""What to do next about the members: one thing at a time, and never what costs the quorum."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

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
    Step,
    Stop,
    Wait,
    Wanted,
)
from tortie.wire.mesos import TERMINAL

AWAY = frozenset({"TASK_UNREACHABLE", "TASK_UNKNOWN"})
"""The master does not know whether the task runs."""


def quorum(voters: int) -> int:
    return voters // 2 + 1


def decide(kept: Kept, seen: Seen, wanted: Wanted, now: float) -> Step:
    """The one next step. Everything it needs is in what is kept and seen, so it may be asked again at any time."""
    if not seen.in_touch:
        return Wait("not in touch with the Mesos master")
    if kept.leaving:
        return _leave(kept, seen)
    if not kept.seeded:
        return _seed(kept, seen, wanted, now)
    if seen.cluster is None:
        return _headless(kept, seen, wanted, now)
    if (known := _with_ids(kept, seen.cluster)) != kept:
        return Know(known)
    steps = (
        _bury(kept, seen, seen.cluster, wanted, now),
        _join(kept, seen, seen.cluster, wanted, now),
        _end_hung(kept, seen, seen.cluster, wanted, now),
        _size(kept, seen, seen.cluster, wanted),
    )
    return next((step for step in steps if step is not None), Wait())


def lost(member: Member, seen: Seen, wanted: Wanted, now: float) -> bool:
    """Is it gone for good? One whose agent is away lives as long as its etcd answers."""
    state = seen.tasks.get(member.task)
    if state in TERMINAL:
        return True
    if state not in AWAY or member.name in seen.alive:
        return False
    return now - seen.silent.get(member.name, now) >= wanted.unreachable


def safe_without(member: Peer, voters: Sequence[Peer], healthy: Collection[str]) -> bool:
    """Is there a quorum for removing it, and one afterwards? One without a vote is never missed."""
    if member.learner:
        return True
    rest = sum(one.name in healthy for one in voters if one.id != member.id)
    return (
        len(voters) > 1 and rest >= quorum(len(voters) - 1) and rest + (member.name in healthy) >= quorum(len(voters))
    )


def survivors(kept: Kept, seen: Seen) -> list[Member]:
    """Those that answer, the one that knows most first."""
    alive = (one for one in kept.members if one.name in seen.alive)
    return sorted(alive, key=lambda one: seen.alive[one.name], reverse=True)


def reseeded(kept: Kept, survivor: Member | None) -> Kept:
    """All members given up, for a new cluster with what the survivor holds, or with nothing."""
    return msgspec.structs.replace(
        kept,
        members=(),
        survivor=survivor,
        seeded=False,
        epoch=kept.epoch + 1,
        reseeds=kept.reseeds + 1,
    )


def is_whole(kept: Kept, seen: Seen, wanted: Wanted) -> bool:
    """Do as many members as are wanted have a vote and answer?"""
    voters = [one for one in seen.cluster or () if not one.learner]
    return len(voters) == wanted.size and all(one.name in seen.healthy for one in voters) and kept.seeded


def _leave(kept: Kept, seen: Seen) -> Step:
    for member in kept.members:
        if seen.tasks.get(member.task) in TERMINAL | AWAY:
            return Forget(member)
    return Kill(kept.members[0], "the package is being uninstalled") if kept.members else Wait("uninstalled")


def _seed(kept: Kept, seen: Seen, wanted: Wanted, now: float) -> Step:
    if not kept.members:
        return Seed(kept.survivor)
    first = kept.members[0]
    if lost(first, seen, wanted, now):
        return Forget(first)
    if first.name in seen.healthy and seen.cluster is not None:
        return Know(msgspec.structs.replace(_with_ids(kept, seen.cluster), seeded=True, survivor=None))
    if now - first.since >= wanted.start:
        return Kill(first, f"it has not answered for {wanted.start:.0f} s")
    return Wait(f"{first.name} is starting on {first.host}")


def _headless(kept: Kept, seen: Seen, wanted: Wanted, now: float) -> Step:
    """No member reaches a majority: whatever is done now may lose what was written."""
    since = now if seen.leaderless is None else seen.leaderless
    if now - since < wanted.election:
        return Wait("no member reaches a majority; they may be electing a leader")
    alive = survivors(kept, seen)
    if wanted.auto_reseed and alive and now - since >= wanted.reseed_timeout:
        return Reseed(alive[0])
    return Stop(_why_lost(kept, seen), _how_on(kept, seen, alive))


def _why_lost(kept: Kept, seen: Seen) -> str:
    ended = [one for one in kept.members if seen.tasks.get(one.task) in TERMINAL]
    silent = [one for one in kept.members if one not in ended and one.name not in seen.alive]
    said = [f"{_names(some)} {what}" for some, what in ((ended, "ended"), (silent, "not answering")) if some]
    return f"the majority is lost: {'; '.join(said) or 'the members do not reach each other'}"


def _how_on(kept: Kept, seen: Seen, alive: Sequence[Member]) -> str:
    """A member that has ended does not come back; one that is silent may, with its agent."""
    silent = [one for one in kept.members if one.name not in seen.alive and seen.tasks.get(one.task) not in TERMINAL]
    back = f"Bring back the agents of {_names(silent)}. If they are gone for good: " if silent else "To go on: "
    if alive:
        begins = f"a new cluster begins with what {alive[0].name} holds; what only the others knew is lost"
        return f"{back}curl -X POST {{url}}/reseed ({begins})"
    return f"{back}curl -X POST '{{url}}/reseed?empty=true' (begins with nothing: what the members held is lost)"


def _names(members: Iterable[Member]) -> str:
    return ", ".join(f"{one.name} on {one.host}" for one in members) or "none"


def _with_ids(kept: Kept, cluster: Sequence[Peer]) -> Kept:
    by_url = {url: one.id for one in cluster for url in one.urls}
    members = tuple(
        msgspec.structs.replace(one, etcd_id=by_url[one.peer_url]) if one.peer_url in by_url else one
        for one in kept.members
    )
    return msgspec.structs.replace(kept, members=members)


def _peer(member: Member, cluster: Sequence[Peer]) -> Peer | None:
    return next((one for one in cluster if member.peer_url in one.urls), None)


def _voters(cluster: Sequence[Peer]) -> list[Peer]:
    return [one for one in cluster if not one.learner]


def _bury(kept: Kept, seen: Seen, cluster: Sequence[Peer], wanted: Wanted, now: float) -> Step | None:
    """Members whose task has ended: out of etcd's list, then out of ours."""
    unsafe = None
    for member in kept.members:
        if not lost(member, seen, wanted, now):
            continue
        peer = _peer(member, cluster)
        if peer is None:
            return Forget(member)
        if safe_without(peer, _voters(cluster), seen.healthy):
            return Remove(member)
        unsafe = Wait(f"{member.name} is lost; too few of the others answer for taking it out")
    return unsafe


def _join(kept: Kept, seen: Seen, cluster: Sequence[Peer], wanted: Wanted, now: float) -> Step | None:
    """The one without a vote gets it once it runs."""
    for member in kept.members:
        peer = _peer(member, cluster)
        if peer is None or not peer.learner:
            continue
        if peer.name and member.name in seen.alive:
            return Promote(member)
        if now - member.since >= wanted.start and seen.tasks.get(member.task) not in AWAY:
            return Kill(member, f"it has not answered for {wanted.start:.0f} s")
        return Wait(f"{member.name} is starting on {member.host}")
    return None


def _end_hung(kept: Kept, seen: Seen, cluster: Sequence[Peer], wanted: Wanted, now: float) -> Step | None:
    for member in kept.members:
        peer, since = _peer(member, cluster), seen.silent.get(member.name)
        if peer is None:
            return Wait(f"{member.name} is no member of the cluster; its task is about to end")
        if since is None or seen.tasks.get(member.task) != "TASK_RUNNING" or now - since < wanted.hung:
            continue
        if safe_without(peer, _voters(cluster), seen.healthy):
            return Kill(member, f"it has not answered for {wanted.hung:.0f} s")
    return None


def _size(kept: Kept, seen: Seen, cluster: Sequence[Peer], wanted: Wanted) -> Step | None:
    """More or fewer members, while all that there are answer."""
    voters = _voters(cluster)
    if silent := [one.name or str(one.id) for one in voters if one.name not in seen.healthy]:
        return Wait(f"{', '.join(silent)} not answering")
    if len(cluster) > len(voters):
        return Wait("somebody has added a member that is no task of ours")
    if len(voters) < wanted.size:
        return Grow()
    if len(voters) > wanted.size and kept.members:
        newest = kept.members[-1]
        peer = _peer(newest, cluster)
        if peer is not None and safe_without(peer, voters, seen.healthy):
            return Remove(newest)
        return Wait(f"{len(voters)} members, {wanted.size} wanted; too few would be left")
    return None
