"""An app as a value: defaults filled in, ids absolute, old and new input forms already one form."""

from __future__ import annotations

import msgspec


class Value(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Frozen, and stored as JSON under the field names of Marathon."""


class Parameter(Value, frozen=True, kw_only=True):
    key: str
    value: str


class PortMapping(Value, frozen=True, kw_only=True):
    """`host_port`: None reserves none on the agent, 0 any, else exactly that one. `container_port` 0: the host's."""

    container_port: int = 0
    host_port: int | None = None
    service_port: int = 0
    protocol: str = "tcp"
    name: str | None = None
    labels: dict[str, str] = {}


class Docker(Value, frozen=True, kw_only=True):
    image: str
    network: str | None = None
    port_mappings: tuple[PortMapping, ...] = ()
    privileged: bool = False
    parameters: tuple[Parameter, ...] = ()
    force_pull_image: bool = False

    def parameter(self, key: str) -> str | None:
        """The last value given for a parameter of `docker run`: that one wins."""
        return next((p.value for p in reversed(self.parameters) if p.key == key), None)

    @property
    def user_network(self) -> str | None:
        """The network of its own that `net` (or `network`) among the parameters joins the container to."""
        name = next((p.value for p in reversed(self.parameters) if p.key in ("net", "network")), None)
        return None if name in ("host", "bridge", "none", "default") else name


class Volume(Value, frozen=True, kw_only=True):
    container_path: str
    host_path: str
    mode: str


class Container(Value, frozen=True, kw_only=True):
    type: str = "DOCKER"
    docker: Docker | None = None
    volumes: tuple[Volume, ...] = ()


class Fetch(Value, frozen=True, kw_only=True):
    uri: str
    extract: bool = True
    executable: bool = False
    cache: bool = False
    output_file: str | None = msgspec.field(default=None, name="destPath")


class PortDefinition(Value, frozen=True, kw_only=True):
    port: int = 0
    protocol: str = "tcp"
    name: str | None = None
    labels: dict[str, str] = {}


class DiscoveryPort(Value, frozen=True, kw_only=True):
    number: int
    name: str
    protocol: str
    labels: dict[str, str] = {}


class IpAddress(Value, frozen=True, kw_only=True):
    groups: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    ports: tuple[DiscoveryPort, ...] = ()
    network_name: str | None = None


class UpgradeStrategy(Value, frozen=True, kw_only=True):
    minimum_health_capacity: float = 1.0
    maximum_over_capacity: float = 1.0


class HealthCheck(Value, frozen=True, kw_only=True):
    protocol: str = "HTTP"
    path: str | None = None
    port: int | None = None
    port_index: int | None = None
    command: str | None = None
    grace_period_seconds: float = 300
    interval_seconds: float = 60
    timeout_seconds: float = 20
    max_consecutive_failures: int = 3
    ignore_http1xx: bool = msgspec.field(default=False, name="ignoreHttp1xx")
    delay_seconds: float = 15

    @property
    def by_mesos(self) -> bool:
        """Done by the agent's executor, not by Marathon."""
        return self.protocol == "COMMAND" or self.protocol.startswith("MESOS_")


class ReadinessCheck(Value, frozen=True, kw_only=True):
    """Asked of each new task while it is deployed, until it answers with one of the codes."""

    name: str = "readinessCheck"
    protocol: str = "HTTP"
    path: str = "/"
    port_name: str = "http-api"
    interval_seconds: float = 30
    timeout_seconds: float = 10
    codes: tuple[int, ...] = msgspec.field(default=(200,), name="httpStatusCodesForReady")
    preserve_last_response: bool = False


class UnreachableStrategy(Value, frozen=True, kw_only=True):
    """None for both: an unreachable task keeps its place for ever (`"disabled"`)."""

    inactive_after_seconds: int | None = 300
    expunge_after_seconds: int | None = 600


class App(Value, frozen=True, kw_only=True):
    """One app. `version` is that of the last change, `config_version` that of the last that restarts tasks."""

    id: str
    cmd: str | None = None
    args: tuple[str, ...] | None = None
    user: str | None = None
    env: dict[str, str] = {}
    instances: int = 1
    cpus: float = 1.0
    mem: float = 128.0
    disk: float = 0.0
    gpus: int = 0
    executor: str = ""
    constraints: tuple[tuple[str, ...], ...] = ()
    fetch: tuple[Fetch, ...] = ()
    backoff_seconds: float = 1
    backoff_factor: float = 1.15
    max_launch_delay_seconds: float = 3600
    container: Container | None = None
    health_checks: tuple[HealthCheck, ...] = ()
    readiness_checks: tuple[ReadinessCheck, ...] = ()
    dependencies: tuple[str, ...] = ()
    upgrade_strategy: UpgradeStrategy = UpgradeStrategy()
    labels: dict[str, str] = {}
    accepted_resource_roles: tuple[str, ...] = ()
    ip_address: IpAddress | None = None
    port_definitions: tuple[PortDefinition, ...] = ()
    require_ports: bool = False
    task_kill_grace_period_seconds: float | None = None
    unreachable_strategy: UnreachableStrategy = UnreachableStrategy()
    kill_selection: str = "YOUNGEST_FIRST"
    version: str = ""
    config_version: str = ""
    scaled_version: str = ""

    @property
    def docker(self) -> Docker | None:
        return self.container.docker if self.container else None

    @property
    def mappings(self) -> tuple[PortMapping, ...]:
        return self.docker.port_mappings if self.docker else ()

    @property
    def own_address(self) -> bool:
        """Its tasks have an address of their own: no port of the host leads to them."""
        return self.ip_address is not None or self.unmapped

    @property
    def unmapped(self) -> bool:
        """A network among the parameters of `docker run` voids its mappings: they only say where it listens."""
        return self.docker is not None and self.docker.user_network is not None

    @property
    def pinned(self) -> bool:
        """Asks for one certain address: a second task cannot run beside the first."""
        return self.docker is not None and bool(self.docker.parameter("ip") or self.docker.parameter("ip6"))

    @property
    def port_names(self) -> list[str | None]:
        """Of its mappings, of its own address's ports, or of its definitions: those that lead to its tasks."""
        if self.mappings:
            return [mapping.name for mapping in self.mappings]
        if self.ip_address is not None:
            return [port.name for port in self.ip_address.ports]
        return [definition.name for definition in self.port_definitions]

    @property
    def service_ports(self) -> tuple[int, ...]:
        return tuple(definition.port for definition in self.port_definitions)


OUTSIDE_CONFIG = ("instances", "version", "config_version", "scaled_version")


def same_config(old: App, new: App) -> bool:
    """Do both describe the same tasks? Everything but the count and the versions counts, labels included."""
    blank = {name: getattr(old, name) for name in OUTSIDE_CONFIG}
    return msgspec.structs.replace(new, **blank) == old
