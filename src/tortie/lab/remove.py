"""Taking a lab down, whatever state it is in: processes, cgroups, files; the rest ends with the processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Collection
from pathlib import Path

from tortie.base.errors import Unavailable
from tortie.lab import cgroups, state
from tortie.lab.daemons import cgroup

GONE_SECONDS = 20.0
COLLECTED_SECONDS = 4.0


def exists(name: str) -> bool:
    """Whether anything of the lab is left on this machine."""
    where = state.places(name)
    return where.run.exists() or where.data.exists() or bool(state.boot_processes(name)) or bool(_cgroup_left(name))


def _cgroup_left(name: str) -> list[object]:
    return [path for hierarchy in cgroups.hierarchies() if (path := hierarchy / cgroup(name)).exists()]


def remove(name: str) -> None:
    """Everything of the lab; the caller holds its lock. Unavailable names what would not go."""
    where = state.places(name)
    killed = _kill_hosts(name)
    # Data first gets out of the way by one rename: a new lab of this name never meets half of an old one.
    grave = state.DATA / f".{name}.{os.getpid()}.removed"
    if where.data.exists():
        where.data.rename(grave)
    buried = subprocess.Popen(["rm", "-rf", *map(str, state.DATA.glob(f".{name}.*.removed"))], stdin=subprocess.DEVNULL)
    cgroups.remove(cgroup(name))
    shutil.rmtree(where.run, ignore_errors=True)
    if buried.wait() != 0:
        raise Unavailable(f"cannot remove {grave}")
    with contextlib.suppress(OSError):  # other labs have theirs there
        state.DATA.rmdir()
    _wait_collected(killed)


def _wait_collected(pids: Collection[int]) -> None:
    """The dead hold their PID namespaces until the machine's process 1 has collected them: some take their time."""
    deadline = time.monotonic() + COLLECTED_SECONDS
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)


def _kill_hosts(name: str) -> set[int]:
    """Kill every process 1 and whoever is about to make one; each takes all of its host with it. Whom it killed."""
    killed: set[int] = set()
    deadline = time.monotonic() + GONE_SECONDS
    while pids := state.boot_processes(name):
        if time.monotonic() > deadline:
            raise Unavailable(f"lab {name}: process {pids[0]} does not end")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed.update(pids)
        time.sleep(0.02)
    return killed
