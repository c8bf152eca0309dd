"""Which server stands behind `/service/NAME` and `/agent/ID`, from what Marathon and the master say. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Invalid
from tortie.door.paths import normal
from tortie.wire.marathon_apps import App


@dataclass(frozen=True, slots=True)
class Server:
    """`base` stands before every path; with `strip`, the prefix that led here is taken off."""

    host: str
    port: int
    scheme: str = "http"
    base: str = ""
    strip: bool = True

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class AskDns:
    """A framework without an address of its own: Mesos-DNS knows where it runs."""

    name: str


@dataclass(frozen=True, slots=True)
class Frameworks:
    """Of the master's summary: addresses of frameworks by id and by name, of agents by id."""

    by_id: Mapping[str, Server | AskDns | None] = field(default_factory=dict)
    by_name: Mapping[str, Server | AskDns | None] = field(default_factory=dict)
    agents: Mapping[str, Server] = field(default_factory=dict)


class Framework(msgspec.Struct):
    id: str
    name: str
    webui_url: str | None = ""
    active: bool = True


class Slave(msgspec.Struct):
    id: str
    pid: str = ""
    hostname: str = ""
    active: bool = True


class Summary(msgspec.Struct):
    """The master's /state-summary as far as the door reads it."""

    frameworks: list[Framework] = []
    slaves: list[Slave] = []
    cluster: str = ""


DEFAULT_PORTS = {"http": 80, "https": 443}


def summary_of(data: bytes) -> Summary:
    """Raises Invalid."""
    try:
        return msgspec.json.decode(data, type=ready(Summary))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"state-summary: {error}") from error


def server_of(url: str, *, strip: bool = True) -> Server:
    """Of an http or https URL. Raises Invalid."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Invalid(f"{url}: {error}") from error
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise Invalid(f"{url}: not an http or https address")
    if not parts.path.isascii() or any(char <= " " for char in parts.path):
        raise Invalid(f"{url}: not a path")
    base = parts.path.rstrip("/")
    return Server(parts.hostname, port or DEFAULT_PORTS[parts.scheme], parts.scheme, base, strip)


def frameworks_of(summary: Summary) -> Frameworks:
    """Those that have an address or a name by which DNS knows one; agents by the address in their pid."""
    by_id: dict[str, Server | AskDns | None] = {}
    by_name: dict[str, Server | AskDns | None] = {}
    for framework in summary.frameworks:
        found = _framework_server(framework)
        by_id[framework.id] = found
        # Of two of one name, an active one is meant.
        if framework.active or normal(framework.name) not in by_name:
            by_name[normal(framework.name)] = found
    agents = {slave.id: server for slave in summary.slaves if (server := _agent_server(slave.pid))}
    return Frameworks(by_id, by_name, agents)


def _framework_server(framework: Framework) -> Server | AskDns | None:
    if framework.webui_url is None:
        return None
    if not framework.webui_url:
        return AskDns(normal(framework.name))
    try:
        return server_of(framework.webui_url)
    except Invalid:
        return None


def _agent_server(pid: str) -> Server | None:
    try:
        return server_of(f"http://{pid.partition('@')[2]}")
    except Invalid:
        return None


def services_of(apps: Sequence[App]) -> dict[str, Server]:
    """Apps that carry the three labels and have a running task, by the name of the service; the first task serves."""
    found: dict[str, Server] = {}
    for app in apps:
        labels = app.labels or {}
        name, scheme = labels.get("DCOS_SERVICE_NAME", ""), labels.get("DCOS_SERVICE_SCHEME", "")
        index = labels.get("DCOS_SERVICE_PORT_INDEX", "")
        if not normal(name) or scheme not in DEFAULT_PORTS or not index.isdecimal() or len(index) > 4:
            continue
        strip = labels.get("DCOS_SERVICE_REWRITE_REQUEST_URLS", "true").lower() != "false"
        for host, ports in _running(app):
            if int(index) < len(ports) and 0 < ports[int(index)] < 65536:
                found.setdefault(normal(name), Server(host, ports[int(index)], scheme, strip=strip))
                break
    return found


def _running(app: App) -> list[tuple[str, list[int]]]:
    found = []
    for task in app.tasks or ():
        if task.state not in (None, "TASK_RUNNING"):
            continue
        host = task.host
        if app.mode() == "container":
            host = next((address.ip_address for address in task.ip_addresses or ()), "")
        if host:
            found.append((host, app.task_ports(task)))
    return found


class SrvRecord(msgspec.Struct):
    host: str = ""
    ip: str = ""
    port: str = ""


def srv_server(data: bytes) -> Server | None:
    """The first answer of Mesos-DNS's /v1/services/NAME; None where it knows none. Raises Invalid."""
    try:
        records = msgspec.json.decode(data, type=ready(list[SrvRecord]))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"services of Mesos-DNS: {error}") from error
    for record in records:
        if record.ip and record.port.isdecimal() and 0 < int(record.port) < 65536:
            return Server(record.ip, int(record.port))
    return None
