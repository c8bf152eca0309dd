"""What a call about a nested container says, and whether it can be meant. Values only."""

from __future__ import annotations

import re

from tortie.base.errors import Invalid
from tortie.mesos.agent.streams import Session
from tortie.mesos.agent.ucr.process import arguments
from tortie.wire import mesos as wire
from tortie.wire.mesos import agent_api as v1

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,127}")
DEEPEST = 8
LARGEST_SIDE = 0xFFFF


def path_of(container_id: wire.ContainerID) -> str:
    """As it is spoken of: the task's container, then what lies in it."""
    names = [container_id.value]
    while container_id.parent is not None:
        container_id = container_id.parent
        names.append(container_id.value)
    return ".".join(reversed(names))


def root_of(container_id: wire.ContainerID) -> str:
    while container_id.parent is not None:
        container_id = container_id.parent
    return container_id.value


def check_id(container_id: wire.ContainerID) -> None:
    """Ids become names of files. Raises Invalid."""
    depth, at = 0, container_id
    while True:
        if not _NAME.fullmatch(at.value):
            raise Invalid(
                f"'ContainerID.value' '{at.value[:140]}' is empty, too long or has characters that are invalid"
            )
        if at.parent is None:
            return
        depth, at = depth + 1, at.parent
        if depth > DEEPEST:
            raise Invalid(f"'ContainerID' has more than {DEEPEST} parents")


def session_of(asked: v1.LaunchNested) -> Session:
    """Raises Invalid for what cannot be run inside another container."""
    check_id(asked.container_id)
    if asked.container_id.parent is None:
        raise Invalid("Expecting 'container_id.parent' to be present")
    if asked.command is None:
        raise Invalid("Expecting 'command' to be present")
    environment = {}
    for variable in asked.command.environment.variables if asked.command.environment else ():
        value = variable.value or ""
        if not variable.name or "=" in variable.name or "\0" in variable.name + value:
            raise Invalid(f"Environment variable '{variable.name}' has an invalid name")
        environment[variable.name] = value
    words = arguments(asked.command, None)
    if any("\0" in word for word in words):
        raise Invalid("An argument of the command has a null character")
    if asked.command.uris:
        raise Invalid("A nested container shares its parent's files: 'command.uris' are not supported")
    window = _window(asked.container)
    return Session(
        id=asked.container_id.value,
        parent=root_of(asked.container_id),
        arguments=words,
        environment=environment,
        user=asked.command.user,
        terminal=window is not None,
        rows=window.rows if window else 0,
        columns=window.columns if window else 0,
    )


def _window(container: wire.ContainerInfo | None) -> v1.WindowSize | None:
    """None without a terminal."""
    if container is None:
        return None
    # What is not set is not there; an empty message (mesos, linux_info) asks for nothing.
    if container.type != "MESOS" or container.docker or container.volumes or container.network_infos:
        raise Invalid("The provided ContainerInfo is not supported")
    if (container.mesos or {}).get("image") or container.hostname or container.rlimit_info:
        raise Invalid("The provided ContainerInfo is not supported")
    if container.tty_info is None:
        return None
    size = wire.convert(container.tty_info, v1.TTYInfo).window_size
    return check_window(size) if size else v1.WindowSize(rows=0, columns=0)


def check_window(size: v1.WindowSize) -> v1.WindowSize:
    """A client that does not know its size says 0."""
    if not (0 <= size.rows <= LARGEST_SIDE and 0 <= size.columns <= LARGEST_SIDE):
        raise Invalid(f"A terminal of {size.rows} rows and {size.columns} columns is not possible")
    return size
