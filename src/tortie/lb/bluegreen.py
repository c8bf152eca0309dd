"""Blue-green deployments: the apps of one HAPROXY_DEPLOYMENT_GROUP as one app, as marathon-lb merges them. Pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

import msgspec

from tortie.wire.marathon_apps import App, Task

GROUP = "HAPROXY_DEPLOYMENT_GROUP"
ALT_PORT = "HAPROXY_DEPLOYMENT_ALT_PORT"
COLOUR = "HAPROXY_DEPLOYMENT_COLOUR"
STARTED_AT = "HAPROXY_DEPLOYMENT_STARTED_AT"
TARGET = "HAPROXY_DEPLOYMENT_TARGET_INSTANCES"
NEW_INSTANCES = "HAPROXY_DEPLOYMENT_NEW_INSTANCES"

_NEVER = datetime.min.replace(tzinfo=UTC)


def merged(apps: Collection[App], said: list[str]) -> tuple[list[App], frozenset[str]]:
    """Apps by id, those of one group as one app `/GROUP`; and the tasks whose servers are to take nothing new.

    The older app's labels and ports stand until it is gone. As many of its tasks are set aside as the newer one can
    replace while the target number still serves.
    """
    groups: dict[str, App] = {}
    plain: list[App] = []
    disabled: set[str] = set()
    for app in sorted(apps, key=lambda app: app.id):
        group = (app.labels or {}).get(GROUP, "").strip().strip("/")
        if not group:
            plain.append(app)
            continue
        member = msgspec.structs.replace(app, id=f"/{group}")
        if group not in groups:
            groups[group] = member
            continue
        try:
            groups[group] = _together(groups[group], member, disabled)
        except ValueError as error:
            said.append(f"{app.id}: left out of deployment group {group}: {error}")
    taken = {f"/{group}" for group in groups}
    for app in plain:
        if app.id in taken:
            said.append(f"{app.id}: left out: a deployment group has its name")
    ordered = sorted([*(app for app in plain if app.id not in taken), *groups.values()], key=lambda app: app.id)
    return ordered, frozenset(disabled)


def _together(one: App, other: App, disabled: set[str]) -> App:
    old, new = (one, other) if started_at(one) < started_at(other) else (other, one)
    if number(new, NEW_INSTANCES, 0) and _scaled_at(old) > _scaled_at(new):
        # Both are to stay: the one that was scaled last is the newer one.
        old, new = new, old
    target = number(new, TARGET, 1)
    old_tasks = sorted(old.tasks or (), key=lambda task: task.id)
    ready = _healthy(new)
    spare = max(0, ready + old.instances - target)
    disabled.update(task.id for task in old_tasks[: min(ready, spare)])
    return msgspec.structs.replace(old, tasks=[*old_tasks, *(new.tasks or ())])


def _healthy(app: App) -> int:
    """Its tasks that can take visitors. The original counts instances that do not run yet, too."""
    if not app.health_checks:
        return sum(task.state == "TASK_RUNNING" or not (task.state or not task.started_at) for task in app.tasks or ())
    return sum(_alive(task) for task in app.tasks or ())


def _alive(task: Task) -> bool:
    return any(result is not None and bool(result.alive) for result in task.health_check_results or ())


def started_at(app: App) -> datetime:
    """When the app's deployment began; long ago where no label says it. ValueError when it is no time."""
    return moment((app.labels or {}).get(STARTED_AT, ""), STARTED_AT)


def _scaled_at(app: App) -> datetime:
    return moment(app.version_info.last_scaling_at if app.version_info else "", "versionInfo.lastScalingAt")


def moment(text: str, name: str) -> datetime:
    if not text.strip():
        return _NEVER
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise ValueError(f"{name}: {text!r} is not a time") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def number(app: App, label: str, default: int) -> int:
    """The label as a number from 0 on. ValueError names it."""
    text = (app.labels or {}).get(label)
    if text is None:
        return default
    if not (text.isascii() and text.strip().isdecimal() and len(text) < 10):
        raise ValueError(f"label {label}: {text!r} is not a number")
    return int(text)
