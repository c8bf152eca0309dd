"""The OCI runtime of this host: which one can run containers here, and its commands."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from tortie.base import cgroups
from tortie.base.errors import Unavailable

KNOWN = ("crun", "runc")
DELETING = 60.0
SESSIONS = "pids"
"""Of version 1, the controller in whose hierarchy each session has a cgroup of its own."""


def choose(known: Sequence[str] = KNOWN) -> str:
    """The path of a runtime. crun is the quicker one, but refuses controllers of both versions at once.

    Raises Unavailable when there is none.
    """
    mixed = not cgroups.unified() and any(path.name == "unified" for path in cgroups.hierarchies())
    for name in known:
        if (found := shutil.which(name)) and not (name == "crun" and mixed):
            return found
    raise Unavailable(f"no OCI runtime that can run here: none of {', '.join(known)} is installed, or only crun where "
                      "both versions of cgroups are mounted")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Runtime:
    """`program`: its path; `state`: the folder for its own files; `cgroups_root`: where containers' cgroups are."""

    program: str
    state: Path
    cgroups_root: str = "/mesos"

    def cgroup(self, container_id: str) -> str:
        """By the same path in every hierarchy."""
        return f"/{self.cgroups_root.strip('/')}/{container_id}"

    def controlled_by(self, controller: str, container_id: str) -> Path:
        """The folder of its limits."""
        return cgroups.controlled_by(controller) / self.cgroup(container_id).lstrip("/")

    @property
    def _base(self) -> list[str]:
        return [self.program, "--root", str(self.state)]

    def create(self, container_id: str, folder: Path, *, terminal: bool) -> list[str]:
        """Relative names: the shim's place is `folder`, and an address of a socket is short."""
        console = ["--console-socket", "console"] if terminal else []
        return [*self._base, "create", "--bundle", str(folder), "--pid-file", "pid", *console, container_id]

    def begin(self, container_id: str) -> list[str]:
        return [*self._base, "start", container_id]

    def execute(self, container_id: str, folder: Path, cgroup: str, *, terminal: bool) -> list[str]:
        """`cgroup`: as `make_session_cgroup` gave it."""
        console = ["--console-socket", "console"] if terminal else []
        told = ["--process", str(folder / "process.json"), "--pid-file", "pid", "--cgroup", cgroup]
        return [*self._base, "exec", "--detach", *told, *console, container_id]

    async def delete(self, container_id: str) -> None:
        """With everything that is in it. What is not there is fine. Raises Unavailable."""
        try:
            with anyio.fail_after(DELETING):
                done = await anyio.run_process([*self._base, "delete", "--force", container_id], check=False)
        except (TimeoutError, OSError) as error:
            raise Unavailable(f"container {container_id} cannot be removed: {error or 'no answer'}") from error
        if done.returncode and (self.state / container_id).exists():
            said = done.stderr.decode(errors="replace").strip()
            raise Unavailable(f"container {container_id} cannot be removed: {said}")

    def session_cgroup(self, container_id: str, session_id: str) -> Path:
        return self.controlled_by(SESSIONS, container_id) / f"session-{session_id}"

    def make_session_cgroup(self, container_id: str, session_id: str) -> str:
        """Returns it as `execute` takes it."""
        path = self.session_cgroup(container_id, session_id)
        try:
            path.mkdir(exist_ok=True)
        except OSError as error:
            raise Unavailable(f"cgroup {path}: {error.strerror}") from error
        return path.name if cgroups.unified() else f"{SESSIONS}:{path.name}"
