"""How a task's container is made: its command, files, image and networks."""

from __future__ import annotations

from typing import Any, Literal

from tortie.wire.mesos.values import Labels, Message


class Variable(Message):
    name: str
    value: str | None = None
    type: str | None = None


class Environment(Message):
    variables: list[Variable] = []


class URI(Message):
    value: str
    executable: bool | None = None
    extract: bool = True
    cache: bool | None = None
    output_file: str | None = None


class CommandInfo(Message):
    uris: list[URI] = []
    environment: Environment | None = None
    shell: bool = True
    value: str | None = None
    arguments: list[str] = []
    user: str | None = None


class Volume(Message):
    mode: Literal["RW", "RO"]
    container_path: str
    host_path: str | None = None
    image: dict[str, Any] | None = None
    source: dict[str, Any] | None = None


class Parameter(Message):
    key: str
    value: str


class DockerPortMapping(Message):
    host_port: int
    container_port: int
    protocol: str | None = None


class DockerInfo(Message):
    image: str
    network: Literal["HOST", "BRIDGE", "NONE", "USER"] | None = None
    port_mappings: list[DockerPortMapping] = []
    privileged: bool | None = None
    parameters: list[Parameter] = []
    force_pull_image: bool | None = None
    volume_driver: str | None = None


class IPAddress(Message):
    protocol: Literal["IPv4", "IPv6"] | None = None
    ip_address: str | None = None


class NetworkInfo(Message):
    """`protocol`, `ip_address`: of its first form, which is refused."""

    ip_addresses: list[IPAddress] = []
    name: str | None = None
    groups: list[str] = []
    labels: Labels | None = None
    port_mappings: list[DockerPortMapping] = []
    protocol: Literal["IPv4", "IPv6"] | None = None
    ip_address: str | None = None


class ContainerInfo(Message):
    type: Literal["DOCKER", "MESOS"]
    volumes: list[Volume] = []
    hostname: str | None = None
    docker: DockerInfo | None = None
    mesos: dict[str, Any] | None = None
    network_infos: list[NetworkInfo] = []
    linux_info: dict[str, Any] | None = None
    rlimit_info: dict[str, Any] | None = None
    tty_info: dict[str, Any] | None = None
