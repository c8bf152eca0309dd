"""`dcos marathon about`, `deployment`, `task` and `debug`: what is going on."""

from __future__ import annotations

import sys
import time
from typing import Any
from urllib.parse import quote

from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.grammar import Line
from tortie.cli.dcos.marathon_apps import whole
from tortie.cli.dcos.marathon_client import Marathon, full_id
from tortie.cli.dcos.session import Session, say, show
from tortie.cli.dcos.state import members


def about(session: Session, line: Line) -> int:
    show(Marathon(session).get("v2/info"))
    return 0


# -- deployments -------------------------------------------------------------------------------------------------------


def _deployments(marathon: Marathon) -> list[dict[str, Any]]:
    return members({"deployments": marathon.get("v2/deployments")}, "deployments")


def deployments(session: Session, line: Line) -> int:
    app = line.word("<app-id>")
    found = _deployments(Marathon(session))
    if app is not None:
        found = [one for one in found if full_id(app) in (one.get("affectedApps") or ())]
    if line.has("--json"):
        show(found)
        return 0
    if not found:
        raise DcosError("There are no deployments" + (f" for '{app}'" if app else ""))
    from tortie.cli.dcos.marathon_tables import deployment_table

    say(deployment_table(found))
    return 0


def stop(session: Session, line: Line) -> int:
    """Nothing is undone."""
    Marathon(session).call("DELETE", _deployment(line), force="true")
    return 0


def rollback(session: Session, line: Line) -> int:
    show(Marathon(session).ask("DELETE", _deployment(line)))
    return 0


def _deployment(line: Line) -> str:
    return f"v2/deployments/{quote(line.need('<deployment-id>'), safe='')}"


def watch(session: Session, line: Line) -> int:
    """Until it has ended, or was shown often enough."""
    marathon, wanted = Marathon(session), line.need("<deployment-id>")
    left = None if line.value("--max-count") is None else whole(str(line.value("--max-count")))
    pause = whole(line.value("--interval") or "1")
    if pause < 0:
        raise DcosError(f"The interval must not be negative: {pause}")
    while left is None or left > 0:
        found = next((one for one in _deployments(marathon) if one.get("id") == wanted), None)
        if found is None:
            return 0
        if sys.stdout.isatty():
            print("\x1b[H\x1b[2J", end="")
        say(f"Deployment update time: {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} \n")
        show(found)
        sys.stdout.flush()
        left = None if left is None else left - 1
        if left != 0:
            time.sleep(pause)
    return 0


# -- tasks -------------------------------------------------------------------------------------------------------------


def tasks(session: Session, line: Line) -> int:
    app = line.word("<app-id>")
    found = members(Marathon(session).get("v2/tasks"), "tasks")
    if app is not None:
        found = [task for task in found if task.get("appId") == full_id(app)]
    if line.has("--json"):
        show(found)
        return 0
    from tortie.cli.dcos.marathon_tables import task_table

    say(task_table(found))
    return 0


def show_task(session: Session, line: Line) -> int:
    show(_one(members(Marathon(session).get("v2/tasks"), "tasks"), line.need("<task-id>")))
    return 0


def stop_task(session: Session, line: Line) -> int:
    wanted = line.need("<task-id>")
    wipe = {"wipe": "true"} if line.has("--wipe") else {}
    said = Marathon(session).documented("POST", "v2/tasks/delete", {"ids": [wanted]}, **wipe)
    show(_one(members(said, "tasks"), wanted))
    return 0


def _one(tasks: list[dict[str, Any]], wanted: str) -> dict[str, Any]:
    found = next((task for task in tasks if task.get("id") == wanted), None)
    if found is None:
        raise DcosError(f"Task '{wanted}' does not exist")
    return found


def kill_tasks(session: Session, line: Line) -> int:
    wanted = list(line.words("<task-ids>"))
    if not wanted:
        raise DcosError("Please provide at least one task ID")
    parameters = {name: "true" for name in ("scale", "wipe") if line.has(f"--{name}")}
    said = Marathon(session).documented("POST", "v2/tasks/delete", {"ids": wanted}, **parameters)
    killed = [str(task.get("id")) for task in members(said, "tasks")]
    if line.has("--json"):
        show(said)
    elif line.has("--scale"):
        say(f"Created deployment: {said.get('deploymentId')}")
    else:
        say(f"Killed tasks: {killed}")
    if not killed and not line.has("--scale"):
        raise DcosError("Failed to kill tasks. task-ids seems to be unknown")
    return 0


# -- what waits for offers ---------------------------------------------------------------------------------------------


def queue(session: Session, line: Line) -> int:
    found = members(Marathon(session).get("v2/queue"), "queue")
    if line.has("--json"):
        show(found)
        return 0
    from tortie.cli.dcos.marathon_tables import queue_table

    say(queue_table(found))
    return 0


def summary(session: Session, line: Line) -> int:
    from tortie.cli.dcos.marathon_tables import summary_table

    found = _queued(session, line)
    if not found.get("processedOffersSummary"):
        raise DcosError("This command is not supported on your cluster")
    return _shown(line, found, summary_table)


def details(session: Session, line: Line) -> int:
    from tortie.cli.dcos.marathon_tables import details_table

    return _shown(line, _queued(session, line), details_table)


def _shown(line: Line, found: dict[str, Any], table: Any) -> int:
    if line.has("--json"):
        show(found)
    else:
        say(table(found))
    return 0


def _queued(session: Session, line: Line) -> dict[str, Any]:
    from tortie.cli.dcos.marathon_tables import queued_id

    wanted = full_id(line.need("<app-id>"))
    entries = members(Marathon(session).get("v2/queue", embed="lastUnusedOffers"), "queue")
    found = next((entry for entry in entries if queued_id(entry) == wanted), None)
    if found is None:
        raise DcosError("No apps found in Marathon queue")
    return found
