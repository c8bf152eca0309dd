"""A task that this agent has: its checkpoint, its statuses, its wish to end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import msgspec

from tortie.mesos.agent.checkpoint import TaskCheckpoint, WorkDir
from tortie.mesos.agent.status import own_networks, told_pid
from tortie.mesos.agent.updates import UpdateStream
from tortie.mesos.protocol import TaskRecord
from tortie.wire import mesos as wire


@dataclass(frozen=True, slots=True)
class Host:
    """What every task of an agent has in common."""

    agent_id: str
    ip: str
    workdir: WorkDir


@dataclass(slots=True)
class LiveTask:
    """`networks`: the container's own, as far as they are known; they outlive it, so that every status tells them, as
    `pid` does, the number of its first process.
    `patient`: the time to end was asked for, so all of it is given.
    """

    host: Host
    saved: TaskCheckpoint
    sandbox: Path
    updates: UpdateStream = field(default_factory=UpdateStream)
    networks: Sequence[wire.NetworkInfo] = ()
    pid: int = 0
    launching: anyio.CancelScope | None = None
    kill_deadline: float = math.inf
    patient: bool = True
    kill_changed: anyio.Event = field(default_factory=anyio.Event)
    healthy: bool | None = None

    @property
    def id(self) -> str:
        return self.saved.info.task_id.value

    @property
    def framework_id(self) -> str:
        return self.saved.framework.id.value if self.saved.framework.id else ""

    @property
    def terminal(self) -> bool:
        return self.saved.state in wire.TERMINAL

    @property
    def running_since(self) -> float | None:
        """As it was reported, until its health is: that status takes the place of the first."""
        return next((s.timestamp for s in self.saved.statuses if s.state == "TASK_RUNNING"), None)

    @property
    def killed(self) -> bool:
        return self.kill_deadline != math.inf

    def keep(self) -> None:
        self.saved.updates = list(self.updates.queue)
        self.saved.kill_deadline = self.kill_deadline if self.killed else None
        self.host.workdir.keep_task(self.host.agent_id, self.saved)

    def forget(self) -> None:
        self.host.workdir.forget_task(self.host.agent_id, self.saved)

    def report(self, status: wire.TaskStatus) -> None:
        """Queues an update and keeps it; a terminal state is never left."""
        if self.terminal:
            return
        status.uuid = wire.new_uuid()
        status.agent_id = wire.ID(value=self.host.agent_id)
        self.saved.state = status.state
        kept = msgspec.structs.replace(status, data=None)
        if self.saved.statuses and self.saved.statuses[-1].state == status.state:
            self.saved.statuses[-1] = kept
        else:
            self.saved.statuses.append(kept)
        if not self.saved.abandoned:
            self.updates.add(status)
        self.keep()

    def acknowledge(self, uuid: bytes) -> bool:
        """True when the task is over and everything about it has been heard."""
        if self.updates.acknowledge(uuid) is None:
            return False
        if self.terminal and self.updates.head is None:
            return True
        self.keep()
        return False

    def record(self) -> TaskRecord:
        return TaskRecord(
            framework_id=wire.ID(value=self.framework_id),
            info=self.saved.info,
            state=self.saved.state,
            statuses=self.saved.statuses,
            pending=self.updates.head,
        )


def taken_up(host: Host, saved: TaskCheckpoint) -> LiveTask:
    """From a checkpoint: every update that was not acknowledged is sent again."""
    task = LiveTask(host, saved, host.workdir.sandbox(host.agent_id, saved))
    task.updates = UpdateStream(list(saved.updates))
    task.networks, task.pid = own_networks(saved.statuses, host.ip), told_pid(saved.statuses)
    task.healthy = saved.statuses[-1].healthy if saved.statuses else None
    if saved.kill_deadline is not None:
        task.kill_deadline = saved.kill_deadline
    return task
