"""What the master has told of tasks, and how long the next member waits when members end by themselves."""

from __future__ import annotations

from dataclasses import dataclass, field

from tortie.packages.etcd.values import Member
from tortie.wire import mesos

LONGEST_PAUSE = 60.0


@dataclass(slots=True)
class Reports:
    """`states` by task. `failed`: how many members have ended by themselves; `failure`: the last of them, until the
    cluster is whole; before `pause_ends` no other is started."""

    states: dict[str, str] = field(default_factory=dict)
    failed: int = 0
    failure: str = ""
    pause_ends: float = 0.0
    _in_a_row: int = 0

    def told(self, status: mesos.TaskStatus, member: Member | None, now: float) -> bool:
        """Whether it is news. `member`: whose task it is, None when it is none of ours."""
        task, before = status.task_id.value, self.states.get(status.task_id.value)
        if before in mesos.TERMINAL:
            return False
        if status.state in mesos.TERMINAL and status.state != "TASK_KILLED" and member is not None:
            self._has_failed(member, (status.message or "").strip() or status.state, now)
        self.states[task] = status.state
        return before != status.state

    def _has_failed(self, member: Member, why: str, now: float) -> None:
        """The first is replaced at once, the next later and later: an image that is nowhere keeps no agent busy."""
        self.failed += 1
        self._in_a_row += 1
        self.pause_ends = now + min(LONGEST_PAUSE, 2.0 ** min(self._in_a_row - 1, 10) - 1)
        self.failure = f"{member.name} on {member.host} has ended: {why}"

    def whole(self) -> None:
        """The cluster is: what has failed before counts no more."""
        self.failure, self._in_a_row = "", 0
