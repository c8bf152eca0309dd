"""Taking a lab down, whatever state it is in: processes, cgroups, files; the rest ends with the processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tortie.base.errors import Unavailable
from tortie.lab import cgroups, state
from tortie.lab.daemons import cgroup

GONE_SECONDS = 60.0
COLLECTED_SECONDS = 10.0


def exists(name: str) -> bool:
    """Whether anything of the lab is left on this machine."""
    where = state.places(name)
    lies = where.run.exists() or where.data.exists() or bool(_graves(name))
    return lies or bool(state.boot_processes(name)) or bool(_cgroup_left(name))


def _graves(name: str) -> list[Path]:
    """Data on its way out; more than one where an earlier `down` was killed."""
    return list(state.DATA.glob(f".{name}.*.removed"))


def _cgroup_left(name: str) -> list[object]:
    return [path for hierarchy in cgroups.hierarchies() if (path := hierarchy / cgroup(name)).exists()]


def remove(name: str) -> None:
    """Everything of the lab; the caller holds its lock. Unavailable names what would not go."""
    where = state.places(name)
    members = _kill_hosts(name)
    # Data first gets out of the way by one rename: a new lab of this name never meets half of an old one.
    grave = state.DATA / f".{name}.{os.getpid()}.removed"
    if where.data.exists():
        where.data.rename(grave)
    buried = subprocess.Popen(["rm", "-rf", *map(str, _graves(name))], stdin=subprocess.DEVNULL)
    cgroups.remove(cgroup(name))
    shutil.rmtree(where.run, ignore_errors=True)
    if buried.wait() != 0:
        raise Unavailable(f"cannot remove {grave}")
    with contextlib.suppress(OSError):  # other labs have theirs there
        state.DATA.rmdir()
    _wait_collected(members)


def _wait_collected(members: Mapping[int, str]) -> None:
    """The dead hold their PID namespaces until the machine's process 1 has collected them: some take their time."""
    deadline = time.monotonic() + COLLECTED_SECONDS
    while any(state.born(pid) == started for pid, started in members.items()) and time.monotonic() < deadline:
        time.sleep(0.02)


def _kill_hosts(name: str) -> dict[int, str]:
    """Kill every process 1 and whoever is about to make one; each takes all of its host with it. Returns every process
    of the lab that was seen, those of a host that somebody else had killed included: it may be on its way out."""
    members = state.members(name)
    deadline = time.monotonic() + GONE_SECONDS
    while pids := state.boot_processes(name):
        if time.monotonic() > deadline:
            raise Unavailable(f"lab {name}: process {pids[0]} does not end")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
        members |= state.members(name)
    return members
