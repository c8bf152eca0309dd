"""Marathon's app JSON as its clients see it, of every Marathon from 0.14 on. Pure.

Only fields that readers of ours use are named; others, and versions that write fewer, do not disturb.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Invalid

_USERLESS = ("", "host", "bridge", "none", "default")


class Base(msgspec.Struct, rename="camel"):
    """Marathon's keys are in camel case."""


class PortMapping(Base):
    container_port: int | None = 0
    service_port: int | None = 0


class Parameter(Base):
    key: str = ""
    value: str = ""


class Docker(Base):
    network: str | None = None
    port_mappings: list[PortMapping] | None = None
    parameters: list[Parameter] | None = None


class Container(Base):
    docker: Docker | None = None
    port_mappings: list[PortMapping] | None = None


class DiscoveryPort(Base):
    number: int = 0


class Discovery(Base):
    ports: list[DiscoveryPort] | None = None


class IpAddress(Base):
    discovery: Discovery | None = None


class Network(Base):
    mode: str = "host"


class PortDefinition(Base):
    port: int | None = 0


class HealthCheck(Base):
    protocol: str = "HTTP"
    path: str | None = None
    port_index: int | None = None
    port: int | None = None
    interval_seconds: float = 60
    timeout_seconds: float = 20
    max_consecutive_failures: int = 3
    grace_period_seconds: float = 300
    ignore_http1xx: bool = False


class TaskAddress(Base):
    ip_address: str = ""


class HealthResult(Base):
    alive: bool | None = None


class Task(Base):
    id: str = ""
    host: str = ""
    ports: list[int] | None = None
    state: str | None = None
    started_at: str | None = None
    ip_addresses: list[TaskAddress] | None = None
    health_check_results: list[HealthResult | None] | None = None


class Reference(Base):
    id: str


class TaskFailure(Base):
    """Why the last task of an app failed."""

    task_id: str = ""
    state: str = ""
    message: str = ""
    host: str = ""


class VersionInfo(Base):
    last_scaling_at: str = ""


class App(Base):
    """`deployments` and the counts are there on every list of apps, tasks and the last failure when asked for."""

    id: str
    version: str | None = None
    instances: int = 1
    labels: dict[str, str] | None = None
    ports: list[int] | None = None
    port_definitions: list[PortDefinition] | None = None
    ip_address: IpAddress | None = None
    networks: list[Network] | None = None
    container: Container | None = None
    health_checks: list[HealthCheck] | None = None
    tasks: list[Task] | None = None
    deployments: list[Reference] | None = None
    last_task_failure: TaskFailure | None = None
    tasks_running: int = 0
    tasks_healthy: int = 0
    tasks_unhealthy: int = 0
    version_info: VersionInfo | None = None

    def mode(self) -> str:
        """host, container or bridge. A parameter `net` wins over all, then `ipAddress`, then the network fields."""
        docker = (self.container and self.container.docker) or Docker()
        named = [p.value for p in docker.parameters or () if p.key in ("net", "network")]
        if named:
            if named[-1] in ("host", "bridge"):
                return named[-1]
            if named[-1] not in _USERLESS and not named[-1].startswith("container:"):
                return "container"
        modes = {network.mode for network in self.networks or ()}
        if self.ip_address is not None or docker.network == "USER" or "container" in modes:
            return "container"
        return "bridge" if docker.network == "BRIDGE" or "container/bridge" in modes else "host"

    def mappings(self) -> list[PortMapping]:
        container = self.container or Container()
        inner = (container.docker and container.docker.port_mappings) or []
        return container.port_mappings or inner

    def plain_ports(self) -> list[int]:
        if self.port_definitions:
            return [definition.port or 0 for definition in self.port_definitions]
        return self.ports or []

    def service_ports(self) -> list[int]:
        """As Marathon gives them; empty or 0 where the balancer has to choose one."""
        if self.mode() == "host":
            return self.plain_ports()
        return [mapping.service_port or 0 for mapping in self.mappings()] or self.plain_ports()

    def container_ports(self) -> list[int]:
        """The ports inside a container that has an address of its own."""
        discovery = (self.ip_address and self.ip_address.discovery) or Discovery()
        found = [port.number for port in discovery.ports or ()]
        return found or [mapping.container_port or 0 for mapping in self.mappings()]

    def task_ports(self, task: Task) -> list[int]:
        """Where this task listens, in the order of the service ports."""
        if self.mode() == "container":
            return self.container_ports()
        return task.ports or self.plain_ports() or [mapping.container_port or 0 for mapping in self.mappings()]


class _Apps(msgspec.Struct):
    apps: list[msgspec.Raw]


def decode(data: bytes) -> tuple[list[App], list[str]]:
    """Apps sorted by id, and a line for each that cannot be read. Invalid when the whole is no list of apps."""
    try:
        raw = msgspec.json.decode(data, type=ready(_Apps)).apps
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"apps: {error}") from error
    apps, problems = [], []
    for item in raw:
        try:
            apps.append(msgspec.json.decode(item, type=ready(App)))
        except msgspec.ValidationError as error:
            plain: Any = msgspec.json.decode(item)
            name = plain.get("id", "an app without id") if isinstance(plain, dict) else "an app"
            problems.append(f"{name}: left out: {error}")
    return sorted(apps, key=lambda app: app.id), problems
