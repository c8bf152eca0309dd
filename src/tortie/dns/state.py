"""The parts of a Mesos master's /state that names are made of. Pure; everything else in the document is passed over."""

from __future__ import annotations

import msgspec

from tortie.base.errors import Invalid


class Address(msgspec.Struct):
    ip_address: str = ""


class NetworkInfo(msgspec.Struct):
    ip_addresses: list[Address] = []
    ip_address: str = ""


class ContainerStatus(msgspec.Struct):
    network_infos: list[NetworkInfo] = []


class Label(msgspec.Struct):
    key: str = ""
    value: str = ""


class Status(msgspec.Struct):
    state: str = ""
    timestamp: float = 0.0
    labels: list[Label] = []
    container_status: ContainerStatus | None = None


class DiscoveryPort(msgspec.Struct):
    number: int = 0
    name: str = ""
    protocol: str = ""


class DiscoveryPorts(msgspec.Struct):
    ports: list[DiscoveryPort] = []


class Discovery(msgspec.Struct):
    name: str = ""
    ports: DiscoveryPorts = msgspec.field(default_factory=DiscoveryPorts)


class Task(msgspec.Struct):
    id: str
    name: str
    slave_id: str
    state: str
    statuses: list[Status] = []
    resources: dict[str, float | str] = {}
    discovery: Discovery | None = None


class Framework(msgspec.Struct):
    name: str
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


_DECODER = msgspec.json.Decoder(State)


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
