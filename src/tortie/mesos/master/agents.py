"""Agents come, come back, fall silent and go."""

from __future__ import annotations

from tortie.mesos.master import offers, registry
from tortie.mesos.master.cluster import Agent, Cluster, Framework, HangUp, RecoveredAgent, Task
from tortie.mesos.master.state import operator_agent, operator_framework
from tortie.mesos.master.tasks import (
    announce_task,
    announce_update,
    fresh_status,
    kill_message,
    master_status,
    record,
    say_status,
    to_completed,
)
from tortie.mesos.master.validate import wanted
from tortie.mesos.protocol import AgentSubscribe, MasterMessage, Registered, TaskRecord
from tortie.mesos.resources import Resources, from_wire
from tortie.wire import mesos as wire


def subscribe(cluster: Cluster, request: AgentSubscribe, stream: str, now: float) -> Agent:
    """Registers the agent on `stream`, or takes it back under its id."""
    info = request.agent_info
    again = info.id is not None
    agent_id = info.id.value if info.id else _new_id(cluster)
    known = cluster.agents.get(agent_id)
    if known is not None:
        _drop_stream(cluster, known, now)
    earlier = known or cluster.recovered.pop(agent_id, None)
    cluster.unreachable.pop(agent_id, None)
    agent = known or _fresh(agent_id, info, request, now)
    if again:
        agent.reregistered = now
    if earlier and not known:
        agent.registered = earlier.registered
    agent.info, agent.ip, agent.version, agent.total = info, request.ip, request.version, from_wire(info.resources)
    agent.info.id = wire.ID(value=agent_id)
    agent.stream, agent.disconnected, agent.last_pong = stream, None, now
    cluster.agents[agent_id] = agent
    cluster.count("master/slave_reregistrations" if again else "master/slave_registrations")
    cluster.outbox.append(registry.keep_agent(agent))
    settings = cluster.settings
    registered = Registered(agent_id=agent.info.id, ping_timeout=settings.ping_timeout * settings.max_pings)
    cluster.tell(agent, MasterMessage(type="REREGISTERED" if again else "REGISTERED", registered=registered))
    if not known and cluster.watchers:
        cluster.announce("AGENT_ADDED", agent=operator_agent(agent, Resources()))
    _compare(cluster, agent, request, now)
    return agent


def _new_id(cluster: Cluster) -> str:
    agent_id = f"{cluster.id}-S{cluster.next_agent}"
    cluster.next_agent += 1
    return agent_id


def _fresh(agent_id: str, info: wire.AgentInfo, request: AgentSubscribe, now: float) -> Agent:
    resources = from_wire(info.resources)
    return Agent(agent_id, info, request.ip, request.version, resources, resources, now)


def _drop_stream(cluster: Cluster, agent: Agent, now: float) -> None:
    if agent.stream is not None:
        cluster.outbox.append(HangUp(agent.stream))
        agent.stream = None
    offers.withdraw(cluster, now, agent_id=agent.id)


def _compare(cluster: Cluster, agent: Agent, request: AgentSubscribe, now: float) -> None:
    """The agent's own list wins: what it does not know is lost, what it knows is taken up."""
    for info in request.frameworks:
        if info.id and info.id.value not in cluster.frameworks and info.id.value not in cluster.refused:
            framework = Framework(info.id.value, info, now, disconnected=now, recovered=True)
            cluster.frameworks[framework.id] = framework
            cluster.outbox.append(registry.keep_framework(framework))
            cluster.announce("FRAMEWORK_ADDED", framework=operator_framework(framework))
    theirs = {(t.framework_id.value, t.info.task_id.value): t for t in request.tasks}
    for key, task in list(agent.tasks.items()):
        if key not in theirs:
            _lost(cluster, task, "Task is unknown to the agent", "REASON_RECONCILIATION", "TASK_DROPPED", now=now)
    gone = {key[0] for key in theirs} - cluster.frameworks.keys()
    for framework_id in sorted(gone):
        message = MasterMessage(type="SHUTDOWN_FRAMEWORK", framework_id=wire.ID(value=framework_id))
        cluster.tell(agent, message)
    for key, theirs_task in theirs.items():
        if key[0] in cluster.frameworks:
            _take_up(cluster, agent, cluster.frameworks[key[0]], theirs_task)
    held = [t.resources for t in agent.tasks.values() if not t.released]
    agent.free = agent.total
    for resources in held:
        agent.free = agent.free - resources


def _take_up(cluster: Cluster, agent: Agent, framework: Framework, theirs: TaskRecord) -> None:
    task_id = theirs.info.task_id.value
    task = framework.tasks.get(task_id)
    back = framework.unreachable.pop(task_id, None)
    lost_before = any(done.id == task_id for done in framework.completed)
    if task is None:
        task = back or Task(theirs.info, framework.id, agent.id, wanted(theirs.info))
        task.released = False
        task.state = "TASK_STAGING"
        framework.tasks[task_id] = task
    agent.tasks[framework.id, task_id] = task
    before = task.state if task.statuses else None
    task.statuses = list(theirs.statuses) or task.statuses
    task.state = theirs.state
    if before is None:
        announce_task(cluster, task)
    elif before != task.state and task.statuses:
        announce_update(cluster, task, task.statuses[-1])
    if theirs.pending:
        task.sent_state, task.sent_uuid = theirs.pending.state, theirs.pending.uuid
    if task.terminal:
        task.released = True
    elif (back and not framework.info.can("PARTITION_AWARE")) or lost_before:
        cluster.tell(agent, kill_message(framework.id, wire.Kill(task_id=theirs.info.task_id)))
    elif task.kill:
        cluster.tell(agent, kill_message(framework.id, task.kill))


