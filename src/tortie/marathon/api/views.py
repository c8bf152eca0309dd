"""What clients see: apps with counts and tasks, groups, deployments, the queue. Pure: the world in, JSON out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from statistics import median
from typing import Any

import msgspec

from tortie.marathon.brain import Brain
from tortie.marathon.clock import iso
from tortie.marathon.deploy.instance import STAGING, Instance
from tortie.marathon.deploy.plan import Plan
from tortie.marathon.events import show_actions, show_addresses
from tortie.marathon.launcher import Launcher
from tortie.marathon.model import ids
from tortie.marathon.model.app import App
from tortie.marathon.model.show import show_app
from tortie.marathon.model.tree import Tree
from tortie.marathon.offers.match import role_of
from tortie.marathon.verdict import Health
from tortie.marathon.world import TaskFailure, World
from tortie.wire import mesos

ALIASES = {"failures": ("tasks", "lastTaskFailure", "deployments"), "tasks": ("tasks", "deployments")}


def embeds(given: Iterable[str]) -> frozenset[str]:
    """`apps.tasks`, `group.apps.counts` and the like without their prefixes, aliases spelled out."""
    found: set[str] = set()
    for item in given:
        name = item.removeprefix("group.").removeprefix("apps.").removeprefix("app.")
        found.update(ALIASES.get(name, (name,)))
    return frozenset(found)


def counts(instances: Collection[Instance]) -> dict[str, int]:
    return {
        "tasksStaged": sum(i.state == STAGING for i in instances),
        "tasksRunning": sum(i.running for i in instances),
        "tasksHealthy": sum(i.healthy is True for i in instances),
        "tasksUnhealthy": sum(i.healthy is False for i in instances),
    }


Results = Mapping[str, Mapping[int, Health]]


def show_task(
    instance: Instance, app: App | None, results: Results | None = None, *, service_ports: bool = True
) -> dict[str, Any]:
    """`results`: of the health checks Marathon does itself; those of Mesos are known by their verdict only."""
    state = "TASK_KILLING" if instance.leaving else instance.state
    shown: dict[str, Any] = {
        "id": instance.id,
        "appId": instance.app,
        "host": instance.host,
        "slaveId": instance.agent,
        "state": state,
        "ports": list(instance.ports),
        "startedAt": iso(instance.started_at) if instance.started_at is not None else None,
        "stagedAt": iso(instance.staged_at),
        "version": instance.version,
        "ipAddresses": show_addresses(instance),
        "localVolumes": [],
    }
    if service_ports and app is not None and app.service_ports:
        shown["servicePorts"] = list(app.service_ports)
    if app is not None and app.health_checks:
        found = [show_result(instance.id, health) for health in (results or {}).get(instance.id, {}).values()]
        if not found and instance.healthy is not None:
            found = [{"alive": instance.healthy, "taskId": instance.id, "instanceId": instance.id}]
        if found:
            shown["healthCheckResults"] = found
    return shown


def show_result(instance_id: str, health: Health) -> dict[str, Any]:
    def at(moment: float | None) -> str | None:
        return None if moment is None else iso(moment)

    return {
        "alive": health.alive,
        "consecutiveFailures": health.failures,
        "firstSuccess": at(health.first_success),
        "lastFailure": at(health.last_failure),
        "lastSuccess": at(health.last_success),
        "lastFailureCause": health.last_cause,
        "taskId": instance_id,
        "instanceId": instance_id,
    }


def show_failure(failure: TaskFailure) -> dict[str, Any]:
    return {
        "appId": failure.app_id,
        "host": failure.host,
        "message": failure.message,
        "state": failure.state,
        "taskId": failure.task_id,
        "timestamp": failure.timestamp,
        "version": failure.version,
        "slaveId": failure.slave_id,
    }


def show_readiness(brain: Brain, app: App) -> list[dict[str, Any]]:
    """What the app's tasks answered to its readiness check; the answer itself only where it is to be kept."""
    found = []
    for instance in sorted(brain.world.instances_of(app.id), key=lambda i: i.id):
        made_from, result = brain.world.definition_of(instance), brain.asked.get(instance.id)
        if made_from is None or result is None:
            continue
        for check in made_from.readiness_checks:
            shown: dict[str, Any] = {"name": check.name, "taskId": instance.id, "ready": result.ready}
            if check.preserve_last_response:
                shown["lastResponse"] = msgspec.to_builtins(result.response)
            found.append(shown)
    return found


