"""`dcos package install --wait`: until the app runs and, where its framework has a plan, that is carried out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from tortie.cli.dcos.errors import DcosError, Refused, Unreachable
from tortie.cli.dcos.marathon_client import Marathon
from tortie.cli.dcos.session import Session, tell

FRAMEWORK = "DCOS_PACKAGE_FRAMEWORK_NAME"
PAUSE = 1.0
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
UNREGISTERED = b"service not found"
"""What the cluster's door says of a framework that it does not know, or not yet."""


def duration(text: str) -> float:
    """Seconds of such as 90s, 10m or 1h. Raises DcosError."""
    number, unit = (text[:-1], text[-1:]) if text[-1:] in UNITS else (text, "s")
    if not (number.isascii() and number.isdigit() and len(number) < 7):
        raise DcosError(f"--wait={text}: a time such as 90s, 10m or 1h is needed")
    return int(number) * UNITS[unit]


def wait(session: Session, app_id: str, seconds: float) -> None:
    """Tells each step once. Raises DcosError when it will not be ready, or is not in time: it goes on all the same."""
    ends, last = time.monotonic() + seconds, ""
    while missing := _missing(session, app_id):
        if time.monotonic() >= ends:
            raise DcosError(f"[{app_id}] is not ready after {seconds:g} s: {missing}. It goes on by itself.")
        if missing != last:
            tell(f"Waiting for [{app_id}]: {missing}")
            last = missing
        time.sleep(min(PAUSE, max(0.0, ends - time.monotonic())))
    tell(f"[{app_id}] is ready")


def _missing(session: Session, app_id: str) -> str:
    """A cluster that is away for a while is waited for, too."""
    try:
        return _looked(session, app_id)
    except Unreachable as error:
        return str(error)
    except Refused as error:
        if error.reply.status < 500:
            raise
        return str(error)


def _looked(session: Session, app_id: str) -> str:
    app = Marathon(session).app(app_id)
    if missing := of_app(app):
        return missing
    labels = app.get("labels")
    framework = labels.get(FRAMEWORK) if isinstance(labels, Mapping) else None
    if not framework:
        return ""
    reply = session.http.ask("GET", session.url(f"service/{quote(str(framework), safe='')}/v1/status"))
    if reply.status == 404 and UNREGISTERED not in reply.body:
        return ""  # a framework without a plan
    if reply.status != 200:
        return f"the framework {framework} does not answer yet"
    from tortie.cli.dcos.web import document

    return of_plan(document(reply))


def of_app(app: Mapping[str, Any]) -> str:
    """What an app of Marathon's still lacks; nothing when it is as it shall be."""
    wanted, running, healthy = (int(app.get(name) or 0) for name in ("instances", "tasksRunning", "tasksHealthy"))
    if running < wanted:
        failure = app.get("lastTaskFailure")
        why = failure.get("message") if isinstance(failure, Mapping) else None
        return f"{running} of {wanted} tasks run" + (f"; the last one ended: {why}" if why else "")
    if app.get("healthChecks") and healthy < wanted:
        return f"{healthy} of {wanted} tasks are healthy"
    return "its deployment is under way" if app.get("deployments") else ""


def of_plan(status: Any) -> str:
    """What a framework's plan still lacks. Raises DcosError for one that somebody must decide about."""
    state = status.get("state") if isinstance(status, Mapping) else None
    if state is None:
        return ""
    if state in ("stopped", "aborted", "undone"):
        raise DcosError(f"Its plan is {state}: {status.get('stopped') or 'somebody said so'}")
    trouble = str(status.get("trouble") or "")
    if state == "done" and not trouble and not status.get("looking"):
        return ""
    counts = status.get("counts")
    done, every = (counts.get("done"), counts.get("all")) if isinstance(counts, Mapping) else (None, None)
    words = [f"{done} of {every} hosts done"] if every else []
    words += [state] if state in ("paused", "undoing", "aborting") else []
    words += ["looking at what each host lacks"] if status.get("looking") else []
    return ", ".join([*words, *([trouble] if trouble else [])]) or "its plan is being made"
