"""The documents that readers of an agent poll."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from tortie.mesos.agent.live import LiveTask
from tortie.mesos.agent.runtime import Agent
from tortie.mesos.legacy import raw_resources, task_document
from tortie.mesos.operator import version
from tortie.mesos.resources import Resources, from_wire, legacy, legacy_attributes, total


def state(agent: Agent) -> dict[str, Any]:
    """All of the agent's /state."""
    resources = from_wire(agent.info.resources)
    return {
        **version(),
        "start_time": agent.started,
        "id": agent.id or "",
        "pid": f"slave(1)@{agent.settings.ip}:{agent.info.port}",
        "hostname": agent.info.hostname,
        "resources": legacy(resources),
        "reserved_resources": {role: legacy(resources.of_roles(role)) for role in resources.roles()},
        "unreserved_resources": legacy(resources.of_roles("*")),
        "reserved_resources_full": {role: raw_resources(resources.of_roles(role)) for role in resources.roles()},
        "attributes": legacy_attributes(agent.info.attributes),
        "master_hostname": agent.settings.master.rpartition(":")[0],
        "flags": dict(agent.settings.flags),
        "frameworks": _frameworks(agent),
        "completed_frameworks": [],
    }


def _frameworks(agent: Agent) -> list[dict[str, Any]]:
    live: dict[str, list[LiveTask]] = {}
    done: dict[str, list[LiveTask]] = {}
    infos = {}
    for group, tasks in ((live, agent.tasks.values()), (done, agent.completed)):
        for task in tasks:
            group.setdefault(task.framework_id, []).append(task)
            infos[task.framework_id] = task.saved.framework
    return [
        {
            "id": framework_id,
            "name": info.name,
            "user": info.user,
            "failover_timeout": info.failover_timeout or 0.0,
            "checkpoint": bool(info.checkpoint),
            "hostname": info.hostname or "",
            "role": info.role or "*",
            "executors": [_executor(task) for task in live.get(framework_id, [])],
            "completed_executors": [_executor(task) for task in done.get(framework_id, [])],
        }
        for framework_id, info in infos.items()
    ]


def _executor(task: LiveTask) -> dict[str, Any]:
    """A command task has an executor of its own name here."""
    info = task.saved.info
    shown = task_document(info, task.framework_id, task.saved.state, task.saved.statuses, task.saved.framework.user)
    return {
        "id": task.id,
        "name": executor_name(task),
        "source": task.id,
        "container": task.saved.container_id,
        "directory": str(task.sandbox),
        "resources": legacy(from_wire(info.resources)),
        "tasks": [] if task.terminal else [shown],
        "queued_tasks": [],
        "completed_tasks": [shown] if task.terminal else [],
    }


def executor_name(task: LiveTask) -> str:
    command = task.saved.info.command
    value = command.value if command else None
    if value is None:
        return f"Command Executor (Task: {task.id}) (Command: NO EXECUTABLE)"
    shown = f"{value[:12]}..." if len(value) > 15 else value
    return f"Command Executor (Task: {task.id}) (Command: sh -c '{shown}')"


def running_tasks(agent: Agent) -> list[LiveTask]:
    """Those whose container has been started and has not ended."""
    return [task for task in agent.tasks.values() if task.saved.started and not task.terminal]


def containers(agent: Agent, usage: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """/containers. `usage`: statistics by container id."""
    return [
        {
            **_executor_names(task),
            "container_id": task.saved.container_id,
            "status": _status(task),
            **_statistics(task, usage),
        }
        for task in running_tasks(agent)
    ]


def statistics(agent: Agent, usage: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """/monitor/statistics."""
    return [
        {**_executor_names(task), **_statistics(task, usage)}
        for task in running_tasks(agent)
        if task.saved.container_id in usage
    ]


def _executor_names(task: LiveTask) -> dict[str, Any]:
    return {
        "framework_id": task.framework_id,
        "executor_id": task.id,
        "executor_name": executor_name(task),
        "source": task.id,
    }


def _statistics(task: LiveTask, usage: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    found = usage.get(task.saved.container_id)
    return {} if found is None else {"statistics": dict(found)}


def _status(task: LiveTask) -> Any:
    last = next((s.container_status for s in reversed(task.saved.statuses) if s.container_status), None)
    return msgspec.to_builtins(last) if last else {}


def used(tasks: Iterable[LiveTask]) -> Resources:
    return total(from_wire(t.saved.info.resources) for t in tasks if not t.terminal)


def metrics(agent: Agent, now: float) -> dict[str, float]:
    states: Counter[str] = Counter(t.saved.state for t in [*agent.tasks.values(), *agent.completed])
    have, taken = from_wire(agent.info.resources), used(agent.tasks.values())
    out: dict[str, float] = {
        "slave/uptime_secs": now - agent.started,
        "slave/registered": int(agent.link.connected),
        "slave/recovery_errors": 0,
    }
    for name in ("staging", "starting", "running", "killing", "finished", "failed", "killed", "lost"):
        out[f"slave/tasks_{name}"] = states[f"TASK_{name.upper()}"]
    for name in ("cpus", "mem", "disk", "gpus"):
        whole, part = have.scalar(name), taken.scalar(name)
        out |= {f"slave/{name}_total": whole, f"slave/{name}_used": part}
        out[f"slave/{name}_percent"] = part / whole if whole else 0
    return out