def app_view(brain: Brain, app: App, embed: Collection[str], now: float) -> dict[str, Any]:
    """The app with counts and deployments, and what `embed` asks for."""

    def shown(instance: Instance) -> Any:
        return show_task(instance, app, brain.results)

    return show_app(app) | beside(brain, app, embed, now, shown)


def beside(
    brain: Brain, app: App, embed: Collection[str], now: float, task: Callable[[Instance], Any]
) -> dict[str, Any]:
    """What is shown of an app beside its definition; `task` shows one of its tasks."""
    world = brain.world
    instances = sorted(world.instances_of(app.id), key=lambda i: i.id)
    shown: dict[str, Any] = dict(counts(instances))
    shown["deployments"] = [{"id": plan.id} for plan in world.plans.values() if app.id in plan.affected]
    if "tasks" in embed:
        shown["tasks"] = [task(instance) for instance in instances]
    if "lastTaskFailure" in embed and (failure := world.failures.get(app.id)):
        shown["lastTaskFailure"] = show_failure(failure)
    if "readiness" in embed:
        shown["readinessCheckResults"] = show_readiness(brain, app)
    if "taskStats" in embed:
        shown["taskStats"] = task_stats(app, instances, now)
    return shown


def task_stats(app: App, instances: Collection[Instance], now: float) -> dict[str, Any]:
    classes = {
        "startedAfterLastScaling": [i for i in instances if i.version >= app.scaled_version],
        "withLatestConfig": [i for i in instances if i.version >= app.config_version],
        "withOutdatedConfig": [i for i in instances if i.version < app.config_version],
        "totalSummary": list(instances),
    }
    return {name: {"stats": _stats(found, now)} for name, found in classes.items() if found}


def _stats(instances: Collection[Instance], now: float) -> dict[str, Any]:
    counted = {key.removeprefix("tasks").lower(): value for key, value in counts(instances).items()}
    lives = [now - i.started_at for i in instances if i.started_at is not None]
    stats: dict[str, Any] = {"counts": counted}
    if lives:
        stats["lifeTime"] = {"averageSeconds": sum(lives) / len(lives), "medianSeconds": median(lives)}
    return stats


def group_view(brain: Brain, tree: Tree, group: str, embed: Collection[str] | None, now: float) -> dict[str, Any]:
    """`embed` None: groups and apps, all the way down; given: only what it names."""
    shown: dict[str, Any] = {"id": group, "dependencies": list(tree.groups.get(group, ())), "version": tree.version}
    detail = frozenset(embed or ())
    if embed is None or any(name not in ("groups", "pods") for name in detail):
        shown["apps"] = [_group_app(brain, app, detail, now) for app in tree.apps_of(group)]
    if embed is None or "groups" in detail:
        shown["groups"] = [group_view(brain, tree, below, embed, now) for below in tree.groups_of(group)]
    if embed is None or "pods" in detail:
        shown["pods"] = []
    return shown


def _group_app(brain: Brain, app: App, embed: Collection[str], now: float) -> dict[str, Any]:
    """Apps of groups carry nothing that was not asked for."""
    shown = app_view(brain, app, embed, now)
    if "counts" not in embed:
        for key in counts(()):
            del shown[key]
    if "deployments" not in embed:
        del shown["deployments"]
    return shown


