"""What runs in a container: program, variables, place and user, out of the task and its image. Values only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tortie.base.errors import Invalid
from tortie.mesos.agent.docker_run import SANDBOX
from tortie.mesos.agent.ucr.images import ImageConfig
from tortie.wire import mesos as wire

SHELL = "/bin/sh"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """As the host knows the task's user: an image's own list of users does not count."""

    uid: int = 0
    gid: int = 0
    groups: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    arguments: Sequence[str]
    environment: Mapping[str, str]
    directory: str
    user: User
    terminal: bool = False


def arguments(command: wire.CommandInfo, image: ImageConfig | None, *, as_docker: bool = False) -> list[str]:
    """The program and its arguments. Invalid in the original's words when there is none.

    `as_docker`: the task was written for Docker, where a value without a shell stands for the image's command and its
    entry point stays.
    """
    if command.shell:
        if command.value is None:
            raise Invalid("Shell specified but no command value provided")
        return [SHELL, "-c", command.value]
    entry, default = list((image and image.entrypoint) or ()), list((image and image.cmd) or ())
    if command.value is not None:
        if as_docker:
            return [*entry, command.value, *command.arguments]
        return [command.value, *command.arguments[1:]]
    found = [*entry, *(command.arguments or default)] if entry else [*default[:1], *(command.arguments or default[1:])]
    if not entry and not default:
        found = list(command.arguments) if as_docker else []
    if not found:
        raise Invalid("No executable is found")
    return found


def environment(
    command: wire.CommandInfo, image: ImageConfig | None, given: Mapping[str, str], own: Mapping[str, str]
) -> dict[str, str]:
    """`given`: what the agent gives to every task, `own`: Mesos's variables. Later win: image, given, own, task."""
    found = {"PATH": PATH, **dict(_of_image(image)), **given, **own}
    for variable in command.environment.variables if command.environment else ():
        if not variable.name or "=" in variable.name or "\0" in variable.name + (variable.value or ""):
            raise Invalid(f"Environment variable '{variable.name}' has an invalid name")
        found[variable.name] = variable.value or ""
    return found


def _of_image(image: ImageConfig | None) -> Iterator[tuple[str, str]]:
    for line in (image and image.env) or ():
        name, equals, value = line.partition("=")
        if name and equals:
            yield name, value


def directory(image: ImageConfig | None) -> str:
    """The image's own place, or else the sandbox."""
    found = (image and image.working_dir) or SANDBOX
    return found if found.startswith("/") else f"/{found}"
