"""What a container is made of: from a task, its image and its networks to the runtime's bundle."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Invalid
from tortie.mesos.agent.docker_run import SANDBOX, Launch
from tortie.mesos.agent.networks import Joined
from tortie.mesos.agent.ucr import bundle, process
from tortie.mesos.agent.ucr.images import Ready
from tortie.mesos.agent.ucr.users import user_of
from tortie.mesos.agent.ucr.wanted import Wanted

OF_THE_HOST = ("/etc/resolv.conf", "/etc/hosts")
"""What a container on the host's network has of the host, whatever its image has."""
TERM = "xterm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`owner`: the agent's own name for itself on this host. `data`: a folder on a file system that overlayfs can use.
    `variables`: for every task. `size`, `files`: when output is rotated, and how many old ones stay; 0: never.
    `processes`: how many a container may have, 0: as many as it likes. `hard`: its cpus are a ceiling."""

    owner: str
    data: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    size: int = 2 << 20
    files: int = 9
    processes: int = 0
    hard: bool = False


class Known(msgspec.Struct, kw_only=True):
    """What is kept of a container beside what its shim writes."""

    owner: str
    stop_signal: str = "SIGTERM"
    memory: int = 0


def keep(folder: Path, known: Known) -> None:
    (folder / "known.json").write_bytes(msgspec.json.encode(known))


def known(folder: Path, owner: str) -> Known:
    """`owner`: whose it is when its agent was killed at its first step."""
    try:
        return msgspec.json.decode((folder / "known.json").read_bytes(), type=ready(Known))
    except (OSError, msgspec.MsgspecError):
        return Known(owner=owner)


def make_data(data: Path, owner: str) -> None:
    for name in ("rootfs", "upper", "work"):
        (data / name).mkdir(parents=True, mode=0o755)
    (data / "owner").write_text(owner)


def owner_of(folder: Path) -> str:
    try:
        return (folder / "owner").read_text()
    except OSError:
        return ""


def mounts(launch: Launch, asked: Wanted, joined: Joined) -> list[bundle.Mount]:
    """The sandbox and volumes, and the files by which the container knows names."""
    found = bundle.volumes(asked.container, launch.sandbox, own_root=bool(asked.image))
    sandbox = os.path.realpath(launch.sandbox)
    for mount in found:
        below = mount.source != launch.sandbox and mount.source.startswith(f"{launch.sandbox}/")
        if below:
            _make_below(sandbox, mount.source, launch.user)
        if not asked.image and not os.path.exists(mount.target):
            if not mount.target.startswith(f"{launch.sandbox}/"):
                raise Invalid(f"Mount point '{mount.target}' does not exist on the host's own root")
            _make_below(sandbox, mount.target, launch.user)
    files = dict(joined.files)
    if not files and asked.image and not joined.namespace:
        files = {path: path for path in OF_THE_HOST if os.path.exists(path)}
    return [*found, *(bundle.Mount(source=source, target=target) for target, source in files.items())]


def _make_below(sandbox: str, path: str, user: str) -> None:
    """A folder of the sandbox, where there is nothing yet; it is the user's. Raises Invalid when it leads out: fetched
    archives may have filled the sandbox with links."""
    if not f"{os.path.realpath(path)}/".startswith(f"{sandbox}/"):
        raise Invalid(f"'{path}' leads out of the sandbox")
    if os.path.exists(path):
        return
    owner = user_of(user)
    try:
        os.makedirs(path)
        os.chown(path, owner.uid, owner.gid)
    except OSError as error:
        raise Invalid(f"'{path}': {error.strerror}") from error


def process_of(options: Options, launch: Launch, asked: Wanted, image: Ready | None, joined: Joined) -> process.Process:
    config = image.config if image else None
    home = SANDBOX if image else launch.sandbox
    own = {"MESOS_SANDBOX": home, "MESOS_DIRECTORY": launch.sandbox, "MESOS_CONTAINER_NAME": launch.name}
    given = {**({"TERM": TERM} if asked.terminal else {}), **options.variables, **asked.variables}
    if image is None:
        place = home
    elif asked.as_docker:
        place = process.directory(image.config) if image.config.working_dir else "/"
    else:
        place = process.directory(image.config)
    return process.Process(
        arguments=process.arguments(asked.command, config, as_docker=asked.as_docker),
        environment=process.environment(asked.command, config, given, {**own, **joined.environment}),
        directory=place,
        user=user_of(launch.user),
        terminal=asked.terminal,
    )
