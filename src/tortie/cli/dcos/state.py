"""What commands read out of the documents of a Mesos master and of its agents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.urls import parse_pid

Document = Mapping[str, Any]
ENDED = frozenset(
    ("TASK_FINISHED", "TASK_KILLED", "TASK_FAILED", "TASK_LOST", "TASK_ERROR", "TASK_DROPPED", "TASK_GONE")
)
UCR_ONLY = "This command is only supported for tasks launched by the Universal Container Runtime (UCR)."


def members(document: Any, name: str) -> list[dict[str, Any]]:
    """The documents in a list; none where there is no such list. Raises DcosError where it is something else."""
    found = document.get(name) if isinstance(document, dict) else None
    if found is None and isinstance(document, dict):
        return []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise DcosError(f"The answer of the cluster cannot be read: it has no list of '{name}'")
    return found


def part(document: Any, name: str) -> dict[str, Any]:
    """The object in a field; an empty one where there is none."""
    found = document.get(name) if isinstance(document, dict) else None
    return found if isinstance(found, dict) else {}


def frameworks(
    state: Document, *, active: bool = True, inactive: bool = False, completed: bool = False
) -> Iterator[Document]:
    if completed:
        yield from members(state, "completed_frameworks")
    for framework in members(state, "frameworks"):
        if (active and framework.get("active")) or (inactive and not framework.get("active")):
            yield framework


def tasks(state: Document, wanted: str | None = None, *, completed: bool = False, all_: bool = False) -> list[Document]:
    """Those whose id holds `wanted`, or is like it where it is a pattern. Living ones, or `completed` ones, or both."""
    lists = ("tasks", "completed_tasks") if completed or all_ else ("tasks",)
    found: list[Document] = []
    for framework in frameworks(state, inactive=True, completed=True):
        for task in (task for name in lists for task in members(framework, name)):
            name = str(task.get("id", ""))
            if completed and not all_ and task.get("state") not in ENDED:
                continue
            if wanted is None or wanted in name or fnmatchcase(name, wanted):
                found.append(task)
    return found


def meant(state: Document, wanted: str | None, *, completed: bool = False, all_: bool = False) -> list[Document]:
    """`tasks`; but an id in full means that one, whatever else it is a part of."""
    found = tasks(state, wanted, completed=completed, all_=all_)
    return [one for one in found if one.get("id") == wanted] or found


def task(state: Document, wanted: str) -> Document:
    """The one living task that is meant. Raises DcosError."""
    found = meant(state, wanted)
    if not found:
        raise DcosError(f'Cannot find a task with ID containing "{wanted}"')
    if len(found) > 1:
        names = "".join(f"\n\t{one.get('id')}" for one in found)
        raise DcosError(f"There are multiple tasks with ID matching [{wanted}]. Please choose one:{names}")
    return found[0]


def agent(state: Document, wanted: str) -> Document:
    """The one agent whose id holds `wanted`. Raises DcosError."""
    found = [one for one in members(state, "slaves") if wanted in str(one.get("id", ""))]
    exact = [one for one in found if one.get("id") == wanted]
    if len(exact) == 1:
        return exact[0]
    if not found:
        raise DcosError(f'No agent found with ID "{wanted}".')
    if len(found) > 1:
        names = "\n".join(f"\t{one.get('id')}" for one in found)
        raise DcosError(f"There are multiple agents with that ID. Please choose one:\n{names}")
    return found[0]


def address(agent: Document) -> str:
    """From its pid. Raises DcosError."""
    return parse_pid(str(agent.get("pid", "")))[1]


def users(state: Document) -> dict[str, Any]:
    """Framework id -> the user that its tasks run as."""
    known = frameworks(state, inactive=True, completed=True)
    return {str(framework.get("id")): framework.get("user") for framework in known}


def hostnames(state: Document) -> dict[str, Any]:
    """Agent id -> its host's name."""
    return {str(agent.get("id")): agent.get("hostname") for agent in members(state, "slaves")}


def container(task: Document) -> dict[str, Any]:
    """The id of the task's container, as its first status tells it. Raises DcosError."""
    kind = part(task, "container").get("type", "MESOS")
    if kind != "MESOS":
        raise DcosError(UCR_ONLY)
    told = [found for status in members(task, "statuses") if (found := part(status, "container_status"))]
    if not told:
        raise DcosError(f"Unable to obtain container status for task '{task.get('id')}'")
    ids = [found for one in told if (found := part(one, "container_id")).get("value")]
    if not ids:
        raise DcosError("No container found for the specified task. It might still be spinning up. Please try again.")
    return ids[0]


def container_path(container_id: Document) -> str:
    """Parents first, dots between."""
    parent = container_id.get("parent")
    return (f"{container_path(parent)}." if parent else "") + str(container_id.get("value"))


def executor(agent_state: Document, task_id: str) -> Document | None:
    """The executor that runs, or ran, a task on this agent."""
    for framework in (*members(agent_state, "frameworks"), *members(agent_state, "completed_frameworks")):
        for one in (*members(framework, "executors"), *members(framework, "completed_executors")):
            lists = ("completed_tasks", "tasks", "queued_tasks")
            if any(task.get("id") == task_id for name in lists for task in members(one, name)):
                return one
    return None


def sandbox(executor: Document, task_id: str) -> str:
    """The directory of a task's files."""
    directory = str(executor.get("directory", "")).rstrip("/")
    return f"{directory}/tasks/{task_id}" if executor.get("type") == "DEFAULT" else directory


def nodes(masters: Sequence[Document], state: Document, summary: Document) -> list[dict[str, Any]]:
    """Masters as the cluster's DNS names them, the leading one known by its address, then the agents."""
    found = []
    for master in masters:
        leads = master.get("ip") == state.get("hostname")
        known = {key: state.get(key) for key in ("id", "pid", "version")} if leads else {}
        found.append({**master, "type": "master (leader)" if leads else "master", **known})
    return found + [{**agent, "type": "agent"} for agent in members(summary, "slaves")]
