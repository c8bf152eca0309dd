"""Offers: made, taken, refused, withdrawn."""

from __future__ import annotations

import logging
import math
import random
from collections import defaultdict
from collections.abc import Iterable

import msgspec

from tortie.mesos.master.allocator import Candidate, allocate
from tortie.mesos.master.cluster import Cluster, Filter, Framework, Offer, Task
from tortie.mesos.master.tasks import announce_task, fresh_status, say_status
from tortie.mesos.master.validate import task_problem, wanted
from tortie.mesos.protocol import MasterMessage, RunTask
from tortie.mesos.resources import Resources, to_wire, total
from tortie.wire import mesos as wire

log = logging.getLogger("master")
DEFAULT_REFUSAL = 5.0
LONGEST_REFUSAL = 365 * 86400.0


def make(cluster: Cluster, now: float, shuffle: random.Random) -> None:
    """One round of allocation; each framework gets its new offers in one event."""
    free = {a.id: a.free for a in cluster.agents.values() if a.active and a.free}
    order = list(free)
    shuffle.shuffle(order)
    candidates = [_candidate(cluster, f, now) for f in cluster.frameworks.values() if f.connected]
    candidates = [c for c in candidates if c.roles]
    if not free or not candidates:
        return
    totals = {n: sum(a.total.scalar(n) for a in cluster.agents.values()) for n in ("cpus", "mem", "disk")}
    cluster.count("allocator/mesos/allocation_runs")
    made: dict[str, list[wire.Offer]] = defaultdict(list)
    for allotment in allocate({agent_id: free[agent_id] for agent_id in order}, candidates, totals, now):
        agent = cluster.agents[allotment.agent_id]
        offer_id = f"{cluster.id}-O{cluster.next_offer}"
        cluster.next_offer += 1
        agent.free = agent.free - allotment.resources
        offer = Offer(offer_id, allotment.framework_id, agent.id, allotment.role, allotment.resources, now)
        cluster.offers[offer_id] = offer
        cluster.frameworks[allotment.framework_id].allocations += 1
        made[allotment.framework_id].append(_as_wire(cluster, offer))
    for framework_id, offers in made.items():
        event = wire.Event(type="OFFERS", offers=wire.Offers(offers=offers))
        cluster.say(cluster.frameworks[framework_id], event)


def _candidate(cluster: Cluster, framework: Framework, now: float) -> Candidate:
    framework.filters = [f for f in framework.filters if f.until > now]
    held: dict[str, float] = defaultdict(float)
    parts = [t.resources for t in framework.tasks.values() if not t.released]
    parts += [o.resources for o in cluster.offers.values() if o.framework_id == framework.id]
    for part in parts:
        for name in ("cpus", "mem", "disk"):
            held[name] += part.scalar(name)
    return Candidate(
        framework.id,
        [role for role in framework.roles if role not in framework.suppressed],
        held,
        framework.filters,
        framework.allocations,
        framework.info.can("GPU_RESOURCES"),
    )


def _as_wire(cluster: Cluster, offer: Offer) -> wire.Offer:
    agent = cluster.agents[offer.agent_id]
    return wire.Offer(
        id=wire.ID(value=offer.id),
        framework_id=wire.ID(value=offer.framework_id),
        agent_id=wire.ID(value=agent.id),
        hostname=agent.info.hostname,
        url=wire.URL(
            scheme="http",
            address=wire.Address(hostname=agent.info.hostname, ip=agent.ip, port=agent.info.port),
            path="/slave(1)",
        ),
        resources=to_wire(offer.resources, offer.role),
        attributes=agent.info.attributes,
        allocation_info=wire.AllocationInfo(role=offer.role),
    )


def _give_back(cluster: Cluster, agent_id: str, resources: Resources) -> None:
    if agent := cluster.agents.get(agent_id):
        agent.free = agent.free + resources


def withdraw(cluster: Cluster, now: float, *, framework_id: str | None = None, agent_id: str | None = None) -> None:
    """Rescinds the offers of a framework or of an agent and gives their resources back."""
    for offer in list(cluster.offers.values()):
        if offer.framework_id == framework_id or offer.agent_id == agent_id:
            _rescind(cluster, offer)


def expire(cluster: Cluster, now: float) -> None:
    """Rescinds offers that were left unanswered for too long, where that is set."""
    limit = cluster.settings.offer_timeout
    for offer in list(cluster.offers.values()):
        if limit is not None and now - offer.made >= limit:
            _rescind(cluster, offer)


def _rescind(cluster: Cluster, offer: Offer) -> None:
    del cluster.offers[offer.id]
    _give_back(cluster, offer.agent_id, offer.resources)
    if framework := cluster.frameworks.get(offer.framework_id):
        event = wire.Event(type="RESCIND", rescind=wire.Rescind(offer_id=wire.ID(value=offer.id)))
        cluster.say(framework, event)


def refuse_seconds(filters: wire.Filters | None) -> float:
    """The protocol's 5 seconds where nothing usable is said."""
    seconds = filters.refuse_seconds if filters else None
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return DEFAULT_REFUSAL
    return min(seconds, LONGEST_REFUSAL)


