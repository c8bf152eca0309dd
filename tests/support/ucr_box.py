"""An image for containers of tests: a shell and a few tools, made of this machine's own files."""

from __future__ import annotations

from pathlib import Path

from tortie.lab.image import docker_archive, make
from tortie.lab.image_files import Recipe

BOX = Recipe(
    name="ucrbox",
    needed=(
        *("bash", "sleep", "cat", "ls", "stty", "id", "head", "dd", "env", "hostname"),
        *("grep", "setsid", "wc", "tail", "mv", "ln"),
    ),
    tools=("ping", "ip", "sha256sum", "python3"),
    config={"Env": ["COLOUR=ginger"], "Cmd": ["sleep", "1000"]},
)


def box(folder: Path, cache: Path, name: str = "box") -> None:
    """Puts the image `NAME:latest` into an agent's folder of images."""
    folder.mkdir(parents=True, exist_ok=True)
    docker_archive(make(BOX, cache), [f"{name}:latest"], folder / f"{name}:latest.tar")
