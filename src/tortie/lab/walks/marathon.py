"""What a walk asks of Marathon, as somebody on the laptop would."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tortie.lab.plan import MASTER
from tortie.lab.walks.walk import PATIENCE, StepFailed, Walk

MARATHON = f"http://{MASTER}:8080"


def as_json(walk: Walk, url: str) -> Any:
    """What `url` answers; an empty object when it does not."""
    ran = walk.lab.hosts["laptop"].run(["curl", "-sS", "--max-time", "60", url])
    return json.loads(ran.stdout or "{}")


def running(walk: Walk) -> dict[str, int]:
    """How many tasks of each app run."""
    apps = as_json(walk, f"{MARATHON}/v2/apps?embed=apps.counts").get("apps", [])
    return {app["id"]: app.get("tasksRunning", 0) for app in apps}


def tasks(walk: Walk, app: str) -> list[dict[str, Any]]:
    """The tasks of one app as Marathon shows them."""
    listed: list[dict[str, Any]] = as_json(walk, f"{MARATHON}/v2/apps/{app}/tasks").get("tasks", [])
    return listed


def deployments(walk: Walk) -> int:
    return len(as_json(walk, f"{MARATHON}/v2/deployments"))


def listed_apps(walk: Walk) -> list[list[str]]:
    """The rows of `dcos marathon app list`, each as its columns."""
    printed = walk.lab.hosts["laptop"].run(["dcos", "marathon", "app", "list"]).stdout
    return [line.split(None, 8) for line in map(str.strip, printed.splitlines()[1:])]


def why_not(walk: Walk) -> str:
    """What runs, and why the rest waits."""
    queue = json.dumps(as_json(walk, f"{MARATHON}/v2/queue"))[:2000]
    return f"{running(walk)} tasks run: {queue}"


def wait_running(walk: Walk, wanted: Mapping[str, int]) -> None:
    """Until each of these apps has so many tasks that run, and nothing is being deployed. StepFailed when not."""

    def there() -> bool:
        now = running(walk)
        return all(now.get(app) == count for app, count in wanted.items()) and not deployments(walk)

    if not walk.wait(f"{sum(wanted.values())} tasks to run", there, PATIENCE):
        raise StepFailed(f"step {walk.step_key}: after {PATIENCE:g} s {why_not(walk)}")
