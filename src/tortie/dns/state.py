"""What names are made of: a Mesos master's /state, and the same cluster kept up to date. Pure.

Everything else in the document is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Invalid


class Address(msgspec.Struct):
    ip_address: str = ""


class PortMapping(msgspec.Struct):
    host_port: int = 0
    container_port: int = 0


class NetworkInfo(msgspec.Struct):
    ip_addresses: list[Address] = []
    ip_address: str = ""
    port_mappings: list[PortMapping] = []


class ContainerStatus(msgspec.Struct):
    network_infos: list[NetworkInfo] = []


class Label(msgspec.Struct):
    key: str = ""
    value: str = ""


class Labels(msgspec.Struct):
    labels: list[Label] = []


class Status(msgspec.Struct):
    state: str = ""
    timestamp: float = 0.0
    labels: list[Label] = []
    container_status: ContainerStatus | None = None
    healthy: bool | None = None


class DiscoveryPort(msgspec.Struct):
    number: int = 0
    name: str = ""
    protocol: str = ""
    labels: Labels | None = None


class DiscoveryPorts(msgspec.Struct):
    ports: list[DiscoveryPort] = []


class Discovery(msgspec.Struct):
    name: str = ""
    ports: DiscoveryPorts = msgspec.field(default_factory=DiscoveryPorts)


class Docker(msgspec.Struct):
    port_mappings: list[PortMapping] = []


class Container(msgspec.Struct):
    type: str = ""
    docker: Docker | None = None
    network_infos: list[NetworkInfo] = []


class Task(msgspec.Struct):
    id: str
    name: str
    slave_id: str
    state: str
    statuses: list[Status] = []
    resources: dict[str, float | str] = {}
    labels: list[Label] = []
    discovery: Discovery | None = None
    container: Container | None = None


class Framework(msgspec.Struct):
    name: str
    id: str = ""
    tasks: list[Task] = []
    pid: str = ""
    hostname: str = ""


class Slave(msgspec.Struct):
    id: str
    hostname: str = ""
    pid: str = ""


class State(msgspec.Struct):
    leader: str = ""
    frameworks: list[Framework] = []
    slaves: list[Slave] = []


_DECODER = msgspec.json.Decoder(ready(State))


def decode(data: bytes) -> State:
    """Invalid says where the document is not what a master writes."""
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"state: {error}") from error


def pid_host_port(pid: str) -> tuple[str, int]:
    """`slave(1)@10.0.1.190:5051` or `10.0.1.190:5051` as host and port; ("", 0) when it has none."""
    host, colon, port = pid.rpartition("@")[2].rpartition(":")
    if not colon or not (port.isascii() and port.isdigit() and int(port) < 65536):
        return "", 0
    return host.removeprefix("[").removesuffix("]"), int(port)


TaskKey = tuple[str, str]
"""Framework id and task id: two frameworks may use one task id."""


@dataclass(slots=True)
class Cluster:
    """The cluster as last read, with the changes heard since. `hosts`: the addresses of host names in it."""

    leader: str = ""
    frameworks: dict[str, Framework] = field(default_factory=dict)
    slaves: dict[str, Slave] = field(default_factory=dict)
    tasks: dict[TaskKey, Task] = field(default_factory=dict)
    hosts: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, state: State, hosts: dict[str, tuple[str, ...]] | None = None) -> Cluster:
        # Masters before 0.20 show no framework id: the place in the list tells them apart as well.
        frameworks = {framework.id or f"#{number}": framework for number, framework in enumerate(state.frameworks)}
        tasks = {(key, task.id): task for key, framework in frameworks.items() for task in framework.tasks}
        return cls(state.leader, frameworks, {slave.id: slave for slave in state.slaves}, tasks, hosts or {})

    def running(self, key: TaskKey) -> tuple[Framework, Task] | None:
        """The task when it has names: it runs, its framework and its agent are known."""
        task = self.tasks.get(key)
        if task is None or task.state != "TASK_RUNNING" or task.slave_id not in self.slaves:
            return None
        framework = self.frameworks.get(key[0])
        return (framework, task) if framework is not None else None


def latest_running(task: Task) -> Status | None:
    """The newest status of a running task: its addresses count."""
    running = [status for status in task.statuses if status.state == "TASK_RUNNING"]
    return max(running, key=lambda status: status.timestamp, default=None)


def network_infos(task: Task) -> Iterator[NetworkInfo]:
    status = latest_running(task)
    return iter(status.container_status.network_infos if status and status.container_status else ())
