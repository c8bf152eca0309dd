"""The documents that readers of a master poll: /state and its parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tortie.mesos import operator
from tortie.mesos.legacy import raw_resources, task_document
from tortie.mesos.master.cluster import Agent, Cluster, Framework, Task
from tortie.mesos.resources import Resources, legacy, legacy_attributes, total

COUNTED = (
    "TASK_STAGING",
    "TASK_STARTING",
    "TASK_RUNNING",
    "TASK_KILLING",
    "TASK_FINISHED",
    "TASK_KILLED",
    "TASK_FAILED",
    "TASK_LOST",
    "TASK_ERROR",
    "TASK_UNREACHABLE",
)


@dataclass(frozen=True, slots=True)
class Identity:
    """What a master says about itself."""

    pid: str
    hostname: str
    started: float
    cluster: str | None = None
    flags: Mapping[str, str] = field(default_factory=dict)


def state(cluster: Cluster, me: Identity) -> dict[str, Any]:
    """All of /state."""
    agents = list(cluster.agents.values())
    port = cluster.info.port
    return {
        **operator.version(),
        "start_time": me.started,
        "elected_time": me.started,
        "id": cluster.id,
        "pid": me.pid,
        "hostname": me.hostname,
        "activated_slaves": sum(a.active for a in agents),
        "deactivated_slaves": sum(not a.active for a in agents),
        "unreachable_slaves": len(cluster.unreachable),
        **({"cluster": me.cluster} if me.cluster else {}),
        "leader": me.pid,
        "leader_info": {"id": cluster.id, "pid": me.pid, "port": port, "hostname": me.hostname},
        "flags": dict(me.flags),
        **slaves(cluster),
        **frameworks(cluster),
        "orphan_tasks": [],
    }


def slaves(cluster: Cluster, *, full: bool = False) -> dict[str, Any]:
    recovered = [
        {
            "id": agent_id,
            "hostname": known.info.hostname,
            "port": known.info.port,
            "attributes": legacy_attributes(known.info.attributes),
        }
        for agent_id, known in cluster.recovered.items()
    ]
    return {"slaves": [_slave(cluster, a, full=full) for a in cluster.agents.values()], "recovered_slaves": recovered}


def _slave(cluster: Cluster, agent: Agent, *, full: bool = False) -> dict[str, Any]:
    used = total(t.resources for t in agent.tasks.values() if not t.released)
    offered = total(o.resources for o in cluster.offers.values() if o.agent_id == agent.id)
    document = {
        "id": agent.id,
        "hostname": agent.info.hostname,
        "port": agent.info.port,
        "attributes": legacy_attributes(agent.info.attributes),
        "pid": agent.pid,
        "registered_time": agent.registered,
        **({"reregistered_time": agent.reregistered} if agent.reregistered else {}),
        "resources": legacy(agent.total),
        "used_resources": legacy(used),
        "offered_resources": legacy(offered),
        **reservations(agent.total),
        "active": agent.active,
        "version": agent.version,
    }
    if full:
        document["reserved_resources_full"] = {
            role: raw_resources(agent.total.of_roles(role)) for role in agent.total.roles()
        }
        document["used_resources_full"] = raw_resources(used)
        document["offered_resources_full"] = raw_resources(offered)
    return document


def reservations(resources: Resources) -> dict[str, Any]:
    return {
        "reserved_resources": {role: legacy(resources.of_roles(role)) for role in resources.roles()},
        "unreserved_resources": legacy(resources.of_roles("*")),
    }


def frameworks(cluster: Cluster) -> dict[str, Any]:
    return {
        "frameworks": [_framework(cluster, f) for f in cluster.frameworks.values()],
        "completed_frameworks": [_framework(cluster, f) for f in cluster.completed.values()],
        "unregistered_frameworks": [],
    }


def _framework_summary(cluster: Cluster, framework: Framework) -> dict[str, Any]:
    info = framework.info
    used = total(t.resources for t in framework.tasks.values() if not t.released)
    offered = total(o.resources for o in cluster.offers.values() if o.framework_id == framework.id)
    roles = {"roles": info.roles} if info.can("MULTI_ROLE") else {"role": info.role or "*"}
    return {
        "id": framework.id,
        "name": info.name,
        "used_resources": legacy(used),
        "offered_resources": legacy(offered),
        "capabilities": [c.type for c in info.capabilities],
        "hostname": info.hostname or "",
        "webui_url": info.webui_url or "",
        "active": framework.connected,
        "connected": framework.connected,
        "recovered": framework.recovered,
        "user": info.user,
        "failover_timeout": framework.failover_timeout,
        "checkpoint": bool(info.checkpoint),
        "registered_time": framework.registered,
        "unregistered_time": framework.unregistered,
        **({"principal": info.principal} if info.principal else {}),
        **({"reregistered_time": framework.reregistered} if framework.reregistered else {}),
        "resources": legacy(used + offered),
        **roles,
    }


def _framework(cluster: Cluster, framework: Framework) -> dict[str, Any]:
    offers = [
        {"id": o.id, "framework_id": o.framework_id, "slave_id": o.agent_id, "resources": legacy(o.resources)}
        for o in cluster.offers.values()
        if o.framework_id == framework.id
    ]
    labels = framework.info.labels
    return {
        **_framework_summary(cluster, framework),
        "tasks": [_task(framework, t) for t in framework.tasks.values()],
        "unreachable_tasks": [_task(framework, t) for t in framework.unreachable.values()],
        "completed_tasks": [_task(framework, t) for t in framework.completed],
        "offers": offers,
        "executors": [],
        **({"labels": msgspec.to_builtins(labels.labels)} if labels else {}),
    }


def _task(framework: Framework, task: Task) -> dict[str, Any]:
    user = (task.info.command.user if task.info.command else None) or framework.info.user
    return task_document(task.info, task.framework_id, task.state, task.statuses, user)


def tasks(cluster: Cluster, *, limit: int = 100, offset: int = 0, ascending: bool = False) -> dict[str, Any]:
    """/tasks: live and completed ones of every framework, by the time of their first status."""
    rows = []
    for framework in [*cluster.frameworks.values(), *cluster.completed.values()]:
        many: Iterable[Task] = [*framework.tasks.values(), *framework.unreachable.values(), *framework.completed]
        rows += [(t.statuses[0].timestamp or 0.0 if t.statuses else 0.0, _task(framework, t)) for t in many]
    rows.sort(key=lambda row: row[0], reverse=not ascending)
    return {"tasks": [document for _, document in rows[offset : offset + limit]]}


def summary(cluster: Cluster, me: Identity) -> dict[str, Any]:
    """/state-summary: counters instead of tasks."""
    per_agent: dict[str, Counter[str]] = {a: Counter() for a in cluster.agents}
    agents_of: dict[str, list[str]] = {}
    frameworks_of: dict[str, set[str]] = {a: set() for a in cluster.agents}
    rows = []
    for framework in cluster.frameworks.values():
        counts: Counter[str] = Counter()
        for task in [*framework.tasks.values(), *framework.unreachable.values(), *framework.completed]:
            counts[task.state] += 1
            if task.agent_id in per_agent:
                per_agent[task.agent_id][task.state] += 1
                frameworks_of[task.agent_id].add(framework.id)
        agents_of[framework.id] = sorted({t.agent_id for t in framework.tasks.values()})
        rows.append(
            {**_framework_summary(cluster, framework), **_counted(counts), "slave_ids": agents_of[framework.id]}
        )
    return {
        "hostname": me.hostname,
        **({"cluster": me.cluster} if me.cluster else {}),
        "slaves": [
            {**_slave(cluster, a), **_counted(per_agent[a.id]), "framework_ids": sorted(frameworks_of[a.id])}
            for a in cluster.agents.values()
        ],
        "frameworks": rows,
    }


def _counted(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: counts.get(name, 0) for name in COUNTED}


def roles(cluster: Cluster) -> dict[str, Any]:
    """/roles: the default role always, others when somebody has them."""
    by_role: dict[str, list[Framework]] = {"*": []}
    for framework in cluster.frameworks.values():
        for role in framework.roles:
            by_role.setdefault(role, []).append(framework)
    return {
        "roles": [
            {
                "name": name,
                "weight": 1.0,
                "resources": legacy(
                    total(t.resources for f in members for t in f.tasks.values() if not t.released)
                    + total(o.resources for o in cluster.offers.values() if o.role == name)
                ),
                "frameworks": [f.id for f in members],
            }
            for name, members in by_role.items()
        ]
    }


def metrics(cluster: Cluster, me: Identity, now: float) -> dict[str, float]:
    """/metrics/snapshot."""
    agents = list(cluster.agents.values())
    states = Counter(task.state for task in cluster.tasks())
    out: dict[str, float] = {
        "master/uptime_secs": now - me.started,
        "master/elected": 1,
        "master/slaves_active": sum(a.active for a in agents),
        "master/slaves_inactive": sum(not a.active for a in agents),
        "master/slaves_connected": sum(a.active for a in agents),
        "master/slaves_disconnected": sum(not a.active for a in agents),
        "master/slaves_unreachable": len(cluster.unreachable),
        "master/slave_registrations": 0,
        "master/slave_reregistrations": 0,
        "master/slave_removals": 0,
        "master/frameworks_active": sum(f.connected for f in cluster.frameworks.values()),
        "master/frameworks_inactive": sum(not f.connected for f in cluster.frameworks.values()),
        "master/frameworks_connected": sum(f.connected for f in cluster.frameworks.values()),
        "master/frameworks_disconnected": sum(not f.connected for f in cluster.frameworks.values()),
        "master/outstanding_offers": len(cluster.offers),
    }
    for name in ("staging", "starting", "running", "killing", "unreachable"):
        out[f"master/tasks_{name}"] = states[f"TASK_{name.upper()}"]
    for name in ("finished", "failed", "killed", "lost", "error"):
        out[f"master/tasks_{name}"] = 0
    for name in ("cpus", "mem", "disk", "gpus"):
        have = sum(a.total.scalar(name) for a in agents)
        used = sum(t.resources.scalar(name) for t in cluster.tasks() if not t.released)
        out |= {f"master/{name}_total": have, f"master/{name}_used": used}
        out[f"master/{name}_percent"] = used / have if have else 0
    return out | cluster.counters


def operator_agent(agent: Agent, offered: Resources) -> dict[str, Any]:
    """GetAgents.Agent of the operator API."""
    used = total(t.resources for t in agent.tasks.values() if not t.released)
    return {
        "agent_info": msgspec.to_builtins(agent.info),
        "active": agent.active,
        "version": agent.version,
        "pid": agent.pid,
        "registered_time": operator.moment(agent.registered),
        "total_resources": raw_resources(agent.total),
        "allocated_resources": raw_resources(used),
        "offered_resources": raw_resources(offered),
    }


def operator_framework(framework: Framework) -> dict[str, Any]:
    """GetFrameworks.Framework of the operator API."""
    return {
        "framework_info": msgspec.to_builtins(framework.info),
        "active": framework.connected,
        "connected": framework.connected,
        "recovered": framework.recovered,
        "registered_time": operator.moment(framework.registered),
    }


def operator_task(task: Task) -> dict[str, Any]:
    """The Task message of the v1 API."""
    sent = (task.sent_state, task.sent_uuid)
    return operator.task(task.info, task.framework_id, task.state, task.statuses, sent)
