"""Events of the operator API (v1), applied to the cluster that was read from /state. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from tortie.base.decoding import ready
from tortie.dns.state import Cluster, Container, ContainerStatus, Discovery, Label, Labels, Slave, Status, Task, TaskKey

_TERMINAL = frozenset(
    f"TASK_{word}"
    for word in ("FINISHED", "FAILED", "KILLED", "ERROR", "LOST", "DROPPED", "GONE", "GONE_BY_OPERATOR", "UNREACHABLE")
)


class _Id(msgspec.Struct):
    value: str = ""


class _Range(msgspec.Struct):
    begin: int = 0
    end: int = 0


class _Ranges(msgspec.Struct):
    range: list[_Range] = []


class _Resource(msgspec.Struct):
    name: str = ""
    ranges: _Ranges | None = None


class _Status(msgspec.Struct):
    task_id: _Id = msgspec.field(default_factory=_Id)
    state: str = ""
    timestamp: float = 0.0
    labels: Labels | None = None
    container_status: ContainerStatus | None = None
    healthy: bool | None = None

    def plain(self) -> Status:
        return Status(self.state, self.timestamp, _labels(self.labels), self.container_status, self.healthy)


class _Task(msgspec.Struct):
    task_id: _Id
    framework_id: _Id
    agent_id: _Id
    name: str = ""
    state: str = ""
    statuses: list[_Status] = []
    resources: list[_Resource] = []
    labels: Labels | None = None
    discovery: Discovery | None = None
    container: Container | None = None

    def plain(self) -> Task:
        """In the shape that /state has."""
        spans = [
            f"{span.begin}-{span.end}"
            for resource in self.resources
            if resource.name == "ports" and resource.ranges
            for span in resource.ranges.range
        ]
        return Task(
            id=self.task_id.value, name=self.name, slave_id=self.agent_id.value, state=self.state,
            statuses=[status.plain() for status in self.statuses], labels=_labels(self.labels),
            resources={"ports": f"[{', '.join(spans)}]"} if spans else {},
            discovery=self.discovery, container=self.container,
        )  # fmt: skip


class _TaskAdded(msgspec.Struct):
    task: _Task


class _TaskUpdated(msgspec.Struct):
    framework_id: _Id
    status: _Status
    state: str = ""


class _AgentInfo(msgspec.Struct):
    id: _Id = msgspec.field(default_factory=_Id)
    hostname: str = ""


class _Agent(msgspec.Struct):
    agent_info: _AgentInfo
    pid: str = ""


class _AgentAdded(msgspec.Struct):
    agent: _Agent


class Event(msgspec.Struct):
    """One record of the stream; what names are not made of is passed over."""

    type: str
    task_added: _TaskAdded | None = None
    task_updated: _TaskUpdated | None = None
    agent_added: _AgentAdded | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """One task is another now, or something that only a new reading of /state tells whole."""

    task: TaskKey | None = None


Outcome: TypeAlias = Changed | None
RELOAD = Changed()
_DECODER = msgspec.json.Decoder(ready(Event))


def _labels(found: Labels | None) -> list[Label]:
    return found.labels if found else []


def decode(record: bytes) -> Event:
    """An event that cannot be understood says that something changed: what, the state will tell."""
    try:
        return _DECODER.decode(record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Event(type="UNKNOWN")


def apply(cluster: Cluster, event: Event) -> Outcome:
    """Change the cluster by what the event tells; None when no name can differ by it."""
    if event.task_added is not None:
        return _task_added(cluster, event.task_added.task)
    if event.task_updated is not None:
        return _task_updated(cluster, event.task_updated)
    if event.agent_added is not None:
        info = event.agent_added.agent.agent_info
        cluster.slaves[info.id.value] = Slave(info.id.value, info.hostname, event.agent_added.agent.pid)
    # Of agents and frameworks a stream tells less than names need; they change seldom.
    # After SUBSCRIBED, a reading closes the gap between the last one and the stream.
    return None if event.type == "HEARTBEAT" else RELOAD


def _task_added(cluster: Cluster, task: _Task) -> Outcome:
    key = (task.framework_id.value, task.task_id.value)
    if task.state in _TERMINAL:
        return None
    cluster.tasks[key] = task.plain()
    if key[0] not in cluster.frameworks or task.agent_id.value not in cluster.slaves:
        return RELOAD
    return Changed(key)


def _task_updated(cluster: Cluster, update: _TaskUpdated) -> Outcome:
    key = (update.framework_id.value, update.status.task_id.value)
    state = update.state or update.status.state
    task = cluster.tasks.get(key)
    if state in _TERMINAL:
        cluster.tasks.pop(key, None)
        return Changed(key) if task is not None else None
    if task is None:
        return RELOAD
    status = update.status.plain()
    # The newest status that tells of running is all that names need of the story.
    statuses = [status] if status.state == "TASK_RUNNING" else task.statuses
    cluster.tasks[key] = msgspec.structs.replace(task, state=state, statuses=statuses)
    return Changed(key)
