"""The tables of Marathon's things: apps, tasks, deployments, groups, pods, what waits for offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tortie.cli.dcos.state import Document, members, part
from tortie.cli.dcos.table import NOTHING, Column, drawn, table

ACTIONS = {
    "ResolveArtifacts": "artifacts",
    "ScaleApplication": "scale",
    "StartApplication": "start",
    "StopApplication": "stop",
    "RestartApplication": "restart",
    "ScalePod": "scale",
    "StartPod": "start",
    "StopPod": "stop",
    "RestartPod": "restart",
    "KillAllOldTasksOf": "kill-tasks",
}
REASONS = {
    "ROLE": ("UnfulfilledRole",),
    "CONSTRAINTS": ("UnfulfilledConstraint",),
    "CPUS": ("InsufficientCpus",),
    "MEM": ("InsufficientMemory",),
    "DISK": ("InsufficientDisk",),
    "PORTS": ("InsufficientPorts",),
}


def app_table(apps: Sequence[Document], deployments: Sequence[Document], queue: Sequence[Document]) -> str:
    plans = {str(plan.get("id")): plan for plan in deployments}
    overdue = overdue_ids(queue)
    return drawn(
        (
            Column("ID", lambda a: a["id"], left=True),
            Column("MEM", lambda a: a["mem"]),
            Column("CPUS", lambda a: a["cpus"]),
            Column("TASKS", lambda a: f"{a['tasksRunning']}/{a['instances']}"),
            Column("HEALTH", _health),
            Column("DEPLOYMENT", lambda a: _deployment(a, plans)),
            Column("WAITING", lambda a: a["id"] in overdue, left=True),
            Column("CONTAINER", lambda a: a["container"]["type"] if a.get("container") else "mesos"),
            Column("CMD", lambda a: a["cmd"] if a.get("cmd") is not None else a.get("args"), left=True, limit=35),
        ),
        apps,
    )


def overdue_ids(queue: Sequence[Document]) -> set[str]:
    """Of those that wait for offers: their delay is over."""
    return {str(queued_id(entry)) for entry in queue if part(entry, "delay").get("overdue")}


def queued_id(entry: Document) -> Any:
    return (part(entry, "app") or part(entry, "pod")).get("id")


def _health(app: Document) -> str:
    return f"{app['tasksHealthy']}/{app['tasksRunning']}" if app.get("healthChecks") else NOTHING


def _deployment(app: Document, plans: Mapping[str, Document]) -> str:
    current = [
        action
        for own in members(app, "deployments")
        if str(own.get("id")) in plans
        for action in members(plans[str(own.get("id"))], "currentActions")
        if action.get("app") == app["id"]
    ]
    actions = [_action(action) for action in current]
    if len(actions) < 2:
        return actions[0] if actions else NOTHING
    return f"({', '.join(actions)})"


def _action(action: Document) -> str:
    """A name of a later Marathon is shown as it is."""
    name = action.get("action") or action.get("type")
    return ACTIONS.get(str(name), str(name))


def task_table(tasks: Sequence[Document]) -> str:
    return drawn(
        (
            Column("APP", lambda t: t["appId"], left=True),
            Column("HEALTHY", lambda t: all(check["alive"] for check in t.get("healthCheckResults") or () if check)),
            Column("STARTED", lambda t: t.get("startedAt", "N/A")),
            Column("HOST", lambda t: t["host"]),
            Column("ID", lambda t: t["id"], left=True),
        ),
        tasks,
    )


def deployment_table(deployments: Sequence[Document]) -> str:
    return drawn(
        (
            Column("APP", lambda d: "\n".join(d.get("affectedApps") or ()) or "-", left=True),
            Column("POD", lambda d: "\n".join(d.get("affectedPods") or ()) or "-", left=True),
            Column("ACTION", _actions, left=True),
            Column("PROGRESS", lambda d: f"{d['currentStep'] - 1}/{d['totalSteps']}"),
            Column("ID", lambda d: d["id"], left=True),
        ),
        deployments,
    )


def _actions(deployment: Document) -> str:
    actions = members(deployment, "currentActions")
    named = [(action.get("app") or action.get("pod"), _action(action)) for action in actions]
    several = len({name for name, _ in named}) > 1
    return "\n".join("N/A" if name is None else f"{what} {name}" if several else what for name, what in named)


def group_table(groups: Sequence[Document]) -> str:
    """Groups inside groups have lines of their own; each counts the apps of all below it."""
    found: list[tuple[str, int]] = []
    for group in groups:
        _count(group, found)
    return drawn((Column("ID", lambda g: g[0], left=True), Column("APPS", lambda g: g[1])), found)


def _count(group: Document, found: list[tuple[str, int]]) -> int:
    count = len(members(group, "apps")) + sum(_count(below, found) for below in members(group, "groups"))
    found.append((str(group.get("id")), count))
    return count


def pod_table(pods: Sequence[Document], queue: Sequence[Document]) -> str:
    overdue = overdue_ids(queue)
    return drawn(
        (
            Column("ID+TASKS", _with_containers, left=True),
            Column("INSTANCES", lambda p: len(p.get("instances") or ())),
            Column("VERSION", lambda p: p["spec"].get("version", "-"), left=True),
            Column("STATUS", lambda p: p["status"], left=True),
            Column("STATUS SINCE", lambda p: p["statusSince"], left=True),
            Column("WAITING", lambda p: p["id"] in overdue, left=True),
        ),
        pods,
    )


def _with_containers(pod: Document) -> str:
    names = sorted(str(container["name"]) for container in pod["spec"]["containers"])
    return str(pod["id"]) + "".join(f"\n |-{name}" for name in names)


def queue_table(queue: Sequence[Document]) -> str:
    def offers(key: str) -> Any:
        return lambda entry: part(entry, "processedOffersSummary").get(key, NOTHING)

    return drawn(
        (
            Column("ID", queued_id, left=True),
            Column("SINCE", lambda e: e.get("since", NOTHING), left=True),
            Column("INSTANCES TO LAUNCH", lambda e: e.get("count", NOTHING), left=True),
            Column("WAITING", lambda e: part(e, "delay").get("overdue", NOTHING), left=True),
            Column("PROCESSED OFFERS", offers("processedOffersCount"), left=True),
            Column("UNUSED OFFERS", offers("unusedOffersCount"), left=True),
            Column("LAST UNUSED OFFER", offers("lastUnusedOfferAt"), left=True),
            Column("LAST USED OFFER", offers("lastUsedOfferAt"), left=True),
        ),
        queue,
    )


def summary_table(entry: Document) -> str:
    """What an app asks for beside how many offers had it."""
    summary = members(entry["processedOffersSummary"], "rejectSummaryLastOffers")
    asked = _asked(entry)
    rows = []
    for name, (reason, *_) in REASONS.items():
        counted: Document = next((one for one in summary if one.get("reason") == reason), {})
        processed = _number(counted, "processed")
        matched = processed - _number(counted, "declined")
        share = f"{100 * matched / processed:0.2f}%" if processed else NOTHING
        rows.append((name, asked[name], f"{matched} / {processed}", share))
    headings = ("RESOURCE", "REQUESTED", "MATCHED", "PERCENTAGE")
    return table(headings, rows, left=headings)


def _asked(entry: Document) -> dict[str, Any]:
    app = part(entry, "app")
    if app:
        values = {name: app.get(name.lower(), NOTHING) for name in ("CONSTRAINTS", "CPUS", "MEM", "DISK", "PORTS")}
        return {"ROLE": app.get("acceptedResourceRoles") or "[*]", **values}
    pod = part(entry, "pod")
    placement = part(part(pod, "scheduling"), "placement")
    parts = [part(container, "resources") for container in members(pod, "containers")]
    parts.append(part(pod, "executorResources"))
    sums = {name: sum(_number(part, name.lower()) for part in parts) for name in ("CPUS", "MEM", "DISK")}
    endpoints = [end for container in members(pod, "containers") for end in members(container, "endpoints")]
    return {
        "ROLE": placement.get("acceptedResourceRoles") or "[*]",
        "CONSTRAINTS": placement.get("constraints", NOTHING),
        **sums,
        "PORTS": [end.get("hostPort") for end in endpoints],
    }


def _number(document: Document, name: str) -> int | float:
    found = document.get(name)
    return found if isinstance(found, int | float) else 0


def details_table(entry: Document) -> str:
    """The last offers that were not used, and what each of them lacked."""

    def had(*reasons: str) -> Any:
        return lambda one: "-" if set(reasons) & set(one.get("reason") or ()) else "ok"

    return drawn(
        (
            Column("HOSTNAME", lambda one: part(one, "offer").get("hostname", NOTHING), left=True),
            *(Column(name, had(*reasons)) for name, reasons in REASONS.items()),
            Column("RECEIVED", lambda one: one.get("timestamp", NOTHING), left=True),
        ),
        members(entry, "lastUnusedOffers"),
    )
