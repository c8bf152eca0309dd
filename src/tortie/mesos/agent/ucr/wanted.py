"""What a task asks of the Mesos containerizer, whichever containerizer it was written for. Values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tortie.base.errors import Invalid
from tortie.mesos.agent.docker_run import Launch, image_with_tag, network
from tortie.mesos.agent.network_choice import asked_networks
from tortie.mesos.agent.networks import Wish
from tortie.wire import mesos as wire

NETWORK_WORDS = frozenset({"ip", "ip6", "mac-address", "network-alias", "net-alias", "link"})
"""Parameters of Docker's that the network takes, or that mean nothing outside Docker's own networks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """`image`: its name with a tag, empty for the host's own root. `as_docker`: the rules for programs and places are
    Docker's. `privileged`: with all capabilities. `agents_pid`: it sees the agent's processes as the agent does."""

    command: wire.CommandInfo
    container: wire.ContainerInfo | None
    image: str
    as_docker: bool = False
    privileged: bool = False
    agents_pid: bool = False
    hostname: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    network_infos: Sequence[wire.NetworkInfo] = ()

    @property
    def terminal(self) -> bool:
        return self.container is not None and self.container.tty_info is not None


def wanted(launch: Launch) -> Wanted:
    """Raises Invalid for what cannot be served without Docker, or not at all."""
    task = launch.task
    command = task.command or wire.CommandInfo(shell=False)
    container = task.container
    asked = asked_networks(task)
    if container is None:
        return Wanted(command=command, container=None, image="", network_infos=asked)
    if container.type == "DOCKER" and container.docker is not None:
        return _of_docker(command, container, container.docker, asked)
    return Wanted(
        command=command,
        container=container,
        image=_image(container.mesos),
        agents_pid=_shares_pid(container.linux_info),
        hostname=container.hostname or "",
        network_infos=asked,
    )


def wish(launch: Launch, asked: Wanted) -> Wish:
    return Wish(
        container_id=launch.container_id,
        hostname=asked.hostname,
        network_infos=asked.network_infos,
        task=launch.task,
    )


def _image(mesos: Mapping[str, Any] | None) -> str:
    """Its name. `cached: false` asks for nothing more here: an archive that has changed is always read again."""
    found = (mesos or {}).get("image")
    if found is None:
        return ""
    if not isinstance(found, dict) or found.get("type") != "DOCKER":
        raise Invalid("Only images of type DOCKER are supported")
    name = (found.get("docker") or {}).get("name")
    if not isinstance(name, str) or not name:
        raise Invalid("The image has no name")
    return image_with_tag(name)


def _shares_pid(info: Mapping[str, Any] | None) -> bool:
    found = (info or {}).get("share_pid_namespace", False)
    if not isinstance(found, bool):
        raise Invalid("linux_info: share_pid_namespace is true or false")
    return found


def _of_docker(
    command: wire.CommandInfo, container: wire.ContainerInfo, docker: wire.DockerInfo, asked: Sequence[wire.NetworkInfo]
) -> Wanted:
    """Its parameters as far as they mean something here. Port mappings are the network's, as CNI's portmap has them."""
    if not asked and container.hostname:
        raise Invalid("Unable to set hostname with host network mode")
    _, parameters = network(container, docker)
    hostname, variables, volumes = container.hostname or "", dict[str, str](), list(container.volumes)
    agents_pid = False
    for parameter in parameters:
        if parameter.key in ("volume", "v"):
            volumes.append(_volume(parameter.value))
        elif parameter.key in ("env", "e"):
            name, _, value = parameter.value.partition("=")
            variables[name] = value
        elif parameter.key in ("hostname", "h"):
            hostname = parameter.value
        elif (parameter.key, parameter.value) == ("pid", "host"):
            agents_pid = True
        elif parameter.key not in NETWORK_WORDS | {"label", "l", "name", "restart", "stop-timeout"}:
            raise Invalid(f"Docker parameter '{parameter.key}' is not served without Docker")
    if docker.port_mappings and not asked:
        raise Invalid("Port mappings are only supported for bridge and user-defined networks")
    if docker.port_mappings:
        asked = [msgspec.structs.replace(asked[0], port_mappings=docker.port_mappings), *asked[1:]]
    return Wanted(
        command=command,
        container=msgspec.structs.replace(container, volumes=volumes),
        image=image_with_tag(docker.image),
        as_docker=True,
        privileged=bool(docker.privileged),
        agents_pid=agents_pid,
        hostname=hostname,
        variables=variables,
        network_infos=asked,
    )


def _volume(text: str) -> wire.Volume:
    """`HOST:CONTAINER[:ro|rw]`."""
    parts = text.split(":")
    if len(parts) not in (2, 3) or not parts[0].startswith("/") or (parts[2:] and parts[2] not in ("ro", "rw")):
        raise Invalid(f"Docker parameter 'volume': '{text}' is not served without Docker: HOST:CONTAINER[:ro] is")
    mode: Any = "RO" if parts[2:] == ["ro"] else "RW"
    return wire.Volume(mode=mode, host_path=parts[0], container_path=parts[1])
