"""Logs of clusters whose hosts keep them in a journal (capability LOGGING)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from tortie.cli.dcos import state as of
from tortie.cli.dcos import urls
from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.mesos import Mesos
from tortie.cli.dcos.session import Session

SILENCE = 3600.0
"""Seconds; a journal without news says nothing."""


def task_logs(
    session: Session,
    mesos: Mesos,
    state: of.Document,
    tasks: Sequence[of.Document],
    file: str,
    lines: int,
    *,
    follow: bool,
) -> int:
    """Of the first of the tasks: the others have streams of their own."""
    if file not in ("stdout", "stderr"):
        raise DcosError(f"Invalid file {file}. dcos-log only supports stdout/stderr")
    task = tasks[0]
    executor = task.get("executor_id") or task.get("id")
    path = (
        f"system/v1/agent/{task.get('slave_id')}/logs/v1/{'stream' if follow else 'range'}"
        f"/framework/{task.get('framework_id')}/executor/{executor}"
        f"/container/{of.container_path(of.container(task))}"
    )
    url = urls.query(session.url(path), {"skip_prev": lines, "filter": f"STREAM:{file.upper()}"})
    return print_journal(session, url, follow=follow)


def node_logs(
    session: Session, agent: str | None, lines: int, component: str | None, filters: Sequence[str], *, follow: bool
) -> int:
    """Of an agent's host, or of the leading master's."""
    chosen = list(filters)
    if component:
        chosen.append(f"_SYSTEMD_UNIT:{component if '.' in component else component + '.service'}")
    for one in chosen:
        if len(one.split(":")) != 2:
            raise DcosError(f"Invalid filter parameter {one}. Must be --filter=key:value")
    where = f"agent/{agent}" if agent else "leader/mesos"
    query = [("skip_prev", str(lines)), *(("filter", one) for one in chosen)]
    url = urls.query_of(session.url(f"system/v1/{where}/logs/v1/{'stream' if follow else 'range'}/"), query)
    return print_journal(session, url, follow=follow)


def print_journal(session: Session, url: str, *, follow: bool) -> int:
    if follow:
        for line in session.http.lines(url, {"Accept": "text/event-stream"}, SILENCE):
            if line.startswith("data:"):
                _print_entry(line.removeprefix("data:").strip())
        return 0
    reply = session.http.call("GET", url, headers={"Accept": "text/plain"})
    if reply.status == 204:
        raise DcosError("No logs found")
    print(reply.text(), end="" if reply.text().endswith("\n") else "\n")
    return 0


def _print_entry(data: str) -> None:
    try:
        entry = json.loads(data) if data else {}
        message = entry.get("fields", {}).get("MESSAGE")
        moment = datetime.fromtimestamp(entry.get("realtime_timestamp", 0) / 1_000_000)
    except (ValueError, AttributeError, TypeError, OverflowError) as error:
        raise DcosError(f"Could not deserialize log entry to json: {data}") from error
    if message is not None:
        print(f"{moment:%Y-%m-%d %H:%M:%S}: {message}", flush=True)
