"""What a task's statuses say: its networks, how it ended. Values only."""

from __future__ import annotations

import signal
from collections.abc import Sequence

import msgspec

from tortie.mesos.agent.containerizer import Exit
from tortie.wire import mesos as wire


def network_of(addresses: Sequence[str]) -> wire.NetworkInfo:
    return wire.NetworkInfo(
        ip_addresses=[wire.IPAddress(protocol="IPv6" if ":" in a else "IPv4", ip_address=a) for a in addresses]
    )


def container_status(
    task: wire.TaskInfo, container_id: str, networks: Sequence[wire.NetworkInfo], agent_ip: str, pid: int = 0
) -> wire.ContainerStatus:
    """Always with a network and an address: the container's, or the agent's when it has none of its own. `pid`: of its
    first process, 0 while that is not known."""
    asked = task.container.network_infos if task.container else []
    shown = [_shown(found, asked[place : place + 1]) for place, found in enumerate(networks)]
    agents = wire.NetworkInfo(ip_addresses=[wire.IPAddress(ip_address=agent_ip)])
    return wire.ContainerStatus(
        container_id=wire.ContainerID(value=container_id), network_infos=shown or [agents], executor_pid=pid or None
    )


def _shown(found: wire.NetworkInfo, asked: Sequence[wire.NetworkInfo]) -> wire.NetworkInfo:
    if found.name or found.labels or found.groups or not asked:
        return found
    return msgspec.structs.replace(asked[0], ip_addresses=found.ip_addresses)


def own_networks(statuses: Sequence[wire.TaskStatus], agent_ip: str) -> list[wire.NetworkInfo]:
    """The container's own as they were told last; none for one on the host's network."""
    told = [n for s in statuses[-1:] if s.container_status for n in s.container_status.network_infos]
    return [n for n in told if any(a.ip_address and a.ip_address != agent_ip for a in n.ip_addresses)]


def told_pid(statuses: Sequence[wire.TaskStatus]) -> int:
    """The container's first process as it was told last, 0 if it never was."""
    return next((s.container_status.executor_pid or 0 for s in reversed(statuses) if s.container_status), 0)


def terminal_state(end: Exit, *, killed: bool) -> wire.TaskState:
    """Exit 0 is FINISHED even after a kill, unless it was not the process's own doing."""
    if end.status == 0 and end.reason is None:
        return "TASK_FINISHED"
    return "TASK_KILLED" if killed else "TASK_FAILED"


def command_ended(status: int) -> str:
    """The words of the command executor for wait(2)'s status."""
    number = status & 0x7F
    if not number:
        return f"Command exited with status {status >> 8}"
    name = signal.strsignal(number) or str(number)
    return f"Command terminated with signal {name}{' (core dumped)' if status & 0x80 else ''}"
