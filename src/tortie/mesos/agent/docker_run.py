"""A task as the arguments of `docker create`, in the order of the original's `docker run`. Values only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tortie.base.errors import Invalid
from tortie.mesos.resources import Resources, from_wire
from tortie.wire import mesos as wire
from tortie.wire.labels import MESOS_TASK, MESOS_TASK_NAME

SANDBOX = "/mnt/mesos/sandbox"
LABEL_AGENT = "io.tortie.mesos.agent"
LABEL_CONTAINER = "io.tortie.mesos.container"
MIN_MEMORY = 32 * 1024 * 1024
MIN_SHARES = 2
NET = ("net", "network")
# What docker run knows and docker create, which we call, does not.
ONLY_RUN = frozenset({"detach", "d", "rm", "sig-proxy", "detach-keys"})


@dataclass(frozen=True, slots=True)
class Launch:
    """A task in its place: the directory on the host, the container's name, the agent that owns it. `user`: as whom it
    is to run, if anybody says so."""

    task: wire.TaskInfo
    container_id: str
    sandbox: str
    agent: str
    user: str = ""

    @property
    def name(self) -> str:
        return f"mesos-{self.container_id}"


def image_with_tag(image: str) -> str:
    """`:latest` where neither tag nor digest is given."""
    last = image.rpartition("/")[2]
    return image if ":" in last or "@" in last else f"{image}:latest"


def docker_of(task: wire.TaskInfo) -> tuple[wire.ContainerInfo, wire.DockerInfo]:
    """Raises Invalid when the task is none for Docker."""
    if task.container is None or task.container.docker is None or task.container.type != "DOCKER":
        raise Invalid("The task has no DOCKER container")
    return task.container, task.container.docker


def create_arguments(launch: Launch) -> list[str]:
    """All arguments after `docker create`. Raises Invalid in the original's words."""
    container, docker = docker_of(launch.task)
    command = launch.task.command or wire.CommandInfo(shell=False)
    resources = from_wire(launch.task.resources)
    mode, parameters = network(container, docker)
    args = ["--privileged"] if docker.privileged else []
    args += [f"--cpu-shares={max(int(resources.scalar('cpus') * 1024), MIN_SHARES)}"]
    if resources.scalar("mem"):
        args += [f"--memory={max(int(resources.scalar('mem') * 1024 * 1024), MIN_MEMORY)}"]
    for name, value in environment(launch, command):
        args += ["-e", f"{name}={value}"]
    for volume in container.volumes:
        args += ["-v", _volume(volume, launch.sandbox)]
    args += ["-v", f"{launch.sandbox}:{SANDBOX}"]
    if docker.volume_driver:
        args += [f"--volume-driver={docker.volume_driver}"]
    if mode:
        args += [f"--net={mode}"]
    if container.hostname:
        if mode == "host":
            raise Invalid("Unable to set hostname with host network mode")
        args += [f"--hostname={container.hostname}"]
    args += [f"--{p.key}={p.value}" for p in parameters]
    args += _ports(docker, mode, resources)
    args += _labels(launch, container)
    return args + _image_and_command(launch, docker, command)


def network(container: wire.ContainerInfo, docker: wire.DockerInfo) -> tuple[str | None, list[wire.Parameter]]:
    """The container's network, and the parameters that stay ordinary ones.

    The first parameter `net` or `network` decides, whatever the task's mode says: a client of today refuses two.
    """
    for parameter in docker.parameters:
        if not parameter.key or parameter.key.startswith("-") or any(c.isspace() or c == "=" for c in parameter.key):
            raise Invalid(f"Docker parameter '{parameter.key}' is not the name of an option")
        if parameter.key in ONLY_RUN:
            raise Invalid(f"Docker parameter '{parameter.key}' is not supported")
    index = next((i for i, p in enumerate(docker.parameters) if p.key in NET), None)
    if index is not None:
        rest = [p for i, p in enumerate(docker.parameters) if i != index]
        return docker.parameters[index].value, rest
    if docker.network == "USER":
        if not container.network_infos:
            raise Invalid("No network info found in container info")
        if len(container.network_infos) > 1:
            raise Invalid("Only a single network can be defined in Docker run")
        if not container.network_infos[0].name:
            raise Invalid("No network name found in network info")
        return container.network_infos[0].name, docker.parameters
    return (docker.network or "HOST").lower(), docker.parameters


