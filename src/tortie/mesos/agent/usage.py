"""How much of the host each running task uses now."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tortie.base.errors import TortieError
from tortie.mesos.agent.cgroup_stat import Hierarchy, hierarchies, interfaces, places, statistics
from tortie.mesos.agent.live import LiveTask
from tortie.mesos.agent.runtime import Agent
from tortie.mesos.agent.state import running_tasks
from tortie.mesos.resources import from_wire

MIB = 1024 * 1024


async def usage_of(agent: Agent) -> dict[str, dict[str, Any]]:
    """ResourceStatistics by container id; a container whose engine is silent is left out."""
    mounted = list(hierarchies(_text(Path("/proc/self/mountinfo")) or ""))
    found = {}
    for task in running_tasks(agent):
        by = agent.containerizers.get(task.saved.containerizer)
        if by is None:
            continue
        try:
            pid = (await by.look(agent.life.name_of(task))).pid
        except TortieError:
            continue
        found[task.saved.container_id] = {"timestamp": agent.clock(), **_limits(task), **_seen(task, pid, mounted)}
    return found


def _limits(task: LiveTask) -> dict[str, Any]:
    """As asked for, until the kernel says more."""
    resources = from_wire(task.saved.info.resources)
    return {"cpus_limit": resources.scalar("cpus"), "mem_limit_bytes": int(resources.scalar("mem") * MIB)}


def _seen(task: LiveTask, pid: int, mounted: list[Hierarchy]) -> dict[str, Any]:
    """Nothing of a process that is a stranger's: an engine may count its processes otherwise than we do."""
    marks = (_text(Path(f"/proc/{pid}/cgroup")) or "", _text(Path(f"/proc/{pid}/environ")) or "")
    return of_process(pid, mounted) if pid and any(task.saved.container_id in mark for mark in marks) else {}


def of_process(pid: int, mounted: list[Hierarchy]) -> dict[str, Any]:
    """The cgroups of this process; those that it has in common with us say nothing of the container."""
    ours = places(_text(Path("/proc/self/cgroup")) or "", mounted)
    theirs = places(_text(Path(f"/proc/{pid}/cgroup")) or "", mounted)
    own = {name: place for name, place in theirs.items() if ours.get(name) != place}

    def read(controller: str, file: str) -> str | None:
        place = own.get(controller, own.get(""))
        return _text(Path(place) / file) if place else None

    return {**statistics(read, os.sysconf("SC_CLK_TCK")), **_network(pid)}


def _network(pid: int) -> dict[str, int]:
    """Nothing for a container on the host's network: the numbers would be the host's."""
    try:
        if Path(f"/proc/{pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink():
            return {}
    except OSError:
        return {}
    text = _text(Path(f"/proc/{pid}/net/dev"))
    return interfaces(text) if text else {}


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None