def _refused(framework: Framework, place: tuple[str, str], left: Resources, seconds: float, now: float) -> None:
    if left and seconds > 0:
        framework.filters.append(Filter(*place, left, now + seconds))


def decline(cluster: Cluster, framework: Framework, call: wire.Decline, now: float) -> None:
    """Offers that are not the framework's, or not valid any more, are passed over."""
    seconds = refuse_seconds(call.filters)
    for offer in _take(cluster, framework, call.offer_ids):
        _give_back(cluster, offer.agent_id, offer.resources)
        _refused(framework, (offer.agent_id, offer.role), offer.resources, seconds, now)


def revive(framework: Framework, roles: Iterable[str]) -> None:
    """Forgets refusals and suppression, of these roles or of all."""
    named = set(roles) or set(framework.roles)
    framework.filters = [f for f in framework.filters if f.role not in named]
    framework.suppressed -= named


def suppress(framework: Framework, roles: Iterable[str]) -> None:
    framework.suppressed |= set(roles) or set(framework.roles)


def _take(cluster: Cluster, framework: Framework, ids: Iterable[wire.ID]) -> list[Offer]:
    taken = []
    for offer_id in ids:
        offer = cluster.offers.get(offer_id.value)
        if offer and offer.framework_id == framework.id:
            taken.append(cluster.offers.pop(offer_id.value))
    return taken


def accept(cluster: Cluster, framework: Framework, call: wire.Accept, now: float) -> None:
    """Runs the operations on what the offers hold; the rest goes back, refused for a while."""
    known = {o.value for o in call.offer_ids if (f := cluster.offers.get(o.value)) and f.framework_id == framework.id}
    offers = _take(cluster, framework, call.offer_ids)
    problem = _offers_problem(call.offer_ids, known, offers)
    if problem is not None:
        for offer in offers:
            _give_back(cluster, offer.agent_id, offer.resources)
        _all_lost(cluster, framework, call.operations, problem, now)
        return
    agent_id, role = offers[0].agent_id, offers[0].role
    left = total(offer.resources for offer in offers)
    for operation in call.operations:
        if operation.type == "LAUNCH" and operation.launch:
            for task in operation.launch.task_infos:
                left = _launch(cluster, framework, task, agent_id, left, now=now)
        elif operation.type == "LAUNCH_GROUP":
            _refuse_group(cluster, framework, operation, now)
        else:
            log.warning("framework %s: operation %s is not served, dropped", framework.id, operation.type)
    _give_back(cluster, agent_id, left)
    _refused(framework, (agent_id, role), left, refuse_seconds(call.filters), now)


def _offers_problem(ids: list[wire.ID], known: set[str], offers: list[Offer]) -> str | None:
    if not ids:
        return "No offers specified"
    if len({o.value for o in ids}) != len(ids):
        return "Duplicate offer in offer list"
    for offer_id in ids:
        if offer_id.value not in known:
            return f"Offer {offer_id.value} is no longer valid"
    if len({o.agent_id for o in offers}) > 1:
        return "Aggregated offers must belong to one single agent"
    if len({o.role for o in offers}) > 1:
        return "Aggregated offers must be allocated to the same role"
    return None


def _all_lost(
    cluster: Cluster, framework: Framework, operations: list[wire.Operation], problem: str, now: float
) -> None:
    state: wire.TaskState = "TASK_DROPPED" if framework.info.can("PARTITION_AWARE") else "TASK_LOST"
    for operation in operations:
        for task in operation.launch.task_infos if operation.launch else []:
            text = f"Task launched with invalid offers: {problem}"
            status = fresh_status(
                task.task_id.value, task.agent_id.value, state, text, "REASON_INVALID_OFFERS", now=now
            )
            say_status(cluster, framework, status)


def _refuse_group(cluster: Cluster, framework: Framework, operation: wire.Operation, now: float) -> None:
    """Task groups need the Mesos containerizer: each task is told so."""
    text = "Task groups are not supported by the agents of this cluster"
    for task in operation.launch_group.task_group.tasks if operation.launch_group else []:
        ids = (task.task_id.value, task.agent_id.value)
        status = fresh_status(*ids, "TASK_ERROR", text, "REASON_TASK_GROUP_INVALID", now=now)
        say_status(cluster, framework, status)


def _launch(
    cluster: Cluster, framework: Framework, info: wire.TaskInfo, agent_id: str, left: Resources, *, now: float
) -> Resources:
    """What is left of the offers afterwards."""
    if problem := task_problem(info, framework, agent_id, left):
        status = fresh_status(info.task_id.value, agent_id, "TASK_ERROR", problem, "REASON_TASK_INVALID", now=now)
        cluster.count("master/tasks_error")
        say_status(cluster, framework, status)
        return left
    want = wanted(info)
    agent = cluster.agents[agent_id]
    task = Task(msgspec.structs.replace(info, resources=info.resources), framework.id, agent_id, want)
    framework.tasks[task.id] = task
    agent.tasks[framework.id, task.id] = task
    announce_task(cluster, task)
    cluster.tell(agent, MasterMessage(type="RUN_TASK", run_task=RunTask(framework=framework.info, task=info)))
    return left - want
