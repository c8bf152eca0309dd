"""What happens to a task: updates, acknowledgements, reconciliation."""

from __future__ import annotations

import msgspec

from tortie.mesos.master.cluster import Cluster, Framework, Task
from tortie.mesos.master.state import operator_task
from tortie.mesos.protocol import AcknowledgeUpdate, KillTask, MasterMessage, StatusUpdate
from tortie.wire import mesos as wire


def master_status(
    task: Task, state: wire.TaskState, message: str, reason: str | None, *, now: float, **more: object
) -> wire.TaskStatus:
    """A status of the master's own making: without uuid, so nobody acknowledges it."""
    return fresh_status(task.id, task.agent_id, state, message, reason, now=now, **more)


def fresh_status(
    task_id: str,
    agent_id: str | None,
    state: wire.TaskState,
    message: str,
    reason: str | None,
    *,
    now: float,
    **more: object,
) -> wire.TaskStatus:
    status = wire.TaskStatus(
        task_id=wire.ID(value=task_id),
        state=state,
        message=message,
        reason=reason,
        source="SOURCE_MASTER",
        agent_id=wire.ID(value=agent_id) if agent_id else None,
        timestamp=now,
    )
    return msgspec.structs.replace(status, **more)


def say_status(cluster: Cluster, framework: Framework, status: wire.TaskStatus) -> None:
    cluster.say(framework, wire.Event(type="UPDATE", update=wire.Update(status=status)))


def record(task: Task, status: wire.TaskStatus, latest: str) -> bool:
    """Notes a status; a status of the state that came last replaces it. A terminal state is never left.

    True when the task's state changed.
    """
    kept = msgspec.structs.replace(status, data=None)
    if task.statuses and task.statuses[-1].state == status.state:
        task.statuses[-1] = kept
    else:
        task.statuses.append(kept)
    if task.terminal or task.state == latest:
        return False
    task.state = latest
    return True


def announce_update(cluster: Cluster, task: Task, status: wire.TaskStatus) -> None:
    framework_id = {"value": task.framework_id}
    shown = msgspec.to_builtins(status)
    cluster.announce("TASK_UPDATED", framework_id=framework_id, status=shown, state=task.state)


def announce_task(cluster: Cluster, task: Task) -> None:
    if cluster.watchers:
        cluster.announce("TASK_ADDED", task=operator_task(task))


def to_completed(cluster: Cluster, framework: Framework, task: Task) -> None:
    framework.tasks.pop(task.id, None)
    framework.completed.append(task)
    if agent := cluster.agents.get(task.agent_id):
        agent.tasks.pop((framework.id, task.id), None)


def updated(cluster: Cluster, agent_id: str, update: StatusUpdate) -> None:
    """An update from an agent: noted, its resources freed when the newest state is terminal, forwarded."""
    cluster.count("master/valid_status_updates")
    framework = cluster.frameworks.get(update.framework_id.value)
    agent = cluster.agents[agent_id]
    if framework is None:
        message = MasterMessage(type="SHUTDOWN_FRAMEWORK", framework_id=update.framework_id)
        cluster.tell(agent, message)
        return
    say_status(cluster, framework, update.status)
    task = framework.tasks.get(update.status.task_id.value)
    if task is None or task.agent_id != agent_id:
        return
    if record(task, update.status, update.latest):
        announce_update(cluster, task, update.status)
        if task.terminal:
            cluster.count(f"master/tasks_{task.state.removeprefix('TASK_').lower()}")
    task.sent_state, task.sent_uuid = update.status.state, update.status.uuid
    if task.terminal:
        cluster.release(task)


