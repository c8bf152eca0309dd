"""Agent and master to each other: the original's messages as RecordIO over HTTP.

The agent keeps one SUBSCRIBE open and reads MasterMessages from it; everything else it says is a POST of an AgentCall
that carries the `Mesos-Stream-Id` of that subscription.
"""

from __future__ import annotations

from typing import Literal

from tortie.wire import mesos as wire

VERSION = "1.2.0"
PATH = "/api/v1/agent"


class TaskRecord(wire.Message):
    """A task as an agent knows it. `state` is the newest; `pending` waits for its acknowledgement."""

    framework_id: wire.ID
    info: wire.TaskInfo
    state: wire.TaskState
    statuses: list[wire.TaskStatus] = []
    pending: wire.TaskStatus | None = None


class AgentSubscribe(wire.Message):
    """`agent_info.id` is set when the agent has been registered before."""

    agent_info: wire.AgentInfo
    ip: str
    version: str = VERSION
    tasks: list[TaskRecord] = []
    frameworks: list[wire.FrameworkInfo] = []


class StatusUpdate(wire.Message):
    """`status` is the head of the task's stream; `latest` the newest state that the agent knows."""

    framework_id: wire.ID
    status: wire.TaskStatus
    latest: wire.TaskState


class AgentCall(wire.Message):
    type: Literal["SUBSCRIBE", "STATUS_UPDATE", "PONG", "UNREGISTER"]
    agent_id: wire.ID | None = None
    subscribe: AgentSubscribe | None = None
    update: StatusUpdate | None = None


class Registered(wire.Message):
    agent_id: wire.ID
    ping_timeout: float


class RunTask(wire.Message):
    framework: wire.FrameworkInfo
    task: wire.TaskInfo


class KillTask(wire.Message):
    framework_id: wire.ID
    task_id: wire.ID
    kill_policy: wire.KillPolicy | None = None


class AcknowledgeUpdate(wire.Message):
    framework_id: wire.ID
    task_id: wire.ID
    uuid: bytes


class MasterMessage(wire.Message):
    """`type` names the field that is set."""

    type: Literal[
        "REGISTERED",
        "REREGISTERED",
        "PING",
        "RUN_TASK",
        "KILL_TASK",
        "ACKNOWLEDGE",
        "UPDATE_FRAMEWORK",
        "SHUTDOWN_FRAMEWORK",
    ]
    registered: Registered | None = None
    run_task: RunTask | None = None
    kill_task: KillTask | None = None
    acknowledge: AcknowledgeUpdate | None = None
    framework: wire.FrameworkInfo | None = None
    framework_id: wire.ID | None = None
