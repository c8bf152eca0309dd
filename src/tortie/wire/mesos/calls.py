"""What a framework says."""

from __future__ import annotations

from typing import Any, Literal

from tortie.wire.mesos.parties import FrameworkInfo
from tortie.wire.mesos.tasks import ExecutorInfo, KillPolicy, TaskInfo
from tortie.wire.mesos.values import ID, Message

CallType = Literal[
    "UNKNOWN",
    "SUBSCRIBE",
    "TEARDOWN",
    "ACCEPT",
    "DECLINE",
    "ACCEPT_INVERSE_OFFERS",
    "DECLINE_INVERSE_OFFERS",
    "REVIVE",
    "SUPPRESS",
    "KILL",
    "SHUTDOWN",
    "ACKNOWLEDGE",
    "ACKNOWLEDGE_OPERATION_STATUS",
    "RECONCILE",
    "RECONCILE_OPERATIONS",
    "MESSAGE",
    "REQUEST",
    "UPDATE_FRAMEWORK",
]


class Filters(Message):
    """Not set means the protocol's 5 seconds."""

    refuse_seconds: float | None = None


class Launch(Message):
    task_infos: list[TaskInfo] = []


class TaskGroup(Message):
    tasks: list[TaskInfo] = []


class LaunchGroup(Message):
    executor: ExecutorInfo
    task_group: TaskGroup


class Operation(Message):
    type: str
    launch: Launch | None = None
    launch_group: LaunchGroup | None = None
    reserve: dict[str, Any] | None = None
    unreserve: dict[str, Any] | None = None
    create: dict[str, Any] | None = None
    destroy: dict[str, Any] | None = None


class Subscribe(Message):
    framework_info: FrameworkInfo
    suppressed_roles: list[str] = []
    force: bool | None = None


class Accept(Message):
    offer_ids: list[ID] = []
    operations: list[Operation] = []
    filters: Filters | None = None


class Decline(Message):
    offer_ids: list[ID] = []
    filters: Filters | None = None


class Revive(Message):
    """Also SUPPRESS; no role means all of the framework's."""

    role: str | None = None
    roles: list[str] = []

    @property
    def named(self) -> list[str]:
        return [*self.roles, *([self.role] if self.role else [])]


class Kill(Message):
    task_id: ID
    agent_id: ID | None = None
    kill_policy: KillPolicy | None = None


class Shutdown(Message):
    executor_id: ID
    agent_id: ID


class Acknowledge(Message):
    agent_id: ID
    task_id: ID
    uuid: bytes


class ReconcileTask(Message):
    task_id: ID
    agent_id: ID | None = None


class Reconcile(Message):
    """No tasks: an answer for every task that the master knows."""

    tasks: list[ReconcileTask] = []


class FrameworkMessage(Message):
    agent_id: ID
    executor_id: ID
    data: bytes


class Call(Message):
    type: CallType | None = None
    framework_id: ID | None = None
    subscribe: Subscribe | None = None
    accept: Accept | None = None
    decline: Decline | None = None
    revive: Revive | None = None
    suppress: Revive | None = None
    kill: Kill | None = None
    shutdown: Shutdown | None = None
    acknowledge: Acknowledge | None = None
    reconcile: Reconcile | None = None
    message: FrameworkMessage | None = None
    request: dict[str, Any] | None = None