def acknowledged(cluster: Cluster, framework: Framework, call: wire.Acknowledge) -> None:
    """Passed on to the agent; the one of a terminal update takes the task to the completed ones."""
    agent = cluster.agents.get(call.agent_id.value)
    if agent is None or agent.stream is None:
        return
    task = framework.tasks.get(call.task_id.value)
    if task and task.agent_id == agent.id and task.sent_uuid == call.uuid and task.sent_state in wire.TERMINAL:
        to_completed(cluster, framework, task)
    acknowledge = AcknowledgeUpdate(framework_id=wire.ID(value=framework.id), task_id=call.task_id, uuid=call.uuid)
    cluster.tell(agent, MasterMessage(type="ACKNOWLEDGE", acknowledge=acknowledge))


def reconcile(cluster: Cluster, framework: Framework, call: wire.Reconcile, now: float) -> None:
    """Answers for the tasks named, or for every one that is live or not acknowledged yet."""
    if call.tasks:
        for asked in call.tasks:
            reconcile_one(
                cluster, framework, asked.task_id.value, asked.agent_id.value if asked.agent_id else None, now
            )
        return
    for task in list(framework.tasks.values()):
        say_status(cluster, framework, _latest(task, now))


def _latest(task: Task, now: float) -> wire.TaskStatus:
    last = task.statuses[-1] if task.statuses else None
    status = master_status(task, "TASK_STAGING", "Reconciliation: Latest task state", "REASON_RECONCILIATION", now=now)
    return msgspec.structs.replace(
        status,
        state=task.state,
        container_status=last.container_status if last else None,
        healthy=last.healthy if last else None,
        labels=last.labels if last else None,
    )


def reconcile_one(cluster: Cluster, framework: Framework, task_id: str, agent_id: str | None, now: float) -> None:
    """One explicit answer; none while an agent that may know the task is still to come back."""
    aware = framework.info.can("PARTITION_AWARE")
    if task := framework.tasks.get(task_id):
        say_status(cluster, framework, _latest(task, now))
        return
    gone = framework.unreachable.get(task_id)
    if gone or (agent_id in cluster.unreachable):
        since = cluster.unreachable.get(gone.agent_id if gone else agent_id or "", now)
        status = fresh_status(
            task_id,
            gone.agent_id if gone else agent_id,
            "TASK_UNREACHABLE" if aware else "TASK_LOST",
            "Reconciliation: Task is unreachable",
            "REASON_RECONCILIATION",
            now=now,
            unreachable_time=wire.Nanoseconds(nanoseconds=int(since * 1e9)),
        )
        say_status(cluster, framework, status)
        return
    if agent_id in cluster.recovered or (agent_id is None and cluster.recovered):
        return
    text = (
        "Reconciliation: Task is unknown to the agent"
        if agent_id in cluster.agents
        else "Reconciliation: Task is unknown"
    )
    state: wire.TaskState = "TASK_UNKNOWN" if aware else "TASK_LOST"
    say_status(cluster, framework, fresh_status(task_id, agent_id, state, text, "REASON_RECONCILIATION", now=now))


def kill(cluster: Cluster, framework: Framework, call: wire.Kill, now: float) -> None:
    """Passes the wish on, also repeatedly; an agent that is away gets it when it is back."""
    task = framework.tasks.get(call.task_id.value)
    if task is None:
        reconcile_one(cluster, framework, call.task_id.value, call.agent_id.value if call.agent_id else None, now)
        return
    if call.agent_id and call.agent_id.value != task.agent_id:
        return
    task.kill = call
    if agent := cluster.agents.get(task.agent_id):
        cluster.tell(agent, kill_message(task.framework_id, call))


def shut_down(cluster: Cluster, framework: Framework, call: wire.Shutdown, now: float) -> None:
    """A command task's executor has the task's name: the task is killed. Unknown executors are passed over."""
    if call.executor_id.value in framework.tasks:
        kill(cluster, framework, wire.Kill(task_id=call.executor_id, agent_id=call.agent_id), now)


def kill_message(framework_id: str, call: wire.Kill) -> MasterMessage:
    kill_task = KillTask(framework_id=wire.ID(value=framework_id), task_id=call.task_id, kill_policy=call.kill_policy)
    return MasterMessage(type="KILL_TASK", kill_task=kill_task)
