"""The task that Mesos is asked to launch for an app."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from tortie.marathon.model import ids
from tortie.marathon.model.app import App, Docker, HealthCheck, PortMapping, ReadinessCheck
from tortie.marathon.offers.match import Match
from tortie.wire import mesos

_NETWORKS: Mapping[str, Literal["HOST", "BRIDGE", "NONE", "USER"]] = {
    "HOST": "HOST",
    "BRIDGE": "BRIDGE",
    "NONE": "NONE",
    "USER": "USER",
}
_MAX_LABEL_KEY, _MAX_LABEL_VALUE = 493, 512


def host_ports(app: App, ports: Sequence[int]) -> list[int | None]:
    """One host port per mapping or definition; None where a mapping reserves none."""
    given = iter(ports)
    if app.mappings:
        return [None if m.host_port is None else next(given) for m in app.mappings]
    return list(given)


def environment(app: App, task_id: str, host: str, ports: Sequence[int], prefix: str = "") -> dict[str, str]:
    """What the task finds in its environment; the app's own `env` wins."""
    env = {
        "MESOS_TASK_ID": task_id,
        "MARATHON_APP_ID": app.id,
        "MARATHON_APP_VERSION": app.version,
        "MARATHON_APP_RESOURCE_CPUS": str(float(app.cpus)),
        "MARATHON_APP_RESOURCE_MEM": str(float(app.mem)),
        "MARATHON_APP_RESOURCE_DISK": str(float(app.disk)),
        "MARATHON_APP_RESOURCE_GPUS": str(app.gpus),
    }
    if app.docker:
        env["MARATHON_APP_DOCKER_IMAGE"] = app.docker.image
    named = {_env_name(k): v for k, v in app.labels.items() if len(k) < _MAX_LABEL_KEY and len(v) < _MAX_LABEL_VALUE}
    env["MARATHON_APP_LABELS"] = " ".join(named)
    env |= {f"MARATHON_APP_LABEL_{key}": value for key, value in named.items()}
    about_ports = {"HOST": host} | _port_variables(app, ports)
    return env | {prefix + key: value for key, value in about_ports.items()} | app.env


def _env_name(key: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "_", key).upper()


def _port_variables(app: App, ports: Sequence[int]) -> dict[str, str]:
    declared: list[tuple[int, str | None, int]] = []
    for index, host_port in enumerate(host_ports(app, ports)):
        if app.mappings:
            mapping = app.mappings[index]
            port = inner_port(mapping, host_port) if host_port is None or app.unmapped else host_port
            declared.append((mapping.container_port, mapping.name, port))
        else:
            definition = app.port_definitions[index]
            number = definition.port if app.require_ports else 0
            declared.append((number or (host_port or 0), definition.name, host_port or 0))
    if not declared:
        return {}
    env = {"PORT": str(declared[0][2]), "PORTS": ",".join(str(port) for _, _, port in declared)}
    for index, (number, name, port) in enumerate(declared):
        env[f"PORT{index}"] = str(port)
        env[f"PORT_{number or port}"] = str(port)
        if name:
            env[f"PORT_{_env_name(name)}"] = str(port)
    return env


def task_info(app: App, task_id: str, offer: mesos.Offer, match: Match, prefix: str = "") -> mesos.TaskInfo:
    """The TaskInfo of one instance on the offer's agent."""
    variables = environment(app, task_id, offer.hostname, match.ports, prefix)
    name = ids.dns_name(app.id)
    return mesos.TaskInfo(
        name=name,
        task_id=mesos.ID(value=task_id),
        agent_id=offer.agent_id,
        resources=list(match.resources),
        command=_command(app, variables),
        container=_container(app, task_id, match.ports),
        health_check=_health_check(app, match.ports),
        kill_policy=kill_policy(app),
        labels=_labels(app.labels),
        discovery=mesos.DiscoveryInfo(
            visibility="FRAMEWORK", name=name, ports=mesos.Ports(ports=discovery_ports(app, match.ports))
        ),
    )


def kill_policy(app: App) -> mesos.KillPolicy | None:
    seconds = app.task_kill_grace_period_seconds
    return None if seconds is None else mesos.KillPolicy(grace_period=mesos.Nanoseconds(nanoseconds=int(seconds * 1e9)))


def _labels(labels: dict[str, str]) -> mesos.Labels | None:
    return mesos.Labels(labels=[mesos.Label(key=key, value=value) for key, value in labels.items()]) if labels else None


def _command(app: App, variables: dict[str, str]) -> mesos.CommandInfo:
    common = mesos.CommandInfo(
        uris=[
            mesos.URI(
                value=item.uri,
                extract=item.extract,
                executable=item.executable or None,
                cache=item.cache or None,
                output_file=item.output_file,
            )
            for item in app.fetch
        ],
        environment=mesos.Environment(variables=[mesos.Variable(name=k, value=v) for k, v in variables.items()]),
        user=app.user,
        shell=app.cmd is not None,
    )
    if app.cmd is not None:
        common.value = app.cmd
    elif app.args:
        common.arguments = list(app.args)
        common.value = None if app.container else app.args[0]
    return common


