"""`tortie image`: images for containers, made without a registry."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from tortie.base.errors import Invalid, Unavailable
from tortie.cli.grouping import Group

FOLDER = Path("/var/lib/tortie/images")


@click.group(cls=Group)
def image() -> None:
    """Images for the Mesos containerizer and for Docker, made without a registry."""


@image.command(name="import")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("name")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    default=FOLDER,
    show_default=True,
    help="The agent's folder of images.",
)
@click.option(
    "--docker/--no-docker",
    default=None,
    help="Give it to this host's Docker engine, too.  [default: when one answers]",
)
@click.option("--entrypoint", metavar="JSON", help="The program, as in '[\"/bin/server\"]'.")
@click.option("--cmd", metavar="JSON", help='Its arguments, as in \'["--port", "80"]\'.')
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="A variable; may repeat.")
@click.option("--workdir", help="Where it starts.")
def import_(
    source: Path,
    name: str,
    folder: Path,
    docker: bool | None,
    entrypoint: str | None,
    cmd: str | None,
    env: Sequence[str],
    workdir: str | None,
) -> None:
    """Make image NAME[:TAG] of SOURCE: an archive of `docker save`, an OCI layout (folder or tar), or a root folder.

    It is checked whole, layer by layer, before it gets its name.
    """
    from tortie.mesos.agent.ucr.images import parse_reference
    from tortie.mesos.agent.ucr.importing import import_image

    reference = parse_reference(name)
    changes: dict[str, Any] = {}
    for field, given in (("Entrypoint", entrypoint), ("Cmd", cmd)):
        if given is not None:
            changes[field] = _words(field.lower(), given)
    if wrong := [line for line in env if "=" not in line or line.startswith("=")]:
        raise Invalid(*(f"--env {line}: NAME=VALUE is needed" for line in wrong))
    if env:
        changes["Env"] = list(env)
    if workdir is not None:
        changes["WorkingDir"] = workdir
    made = import_image(source, reference, folder, changes)
    click.echo(f"{reference}: {made.layers} layers, {made.size / 1e6:.1f} MB in {made.path}")
    if docker or (docker is None and _engine_answers()):
        _load(made.path)
        click.echo(f"{reference}: in Docker, too")


def _words(option: str, text: str) -> list[str]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Invalid(f"--{option} {text!r}: not JSON: {error}") from error
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise Invalid(f'--{option} {text!r}: a list of texts is needed, as in ["/bin/server"]')
    return found


def _engine_answers() -> bool:
    try:
        done = subprocess.run(["docker", "version"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _load(path: Path) -> None:
    try:
        done = subprocess.run(["docker", "load", "-i", os.fspath(path)], capture_output=True, text=True, check=False)
    except OSError as error:
        raise Unavailable(f"docker: {error.strerror}") from error
    if done.returncode:
        raise Unavailable(f"docker load: {done.stderr.strip()}")