def plan_view(plan: Plan, brain: Brain) -> dict[str, Any]:
    def waits_for(app_id: str) -> list[dict[str, Any]]:
        app = brain.world.tree.apps.get(app_id)
        return show_readiness(brain, app) if app is not None else []

    shown = show_actions(plan.actions)
    current = [{**action, "readinessCheckResults": waits_for(action["app"])} for action in shown]
    return {
        "id": plan.id,
        "version": plan.version,
        "affectedApps": sorted(plan.affected),
        "affectedPods": [],
        "steps": [{"actions": show_actions(step)} for step in plan.steps],
        "currentActions": current,
        "currentStep": min(plan.current + 1, len(plan.steps)),
        "totalSteps": len(plan.steps),
    }


def queue_view(brain: Brain, launcher: Launcher, now: float, *, last_offers: bool = False) -> list[dict[str, Any]]:
    """Apps with something left to launch, and why they wait."""
    found = []
    for app_id in sorted(brain.demand):
        app, waiting = brain.world.tree.apps.get(app_id), launcher.waiting.get(app_id)
        if app is None or waiting is None:
            continue
        left = brain.delay_left(app_id, now)
        summary: dict[str, Any] = {
            "processedOffersCount": waiting.processed,
            "unusedOffersCount": waiting.unused,
            "rejectSummaryLastOffers": waiting.summary(),
            "rejectSummaryLaunchAttempt": waiting.summary(),
        }
        if waiting.unused_at is not None:
            summary["lastUnusedOfferAt"] = iso(waiting.unused_at)
        if waiting.used_at is not None:
            summary["lastUsedOfferAt"] = iso(waiting.used_at)
        entry = {
            "app": show_app(app),
            "count": brain.demand[app_id],
            "since": iso(waiting.since),
            "delay": {"timeLeftSeconds": int(left + 0.999), "overdue": left <= 0},
            "processedOffersSummary": summary,
        }
        if last_offers:
            entry["lastUnusedOffers"] = [
                {"offer": show_offer(r.offer), "reason": list(r.reasons), "timestamp": iso(r.at)}
                for r in waiting.refusals.values()
            ]
        found.append(entry)
    return found


def show_offer(offer: mesos.Offer) -> dict[str, Any]:
    resources = []
    for resource in offer.resources:
        shown: dict[str, Any] = {"name": resource.name, "role": role_of(resource)}
        if resource.scalar is not None:
            shown["scalar"] = resource.scalar.value
        if resource.ranges is not None:
            shown["ranges"] = [{"begin": r.begin, "end": r.end} for r in resource.ranges.range]
        if resource.set is not None:
            shown["set"] = resource.set.item
        resources.append(shown)
    attributes = [{"name": a.name, **_attribute(a)} for a in offer.attributes]
    about = {"id": offer.id.value, "hostname": offer.hostname, "agentId": offer.agent_id.value}
    return about | {"resources": resources, "attributes": attributes}


def _attribute(attribute: mesos.Attribute) -> dict[str, Any]:
    if attribute.text is not None:
        return {"text": attribute.text.value}
    if attribute.scalar is not None:
        return {"scalar": attribute.scalar.value}
    if attribute.ranges is not None:
        return {"ranges": [{"begin": r.begin, "end": r.end} for r in attribute.ranges.range]}
    return {"set": attribute.set.item if attribute.set is not None else []}


def tasks_text(world: World) -> str:
    """One line per app and service port: `safe_id<TAB>port<TAB>host:port<TAB>`, running tasks only."""
    lines = []
    for key in sorted(world.tree.apps):
        app = world.tree.apps[key]
        running = sorted((i for i in world.instances_of(key) if i.running), key=lambda i: i.id)
        if not app.service_ports:
            hosts = "".join(f"{i.host} " for i in running)
            lines.append(f"{ids.safe(key)}\t \t{hosts}\n")
            continue
        for index, port in enumerate(app.service_ports):
            ends = "".join(f"{i.host}:{i.ports[index]}\t" for i in running if index < len(i.ports))
            lines.append(f"{ids.safe(key)}\t{port}\t{ends}\n")
    return "".join(lines)
