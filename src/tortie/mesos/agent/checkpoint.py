"""The agent's work directory: sandboxes, and what must be known after a restart."""

from __future__ import annotations

import logging
import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Invalid, Unavailable
from tortie.wire import mesos as wire

log = logging.getLogger("agent")


class TaskCheckpoint(wire.Message):
    """All that is needed to take a task up again. `containerizer`: which one it was given to. `log_base`: sizes of the
    files before the container's own output."""

    framework: wire.FrameworkInfo
    info: wire.TaskInfo
    container_id: str
    state: wire.TaskState
    containerizer: str = "docker"
    started: bool = False
    statuses: list[wire.TaskStatus] = []
    updates: list[wire.TaskStatus] = []
    kill_deadline: float | None = None
    abandoned: bool = False
    log_base: dict[str, int] = {}


class WorkDir:
    """`slaves/ID/frameworks/F/executors/E/runs/C` holds a sandbox, the same path under `meta` its checkpoint."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            (root / "meta" / "slaves").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"work directory {root}: {error.strerror}") from error
        self._latest = root / "meta" / "slaves" / "latest"

    def agent_info(self) -> wire.AgentInfo | None:
        """The agent as it was registered last; Invalid tells how to start anew when it cannot be read."""
        path = self._latest / "slave.info"
        if not path.exists():
            return None
        try:
            return msgspec.json.decode(path.read_bytes(), type=ready(wire.AgentInfo))
        except (OSError, msgspec.MsgspecError) as error:
            raise Invalid(f"{path} cannot be read: {error}. To start as a new agent: rm -f {self._latest}") from error

    def keep_agent(self, info: wire.AgentInfo) -> None:
        assert info.id is not None
        home = self.root / "meta" / "slaves" / info.id.value
        home.mkdir(parents=True, exist_ok=True)
        write(home / "slave.info", wire.encode(info))
        beside = self._latest.with_name(f"latest.{os.getpid()}")
        beside.unlink(missing_ok=True)
        beside.symlink_to(info.id.value)
        beside.rename(self._latest)

    def forget_agent(self) -> None:
        self._latest.unlink(missing_ok=True)

    def _run(self, agent_id: str, task: TaskCheckpoint) -> Path:
        assert task.framework.id is not None
        executor = task.info.task_id.value
        base = Path("slaves") / agent_id / "frameworks" / task.framework.id.value / "executors" / executor
        return base / "runs" / task.container_id

    def sandbox(self, agent_id: str, task: TaskCheckpoint) -> Path:
        return self.root / self._run(agent_id, task)

    def make_sandbox(self, agent_id: str, task: TaskCheckpoint, user: str | None) -> Path:
        """Made empty but for `stdout` and `stderr`, and given to `user`. Raises Invalid for an unknown user."""
        path = self.sandbox(agent_id, task)
        try:
            entry = pwd.getpwnam(user) if user else None
        except KeyError as error:
            raise Invalid(f"No such user '{user}'") from error
        path.mkdir(parents=True, exist_ok=True)
        latest = path.parent / "latest"
        latest.unlink(missing_ok=True)
        latest.symlink_to(path.name)
        for name in ("stdout", "stderr"):
            (path / name).touch(mode=0o644)
        for owned in (path, path / "stdout", path / "stderr"):
            if entry and entry.pw_uid != os.geteuid():
                os.chown(owned, entry.pw_uid, entry.pw_gid)
        return path

    def keep_task(self, agent_id: str, task: TaskCheckpoint) -> None:
        home = self.root / "meta" / self._run(agent_id, task)
        home.mkdir(parents=True, exist_ok=True)
        write(home / "task.json", wire.encode(task))

    def forget_task(self, agent_id: str, task: TaskCheckpoint) -> None:
        """Its sandbox stays for readers."""
        home = self.root / "meta" / self._run(agent_id, task)
        shutil.rmtree(home.parent.parent, ignore_errors=True)

    def tasks(self, agent_id: str) -> Iterator[TaskCheckpoint]:
        """Every task that was not done with. One that cannot be read is told of and left out."""
        for path in sorted(
            (self.root / "meta" / "slaves" / agent_id).glob("frameworks/*/executors/*/runs/*/task.json")
        ):
            try:
                yield msgspec.json.decode(path.read_bytes(), type=ready(TaskCheckpoint))
            except (OSError, msgspec.MsgspecError) as error:
                log.error("checkpoint %s cannot be read, its task is given up: %s", path, error)

    def old_sandboxes(self, before: float) -> Iterator[Path]:
        """Sandboxes that were last written to before then."""
        for path in (self.root / "slaves").glob("*/frameworks/*/executors/*/runs/*"):
            if not path.is_symlink() and path.is_dir() and path.stat().st_mtime < before:
                yield path


def write(path: Path, data: bytes) -> None:
    """All or nothing: beside, to the disk, then renamed over. Not for others to read: tasks' environments are in it."""
    beside = path.with_name(f".{path.name}.new")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