def _lost(cluster: Cluster, task: Task, message: str, reason: str, aware_state: wire.TaskState, *, now: float) -> None:
    """For good: the task goes to the completed ones and its framework is told."""
    framework = cluster.frameworks[task.framework_id]
    state: wire.TaskState = aware_state if framework.info.can("PARTITION_AWARE") else "TASK_LOST"
    if not task.terminal:
        status = master_status(task, state, message, reason, now=now)
        record(task, status, state)
        announce_update(cluster, task, status)
        cluster.count("master/tasks_lost")
        say_status(cluster, framework, status)
    cluster.release(task)
    to_completed(cluster, framework, task)


def disconnected(cluster: Cluster, stream: str, now: float) -> None:
    """Its offers go; its tasks stay, unless their framework does not checkpoint."""
    agent = next((a for a in cluster.agents.values() if a.stream == stream), None)
    if agent is None:
        return
    agent.stream, agent.disconnected = None, now
    offers.withdraw(cluster, now, agent_id=agent.id)
    for task in list(agent.tasks.values()):
        if not cluster.frameworks[task.framework_id].info.checkpoint:
            _lost(cluster, task, "Agent disconnected", "REASON_AGENT_DISCONNECTED", "TASK_LOST", now=now)


def ponged(cluster: Cluster, agent_id: str, now: float) -> None:
    if agent := cluster.agents.get(agent_id):
        agent.last_pong = now


def ping(cluster: Cluster) -> None:
    for agent in cluster.agents.values():
        cluster.tell(agent, MasterMessage(type="PING"))


def expire(cluster: Cluster, now: float) -> None:
    """Gives up agents that were silent for too long, and those of the registry that did not come back."""
    limit = cluster.settings.ping_timeout * cluster.settings.max_pings
    for agent in list(cluster.agents.values()):
        if now - agent.last_pong >= limit:
            _unreachable(cluster, agent, now)
    for agent_id, recovered in list(cluster.recovered.items()):
        if now >= recovered.deadline:
            del cluster.recovered[agent_id]
            _unreachable(cluster, _ghost(agent_id, recovered), now)


def _ghost(agent_id: str, recovered: RecoveredAgent) -> Agent:
    resources = from_wire(recovered.info.resources)
    return Agent(agent_id, recovered.info, recovered.ip, "", resources, resources, recovered.registered)


def _unreachable(cluster: Cluster, agent: Agent, now: float) -> None:
    """Its tasks are LOST, or UNREACHABLE for a framework that knows what that is; every framework hears of it."""
    _drop_stream(cluster, agent, now)
    cluster.agents.pop(agent.id, None)
    cluster.unreachable[agent.id] = now
    cluster.count("master/slave_removals")
    cluster.outbox.append(registry.keep_agent(agent, unreachable=now))
    text = f"Agent {agent.info.hostname} is unreachable: health check timed out"
    for task in agent.tasks.values():
        framework = cluster.frameworks[task.framework_id]
        framework.tasks.pop(task.id, None)
        if task.terminal:
            framework.completed.append(task)
            continue
        aware = framework.info.can("PARTITION_AWARE")
        state: wire.TaskState = "TASK_UNREACHABLE" if aware else "TASK_LOST"
        since = wire.Nanoseconds(nanoseconds=int(now * 1e9)) if aware else None
        status = fresh_status(task.id, agent.id, state, text, "REASON_AGENT_REMOVED", now=now, unreachable_time=since)
        record(task, status, state)
        announce_update(cluster, task, status)
        cluster.count(f"master/tasks_{state.removeprefix('TASK_').lower()}")
        framework.unreachable[task.id] = task
        say_status(cluster, framework, status)
    cluster.announce("AGENT_REMOVED", agent_id={"value": agent.id})
    _say_failure(cluster, agent.id)


def _say_failure(cluster: Cluster, agent_id: str) -> None:
    event = wire.Event(type="FAILURE", failure=wire.Failure(agent_id=wire.ID(value=agent_id)))
    for framework in cluster.frameworks.values():
        cluster.say(framework, event)


def unregistered(cluster: Cluster, agent_id: str, now: float) -> None:
    """The agent says goodbye: its tasks are lost and its id is forgotten."""
    agent = cluster.agents.pop(agent_id, None)
    if agent is None:
        return
    for task in list(agent.tasks.values()):
        _lost(cluster, task, f"Agent {agent.info.hostname} unregistered", "REASON_AGENT_REMOVED", "TASK_GONE", now=now)
    _drop_stream(cluster, agent, now)
    cluster.outbox.append(registry.forget_agent(agent_id))
    cluster.announce("AGENT_REMOVED", agent_id={"value": agent_id})
    _say_failure(cluster, agent_id)