def _container(app: App, task_id: str, ports: Sequence[int]) -> mesos.ContainerInfo | None:
    if app.container is None and app.ip_address is None:
        return None
    docker = app.docker
    on_docker = app.container is not None and app.container.type == "DOCKER"
    volumes = app.container.volumes if app.container else ()
    info = mesos.ContainerInfo(
        type="DOCKER" if on_docker else "MESOS",
        volumes=[
            mesos.Volume(mode="RO" if v.mode == "RO" else "RW", container_path=v.container_path, host_path=v.host_path)
            for v in volumes
        ],
    )
    if docker and on_docker:
        info.docker = _docker(app, docker, task_id, ports)
    elif docker:
        image = {"type": "DOCKER", "docker": {"name": docker.image}, "cached": not docker.force_pull_image}
        info.mesos = {"image": image}
    if app.ip_address is not None:
        info.network_infos = [
            mesos.NetworkInfo(
                ip_addresses=[mesos.IPAddress()],
                name=app.ip_address.network_name,
                groups=list(app.ip_address.groups),
                labels=_labels(app.ip_address.labels),
            )
        ]
    return info


def _docker(app: App, docker: Docker, task_id: str, ports: Sequence[int]) -> mesos.DockerInfo:
    """A `net` parameter is the container's network: ports are then not mapped, whatever `network` says."""
    mappings = []
    for mapping, port in zip(docker.port_mappings, host_ports(app, ports), strict=False):
        if port is not None and not docker.user_network:
            mappings += [
                mesos.DockerPortMapping(
                    host_port=port, container_port=mapping.container_port or port, protocol=protocol
                )
                for protocol in mapping.protocol.split(",")
            ]
    label = mesos.Parameter(key="label", value=f"MESOS_TASK_ID={task_id}")
    return mesos.DockerInfo(
        image=docker.image,
        network=None if docker.user_network else _NETWORKS.get(docker.network or ""),
        port_mappings=mappings,
        privileged=docker.privileged or None,
        parameters=[*(mesos.Parameter(key=p.key, value=p.value) for p in docker.parameters), label],
        force_pull_image=docker.force_pull_image or None,
    )


def discovery_ports(app: App, ports: Sequence[int]) -> list[mesos.Port]:
    """What DNS and balancers learn: the address's own ports where the app has one, else the host ports."""
    found: list[tuple[int, str | None, str, dict[str, str]]] = []
    if app.ip_address and app.ip_address.ports:
        found = [(p.number, p.name, p.protocol, p.labels) for p in app.ip_address.ports]
    elif app.mappings:
        for mapping, port in zip(app.mappings, host_ports(app, ports), strict=True):
            on_host = None if app.unmapped else port
            scope = {"network-scope": "container" if on_host is None else "host"}
            found.append((on_host or inner_port(mapping, port), mapping.name, mapping.protocol, mapping.labels | scope))
    else:
        found = [(n, d.name, d.protocol, d.labels) for n, d in zip(ports, app.port_definitions, strict=False)]
    return [
        mesos.Port(number=number, name=name, protocol=protocol, labels=_labels(labels))
        for number, name, protocols, labels in found
        for protocol in protocols.split(",")
    ]


def _health_check(app: App, ports: Sequence[int]) -> mesos.HealthCheck | None:
    """The one check that the agent's executor does."""
    check = next((check for check in app.health_checks if check.by_mesos), None)
    if check is None:
        return None
    info = mesos.HealthCheck(
        type=check.protocol.removeprefix("MESOS_").removesuffix("S"),
        delay_seconds=check.delay_seconds,
        interval_seconds=check.interval_seconds,
        timeout_seconds=check.timeout_seconds,
        consecutive_failures=check.max_consecutive_failures,
        grace_period_seconds=check.grace_period_seconds,
    )
    port = health_port(app, check, ports) or 0
    if check.protocol == "COMMAND":
        info.command = mesos.CommandInfo(value=check.command)
    elif check.protocol == "MESOS_TCP":
        info.tcp = mesos.TCPCheck(port=port)
    else:
        scheme = "https" if check.protocol.endswith("S") else "http"
        path = check.path or "/"
        info.http = mesos.HTTPCheck(port=port, scheme=scheme, path=path if path.startswith("/") else "/" + path)
    return info


def inner_port(mapping: PortMapping, host_port: int | None) -> int:
    """Where the container listens; a mapping that leaves it open means the number that it has on the host."""
    return mapping.container_port or host_port or 0


def health_port(app: App, check: HealthCheck, ports: Sequence[int]) -> int | None:
    """The port a check talks to: its own, else that of its index among the app's ports.

    A mapped port has two numbers: outside it is the host's; on a container's own address, and for the agent, which asks
    from inside, it is the container's.
    """
    if check.port is not None:
        return check.port
    known = [port for _, port in _listening(app, ports, inside=app.own_address or check.by_mesos)]
    index = check.port_index or 0
    return known[index] if 0 <= index < len(known) else None


def readiness_port(app: App, check: ReadinessCheck, ports: Sequence[int]) -> int | None:
    """The port of that name, where the task is asked from outside."""
    return dict(reversed(_listening(app, ports, inside=app.own_address))).get(check.port_name)


def _listening(app: App, ports: Sequence[int], *, inside: bool) -> list[tuple[str | None, int]]:
    """Name and number of each of the app's ports."""
    if app.mappings:
        pairs = zip(app.mappings, host_ports(app, ports), strict=True)
        return [(m.name, inner_port(m, port) if inside or port is None else port) for m, port in pairs]
    if app.ip_address is not None:
        return [(port.name, port.number) for port in app.ip_address.ports]
    return [(d.name, port) for d, port in zip(app.port_definitions, ports, strict=False)]