def environment(launch: Launch, command: wire.CommandInfo) -> Iterator[tuple[str, str]]:
    """The command's variables, then ours."""
    for variable in command.environment.variables if command.environment else []:
        if not variable.name or "=" in variable.name:
            raise Invalid(f"Environment variable '{variable.name}' has an invalid name")
        yield variable.name, variable.value or ""
    yield "MESOS_SANDBOX", SANDBOX
    yield "MESOS_CONTAINER_NAME", launch.name


def _volume(volume: wire.Volume, sandbox: str) -> str:
    inside = volume.container_path
    mode = volume.mode.lower()
    if volume.source:
        name = (volume.source.get("docker_volume") or {}).get("name")
        if not name:
            raise Invalid("Only volumes with a host path or a Docker volume as source are supported")
        return f"{name}:{_inside(inside)}:{mode}"
    if volume.host_path is None:
        raise Invalid("Host path or volume source is required")
    if volume.host_path.startswith("/"):
        return f"{volume.host_path}:{_inside(inside)}:{mode}"
    if not inside.startswith("/"):
        raise Invalid(f"Both host_path '{volume.host_path}' and container_path '{inside}' of a volume are relative")
    if ".." in volume.host_path.split("/"):
        raise Invalid(f"The relative host_path '{volume.host_path}' of a volume leaves the sandbox")
    return f"{sandbox}/{volume.host_path}:{inside}:{mode}"


def _inside(path: str) -> str:
    return path if path.startswith("/") else f"{SANDBOX}/{path}"


def _ports(docker: wire.DockerInfo, mode: str | None, resources: Resources) -> list[str]:
    if not docker.port_mappings:
        return []
    if mode in ("host", "none"):
        raise Invalid("Port mappings are only supported for bridge and user-defined networks")
    if not resources:
        raise Invalid("Port mappings require resources")
    ranges = resources.ranges("ports")
    if not ranges:
        raise Invalid("Port mappings require port resources")
    args = []
    for mapping in docker.port_mappings:
        if not any(begin <= mapping.host_port <= end for begin, end in ranges):
            raise Invalid(f"Port [{mapping.host_port}] not included in resources")
        protocol = f"/{mapping.protocol.lower()}" if mapping.protocol else ""
        args += ["-p", f"{mapping.host_port}:{mapping.container_port}{protocol}"]
    return args


def _labels(launch: Launch, container: wire.ContainerInfo) -> list[str]:
    """Whose container it is and which task; and the labels of its networks, which Docker's driver protocol does not
    carry."""
    labels = [f"--label={LABEL_AGENT}={launch.agent}", f"--label={LABEL_CONTAINER}={launch.container_id}"]
    labels += [f"--label={MESOS_TASK}={launch.task.task_id.value}", f"--label={MESOS_TASK_NAME}={launch.task.name}"]
    for info in container.network_infos:
        for label in info.labels.labels if info.labels else []:
            labels.append(f"--label=org.projectcalico.label.{label.key}={label.value or ''}")
    return labels


def _image_and_command(launch: Launch, docker: wire.DockerInfo, command: wire.CommandInfo) -> list[str]:
    image = image_with_tag(docker.image)
    if image.startswith("-"):
        raise Invalid(f"'{docker.image}' is not the name of an image")
    named = ["--name", launch.name]
    if command.shell:
        if command.value is None:
            raise Invalid("Shell specified but no command value provided")
        return ["--entrypoint", "/bin/sh", *named, image, "-c", command.value]
    value: Sequence[str] = [command.value] if command.value is not None else []
    return [*named, image, *value, *command.arguments]
