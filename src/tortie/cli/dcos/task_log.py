"""`dcos task log`: the end of a task's files, from its agent, or from its host's journal where the cluster has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tortie.cli.dcos import state as of
from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.following import NO_FILES, Remote, print_ends
from tortie.cli.dcos.grammar import Line
from tortie.cli.dcos.mesos import Mesos
from tortie.cli.dcos.session import Session, tell

LINES = 10


def log(session: Session, line: Line) -> int:
    return print_log(
        session,
        line.word("<task>"),
        line.word("<file>") or "stdout",
        lines=count(line.value("--lines")),
        follow=line.has("--follow"),
        completed=line.has("--completed"),
        all_=line.has("--all"),
    )


def print_log(
    session: Session,
    wanted: str | None,
    file: str,
    *,
    lines: int = LINES,
    follow: bool = False,
    completed: bool = False,
    all_: bool = False,
) -> int:
    mesos = Mesos(session)
    state = mesos.state()
    tasks = of.meant(state, wanted, completed=completed, all_=all_)
    if not tasks:
        raise DcosError(none_found(state, wanted, completed=completed))
    if mesos.logging() and _strategy(session) == "journald":
        from tortie.cli.dcos.journal import task_logs

        return task_logs(session, mesos, state, tasks, file, lines, follow=follow)
    remotes = [remote for task in tasks if (remote := _remote(mesos, state, task, file))]
    if not remotes:
        raise DcosError(NO_FILES)
    return print_ends(session.http, remotes, lines, follow=follow)


def count(text: str | None) -> int:
    """Raises DcosError for what is no number of lines."""
    if text is None:
        return LINES
    if not (text.isascii() and text.isdigit()):
        raise DcosError(f"Error parsing string as int: --lines={text} is no number of lines")
    return int(text)


def none_found(state: of.Document, wanted: str | None, *, completed: bool) -> str:
    if not wanted:
        return "No tasks found. Exiting."
    ended = [] if completed else of.tasks(state, wanted, completed=True)
    if not ended:
        return "No matching tasks. Exiting."
    there = "is 1 matching completed task" if len(ended) == 1 else f"are {len(ended)} matching completed tasks"
    return f"No running tasks match ID [{wanted}]; however, there {there}. Run with --completed to see these logs."


def _remote(mesos: Mesos, state: of.Document, task: of.Document, file: str) -> Remote | None:
    """None for a task whose agent is away, or does not know it any more."""
    name = str(task.get("id"))
    try:
        agent = of.agent(state, str(task.get("slave_id")))
        executor = of.executor(mesos.agent_state(agent), name)
    except DcosError as error:
        tell(f"Error accessing slave: {error}")
        return None
    if executor is None:
        return None
    return Remote(f"task:{name}:{file}", mesos.files_url(agent, "read.json"), f"{of.sandbox(executor, name)}/{file}")


def _strategy(session: Session) -> str:
    """Where a cluster with journals keeps the output of tasks."""
    try:
        found: Any = session.http.get(session.url("dcos-metadata/ui-config.json"))
    except DcosError:
        tell("Unable to determine logging mechanism for your cluster. Defaulting to files API.")
        return "logrotate"
    for name in ("uiConfiguration", "plugins", "mesos", "logging-strategy"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return str(found or "logrotate")
