"""Tasks, their executors, and what becomes of them."""

from __future__ import annotations

from typing import Any, Literal

from tortie.wire.mesos.containers import CommandInfo, ContainerInfo, NetworkInfo
from tortie.wire.mesos.values import ID, ContainerID, Labels, Message, Nanoseconds, Resource

TaskState = Literal[
    "TASK_STAGING",
    "TASK_STARTING",
    "TASK_RUNNING",
    "TASK_KILLING",
    "TASK_FINISHED",
    "TASK_FAILED",
    "TASK_KILLED",
    "TASK_ERROR",
    "TASK_LOST",
    "TASK_DROPPED",
    "TASK_UNREACHABLE",
    "TASK_GONE",
    "TASK_GONE_BY_OPERATOR",
    "TASK_UNKNOWN",
]


TERMINAL: frozenset[str] = frozenset(
    {
        "TASK_FINISHED",
        "TASK_FAILED",
        "TASK_KILLED",
        "TASK_ERROR",
        "TASK_LOST",
        "TASK_DROPPED",
        "TASK_GONE",
        "TASK_GONE_BY_OPERATOR",
    }
)


class Port(Message):
    number: int
    name: str | None = None
    protocol: str | None = None
    visibility: Literal["FRAMEWORK", "CLUSTER", "EXTERNAL"] | None = None
    labels: Labels | None = None


class Ports(Message):
    ports: list[Port] = []


class DiscoveryInfo(Message):
    visibility: Literal["FRAMEWORK", "CLUSTER", "EXTERNAL"]
    name: str | None = None
    environment: str | None = None
    location: str | None = None
    version: str | None = None
    ports: Ports | None = None
    labels: Labels | None = None


class HTTPCheck(Message):
    port: int
    scheme: str | None = None
    path: str | None = None
    statuses: list[int] = []
    protocol: Literal["IPv4", "IPv6"] | None = None


class TCPCheck(Message):
    port: int
    protocol: Literal["IPv4", "IPv6"] | None = None


class HealthCheck(Message):
    type: str | None = None
    delay_seconds: float = 15.0
    interval_seconds: float = 10.0
    timeout_seconds: float = 20.0
    consecutive_failures: int = 3
    grace_period_seconds: float = 10.0
    command: CommandInfo | None = None
    http: HTTPCheck | None = None
    tcp: TCPCheck | None = None


class KillPolicy(Message):
    grace_period: Nanoseconds | None = None


class ExecutorInfo(Message):
    executor_id: ID
    type: str | None = None
    framework_id: ID | None = None
    command: CommandInfo | None = None
    container: ContainerInfo | None = None
    resources: list[Resource] = []
    name: str | None = None
    source: str | None = None
    data: bytes | None = None
    discovery: DiscoveryInfo | None = None
    shutdown_grace_period: Nanoseconds | None = None
    labels: Labels | None = None


class TaskInfo(Message):
    name: str
    task_id: ID
    agent_id: ID
    resources: list[Resource] = []
    executor: ExecutorInfo | None = None
    command: CommandInfo | None = None
    container: ContainerInfo | None = None
    health_check: HealthCheck | None = None
    check: dict[str, Any] | None = None
    kill_policy: KillPolicy | None = None
    data: bytes | None = None
    labels: Labels | None = None
    discovery: DiscoveryInfo | None = None
    max_completion_time: Nanoseconds | None = None


class ContainerStatus(Message):
    container_id: ContainerID | None = None
    network_infos: list[NetworkInfo] = []
    cgroup_info: dict[str, Any] | None = None
    executor_pid: int | None = None


class TaskStatus(Message):
    """`uuid` is set only on updates that must be acknowledged."""

    task_id: ID
    state: TaskState
    message: str | None = None
    source: Literal["SOURCE_MASTER", "SOURCE_AGENT", "SOURCE_EXECUTOR"] | None = None
    reason: str | None = None
    data: bytes | None = None
    agent_id: ID | None = None
    executor_id: ID | None = None
    timestamp: float | None = None
    uuid: bytes | None = None
    healthy: bool | None = None
    labels: Labels | None = None
    container_status: ContainerStatus | None = None
    unreachable_time: Nanoseconds | None = None
