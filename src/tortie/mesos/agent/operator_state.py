"""What an agent's operator calls answer with: the messages of mesos.v1.agent.Response as documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tortie.mesos import operator
from tortie.mesos.agent.live import LiveTask
from tortie.mesos.agent.nested import Nested
from tortie.mesos.agent.runtime import Agent
from tortie.mesos.agent.state import executor_name, running_tasks
from tortie.wire import mesos as wire

Usage = Mapping[str, Mapping[str, Any]]
"""ResourceStatistics by container id."""


def tasks(agent: Agent) -> dict[str, Any]:
    """An agent of ours hands a task on at once: none waits in a queue."""
    launched = [t for t in agent.tasks.values() if not t.terminal]
    terminated = [t for t in agent.tasks.values() if t.terminal]
    return {
        "launched_tasks": [_task(t) for t in launched],
        "terminated_tasks": [_task(t) for t in terminated],
        "completed_tasks": [_task(t) for t in agent.completed],
    }


def _task(task: LiveTask) -> dict[str, Any]:
    head = task.updates.head
    sent = (head.state, head.uuid) if head else (None, None)
    return operator.task(task.saved.info, task.framework_id, task.saved.state, task.saved.statuses, sent)


def executors(agent: Agent) -> dict[str, Any]:
    """Every task has one of its own name."""
    return {
        "executors": [_executor(t) for t in agent.tasks.values() if not t.terminal],
        "completed_executors": [_executor(t) for t in agent.completed],
    }


def _executor(task: LiveTask) -> dict[str, Any]:
    info = wire.ExecutorInfo(
        executor_id=wire.ID(value=task.id),
        framework_id=wire.ID(value=task.framework_id),
        name=executor_name(task),
        source=task.id,
        command=task.saved.info.command,
    )
    return {"executor_info": operator.built(info)}


def frameworks(agent: Agent) -> dict[str, Any]:
    live = {t.framework_id: t.saved.framework for t in agent.tasks.values()}
    done = {t.framework_id: t.saved.framework for t in agent.completed if t.framework_id not in live}
    return {
        "frameworks": [{"framework_info": operator.built(info)} for info in live.values()],
        "completed_frameworks": [{"framework_info": operator.built(info)} for info in done.values()],
    }


def whole_state(agent: Agent) -> dict[str, Any]:
    return {"get_tasks": tasks(agent), "get_executors": executors(agent), "get_frameworks": frameworks(agent)}


def containers(agent: Agent, usage: Usage, *, nested: bool) -> dict[str, Any]:
    """Those of running tasks, and, if asked, what runs inside them."""
    rows = [_container(task, usage.get(task.saved.container_id)) for task in running_tasks(agent)]
    if nested:
        rows += [_nested(agent, found) for found in agent.nested.running()]
    return {"containers": [row for row in rows if row]}


def _container(task: LiveTask, usage: Mapping[str, Any] | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "framework_id": {"value": task.framework_id},
        "executor_id": {"value": task.id},
        "executor_name": executor_name(task),
        "container_id": {"value": task.saved.container_id},
    }
    status = next((s.container_status for s in reversed(task.saved.statuses) if s.container_status), None)
    if status is not None:
        row["container_status"] = operator.built(status)
    if usage is not None:
        row["resource_statistics"] = dict(usage)
    return row


def _nested(agent: Agent, found: Nested) -> dict[str, Any]:
    top = found.container_id
    while top.parent is not None:
        top = top.parent
    task = agent.of_container(top.value)
    if task is None:
        return {}
    row = _container(task, None)
    shown = operator.built(found.container_id)
    return {**row, "container_id": shown, "container_status": {"container_id": shown}}
