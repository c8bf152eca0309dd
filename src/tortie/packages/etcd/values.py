"""What the framework keeps in the store, what it sees, and what it may do next."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One member and its task. `etcd_id` is 0 until etcd has been seen to have it; `since`: when it was decided on."""

    name: str
    task: str
    agent: str
    host: str
    peer: int
    client: int
    http: int
    since: float
    etcd_id: int = 0

    @property
    def peer_url(self) -> str:
        return f"http://{self.host}:{self.peer}"

    @property
    def client_url(self) -> str:
        return f"http://{self.host}:{self.client}"

    @property
    def metrics_url(self) -> str:
        return f"http://{self.host}:{self.http}"


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What outlives the framework's process.

    `number`: of the next member, never given twice. `seeded`: a cluster has answered, so nothing may begin empty again.
    `survivor`: the member that a new cluster is being made from; `epoch` counts these new beginnings.
    """

    framework_id: str | None = None
    number: int = 1
    members: tuple[Member, ...] = ()
    seeded: bool = False
    survivor: Member | None = None
    epoch: int = 1
    reseeds: int = 0
    leaving: bool = False

    def member(self, name: str) -> Member | None:
        return next((one for one in self.members if one.name == name), None)

    def of_task(self, task: str) -> Member | None:
        """Whose task it is, the survivor's among them."""
        known = (*self.members, *((self.survivor,) if self.survivor else ()))
        return next((one for one in known if one.task == task), None)

    def without(self, name: str) -> Kept:
        return msgspec.structs.replace(self, members=tuple(one for one in self.members if one.name != name))

    def with_member(self, member: Member) -> Kept:
        """With this one in place of the one of its name, or at the end."""
        if self.member(member.name) is None:
            return msgspec.structs.replace(self, members=(*self.members, member))
        members = tuple(member if one.name == member.name else one for one in self.members)
        return msgspec.structs.replace(self, members=members)


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """A member as etcd itself lists it; its name is empty until it has started."""

    id: int
    name: str = ""
    urls: tuple[str, ...] = ()
    learner: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One look at everything. Members are named by their names, tasks by their ids.

    `alive`: how far the log goes of each whose etcd answers; `healthy`: a read through the quorum succeeds there.
    `cluster`: the members as a healthy one lists them after such a read, None when no member is healthy. `silent`:
    since when, of those that do not answer. `leaderless`: since when no member is healthy.
    """

    in_touch: bool = True
    tasks: Mapping[str, str] = field(default_factory=dict)
    alive: Mapping[str, int] = field(default_factory=dict)
    healthy: Set[str] = frozenset()
    cluster: tuple[Peer, ...] | None = None
    silent: Mapping[str, float] = field(default_factory=dict)
    leaderless: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The options, and how patient to be, in seconds.

    `unreachable`: with a member whose agent is away and which does not answer; `start`: until a new one answers;
    `hung`: with one whose task runs and which does not answer; `election`: before a majority counts as lost.
    """

    size: int = 3
    auto_reseed: bool = False
    reseed_timeout: float = 240.0
    unreachable: float = 30.0
    start: float = 600.0
    hung: float = 120.0
    election: float = 15.0


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to be done now; `why` is empty when all wanted members run."""

    why: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing is done before somebody says how to go on; in `how`, `{url}` stands for the framework's address."""

    why: str
    how: str


@dataclass(frozen=True, slots=True)
class Seed:
    """The first member, alone; from what `source` holds if there is one. Wants an offer."""

    source: Member | None = None


@dataclass(frozen=True, slots=True)
class Grow:
    """One more member, first without a vote. Wants an offer."""


@dataclass(frozen=True, slots=True)
class Know:
    """What was seen is worth keeping; nothing else happens."""

    kept: Kept


@dataclass(frozen=True, slots=True)
class Promote:
    """Give the member its vote; etcd refuses until it has caught up."""

    member: Member


@dataclass(frozen=True, slots=True)
class Remove:
    """Take the member out of etcd's list."""

    member: Member


@dataclass(frozen=True, slots=True)
class Forget:
    """Neither a task nor etcd has this member any more."""

    member: Member


@dataclass(frozen=True, slots=True)
class Kill:
    """End the member's task; what follows from that is decided when it has ended."""

    member: Member
    why: str


@dataclass(frozen=True, slots=True)
class Reseed:
    """Begin a new cluster with what this survivor holds; the others are given up."""

    survivor: Member


Step: TypeAlias = Wait | Stop | Seed | Grow | Know | Promote | Remove | Forget | Kill | Reseed
