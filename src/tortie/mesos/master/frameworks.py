"""Frameworks come, fail over, lose their stream and go."""

from __future__ import annotations

import math

import msgspec

from tortie.mesos.master import offers, registry
from tortie.mesos.master.cluster import Cluster, Framework, HangUp, Say
from tortie.mesos.master.state import operator_framework
from tortie.mesos.master.tasks import announce_update, master_status, to_completed
from tortie.mesos.master.validate import bad_id
from tortie.mesos.protocol import MasterMessage
from tortie.wire import mesos as wire

LONGEST = 2**63 / 1e9


def refusal(cluster: Cluster, info: wire.FrameworkInfo) -> str | None:
    """Why this subscription is answered with an ERROR event, if it is."""
    if info.id and info.id.value in cluster.refused:
        return "Framework has been removed"
    if info.id and (problem := bad_id(info.id.value)):
        return f"Framework ID is invalid: {problem}"
    if info.can("MULTI_ROLE") and info.role:
        return "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable"
    if info.roles and not info.can("MULTI_ROLE"):
        return "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable"
    timeout = info.failover_timeout or 0.0
    if not math.isfinite(timeout) or not 0 <= timeout < LONGEST:
        return f"The framework failover_timeout ({timeout}) is invalid"
    roles = info.roles if info.can("MULTI_ROLE") else [info.role or "*"]
    if bad := [r for r in roles if r in (".", "..") or r.startswith("-") or any(c in r for c in "/\\ \t\n") or not r]:
        return f"Role '{bad[0]}' is invalid"
    allowed = cluster.settings.roles
    if allowed is not None and (unknown := [r for r in roles if r != "*" and r not in allowed]):
        return f"Roles {{ {', '.join(unknown)} }} are not present in master's --roles"
    known = cluster.frameworks.get(info.id.value) if info.id else None
    if known and (known.info.principal or "") != (info.principal or ""):
        return "Changing framework's principal is not allowed."
    return None


def subscribe(cluster: Cluster, request: wire.Subscribe, stream: str, now: float) -> Framework | None:
    """Takes the framework on `stream`; None when it was refused there: ERROR was said and the stream ended."""
    info = request.framework_info
    if problem := refusal(cluster, info):
        event = wire.Event(type="ERROR", error=wire.ErrorText(message=problem))
        cluster.outbox += [Say(stream, event), HangUp(stream)]
        return None
    framework_id = info.id.value if info.id else _new_id(cluster)
    framework = cluster.frameworks.get(framework_id)
    kind = "FRAMEWORK_UPDATED" if framework else "FRAMEWORK_ADDED"
    if framework is None:
        framework = Framework(framework_id, _with_id(info, framework_id), now)
        cluster.frameworks[framework_id] = framework
    else:
        _fail_over(cluster, framework, info, now)
    framework.stream, framework.disconnected, framework.recovered = stream, None, False
    framework.suppressed = set(request.suppressed_roles)
    framework.filters.clear()
    cluster.outbox.append(registry.keep_framework(framework))
    cluster.announce(kind, framework=operator_framework(framework))
    cluster.say(
        framework,
        wire.Event(
            type="SUBSCRIBED",
            subscribed=wire.Subscribed(
                framework_id=wire.ID(value=framework_id),
                heartbeat_interval_seconds=cluster.settings.heartbeat,
                master_info=cluster.info,
            ),
        ),
    )
    cluster.say(framework, wire.Event(type="HEARTBEAT"))
    for agent in cluster.agents.values():
        if any(key[0] == framework_id for key in agent.tasks):
            cluster.tell(agent, MasterMessage(type="UPDATE_FRAMEWORK", framework=framework.info))
    return framework


def _new_id(cluster: Cluster) -> str:
    framework_id = f"{cluster.id}-{cluster.next_framework:04d}"
    cluster.next_framework += 1
    return framework_id


def _with_id(info: wire.FrameworkInfo, framework_id: str) -> wire.FrameworkInfo:
    info.id = wire.ID(value=framework_id)
    return info


def _fail_over(cluster: Cluster, framework: Framework, info: wire.FrameworkInfo, now: float) -> None:
    """The old stream is told and ended; `user` and `checkpoint` stay what they were."""
    if framework.stream is not None:
        error = wire.Event(type="ERROR", error=wire.ErrorText(message="Framework failed over"))
        cluster.outbox += [Say(framework.stream, error), HangUp(framework.stream)]
        framework.stream = None
    offers.withdraw(cluster, now, framework_id=framework.id)
    info.user, info.checkpoint = framework.info.user, framework.info.checkpoint
    framework.info = _with_id(info, framework.id)
    framework.reregistered = now


def disconnected(cluster: Cluster, stream: str, now: float) -> None:
    """The stream is gone. A framework without failover timeout goes with it."""
    framework = next((f for f in cluster.frameworks.values() if f.stream == stream), None)
    if framework is None:
        return
    framework.stream, framework.disconnected = None, now
    offers.withdraw(cluster, now, framework_id=framework.id)
    expire(cluster, now)


def expire(cluster: Cluster, now: float) -> None:
    """Removes the frameworks that stayed away for longer than their failover timeout."""
    for framework in list(cluster.frameworks.values()):
        if framework.disconnected is not None and now - framework.disconnected >= framework.failover_timeout:
            remove(cluster, framework, now)


def remove(cluster: Cluster, framework: Framework, now: float) -> None:
    """Its tasks are killed and its id is refused for ever."""
    offers.withdraw(cluster, now, framework_id=framework.id)
    if framework.stream is not None:
        cluster.outbox.append(HangUp(framework.stream))
    framework.stream, framework.unregistered = None, now
    involved = {task.agent_id for task in framework.tasks.values()}
    for task in list(framework.tasks.values()):
        if not task.terminal:
            task.state = "TASK_KILLED"
            status = master_status(task, "TASK_KILLED", "Framework was removed", "REASON_FRAMEWORK_REMOVED", now=now)
            task.statuses.append(status)
            announce_update(cluster, task, status)
        cluster.release(task)
        to_completed(cluster, framework, task)
    for agent in cluster.agents.values():
        if agent.id in involved:
            message = MasterMessage(type="SHUTDOWN_FRAMEWORK", framework_id=wire.ID(value=framework.id))
            cluster.tell(agent, message)
    del cluster.frameworks[framework.id]
    cluster.refused.add(framework.id)
    cluster.completed[framework.id] = framework
    while len(cluster.completed) > cluster.settings.max_completed_frameworks:
        cluster.completed.pop(next(iter(cluster.completed)))
    cluster.outbox.append(registry.keep_framework(framework, completed=True))
    cluster.announce("FRAMEWORK_REMOVED", framework_info=msgspec.to_builtins(framework.info))
