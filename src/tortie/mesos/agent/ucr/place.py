"""Where containers and their sessions keep what is known of them, and what was said of their ends."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from tortie.base.errors import NotFound
from tortie.mesos.agent.ucr.connection import compile_program

LONGEST = 200


class Place:
    """Below a folder that a restart of the host empties: `containers/ID`, `sessions/ID`, `runtime` for the
    runtime's own files, and the shim as the agent starts it. All of it is root's alone."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runtime = root / "runtime"
        self.shim = root / "shim.pyc"
        self._containers, self._sessions = root / "containers", root / "sessions"

    def make(self) -> None:
        for folder in (self.root, self.runtime, self._containers, self._sessions):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        compile_program(self.shim)

    def container(self, container_id: str) -> Path:
        """Whether it exists or not. Raises NotFound for what cannot be an id."""
        return self._containers / checked_id(container_id)

    def session(self, session_id: str) -> Path:
        return self._sessions / checked_id(session_id)

    def of(self, any_id: str) -> Path:
        """A session's folder or else a container's. Raises NotFound when there is neither."""
        for folder in (self.session(any_id), self.container(any_id)):
            if folder.is_dir():
                return folder
        raise NotFound(f"Container {any_id} cannot be found")

    def containers(self) -> Sequence[str]:
        return _names(self._containers)

    def sessions(self) -> Sequence[str]:
        return _names(self._sessions)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def checked_id(any_id: str) -> str:
    """Ids come from clients too, and are parts of paths here."""
    if (
        not any_id
        or len(any_id) > LONGEST
        or any_id.startswith(".")
        or not all(c.isalnum() or c in "-_." for c in any_id)
    ):
        raise NotFound(f"Container {any_id[:LONGEST]} cannot be found")
    return any_id


def number(path: Path) -> int | None:
    """What a shim or a runtime wrote there; None when it has not yet."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def forget(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
