"""The rollout as pages show it, and as the original's page told it. Values only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from tortie.packages.calico.values import store_in
from tortie.packages.rollout.inventory import Plan
from tortie.packages.rollout.machine import Host, Rollout, Step, state

TITLES = {
    "artefact": "Product",
    "configuration": "Store",
    "cni": "CNI plug-ins",
    "net-modules": "Net-modules",
    "agent": "Mesos agent",
    "node": "Node",
    "gate": "Gate",
}
CLASSES = {
    "TaskRunEtcdProxy": ("configuration",),
    "TaskInstallDockerClusterStore": ("artefact",),
    "TaskInstallCalicoCNI": ("cni", "agent"),
    "TaskRunCalicoNode": ("node",),
}
"""The original's tasks, and the steps that do here what each was for."""
PERSISTENT = ("TaskRunEtcdProxy", "TaskRunCalicoNode")
RUNNING, FINISHED, FAILED = 1, 2, 3
_NOTHING: dict[str, Any] = {
    "plan": "",
    "goal": "roll",
    "paused": False,
    "begun": None,
    "stopped": "",
    "orders": [],
    "artefact": "",
    "store": "",
    "note": "",
    "hosts": [],
}
NO_STATION = "no master announces itself, so none gets a node: `tortie packages run --station` on it does"


def board(
    last: Rollout | None,
    made: Plan | None,
    trouble: str,
    *,
    note: str = "",
    leaving: bool = False,
    removed: bool = False,
) -> dict[str, Any]:
    """`trouble`: what the roller waits for besides; `note`: what a person may miss."""
    if last is None or made is None:
        word = "removed" if removed else "none"
        return {**_NOTHING, "state": word, "trouble": trouble, "note": note, "leaving": leaving}
    stations = {task.name for task in made.tasks if task.station}
    return {
        "state": state(last),
        "trouble": trouble,
        "leaving": leaving,
        "plan": last.plan,
        "goal": last.goal,
        "paused": last.paused,
        "begun": last.begun,
        "stopped": last.stopped,
        "orders": orders(last, leaving=leaving),
        "artefact": made.artefact,
        "store": _plain(store_in(made)) if made.tasks else "",
        "note": note,
        "hosts": [_host(host, made.deltas.get(host.name, {}), host.name in stations) for host in last.hosts],
    }


def orders(last: Rollout, *, leaving: bool = False) -> list[str]:
    """What a person can ask for now."""
    word = state(last)
    if word == "stopped":
        return ["retry"] if leaving else ["retry", "undo", "abort"]
    if word == "rolling":
        return ["undo", "abort"] if last.paused else ["pause", "undo", "abort"]
    if word == "paused":
        return ["resume", "undo", "abort"]
    if leaving:
        return []
    return {"done": ["undo"], "aborted": ["undo", "begin"], "undone": ["begin"]}.get(word, [])


def _host(host: Host, delta: dict[str, list[dict[str, str]]], station: bool) -> dict[str, Any]:
    return {
        "name": host.name,
        "kind": "station" if station else "agent",
        "mark": host.mark,
        "reason": host.reason,
        "steps": [
            {
                **msgspec.to_builtins(step),
                "title": TITLES.get(step.name, step.name),
                "changes": [item["text"] for item in delta.get(step.name, ())],
            }
            for step in host.steps
        ],
    }


def _plain(store: str) -> str:
    """Without what an address may hold besides: files of keys, or a login."""
    return store.partition("?")[0].rpartition("@")[2] if "@" in store else store.partition("?")[0]


def legacy(hosts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """By agent, by the original's class names; a class of which nothing has begun is left out, as ever, and so is a
    host that is no agent."""
    told = {}
    for host in hosts:
        if host["kind"] != "agent":
            continue
        steps = [msgspec.convert(step, Step) for step in host["steps"]]
        found = {
            name: _task(name, [step for step in steps if step.name in names], host) for name, names in CLASSES.items()
        }
        told[host["name"]] = {name: task for name, task in found.items() if task}
    return told


def _task(name: str, steps: Sequence[Step], host: dict[str, Any]) -> dict[str, Any] | None:
    begun = [step for step in steps if step.since is not None]
    if not begun and not (host["mark"] == "done" and not host["steps"]):
        return None
    whole = RUNNING if name in PERSISTENT else FINISHED
    failed = any(step.progress == "failed" for step in steps)
    number = FAILED if failed else whole if all(step.progress == "done" for step in steps) else RUNNING
    ended = [step.until for step in begun if step.until is not None]
    created = min((step.since for step in begun if step.since is not None), default=None)
    return {
        "task_id": f"{name.removeprefix('Task')}-{host['name']}",
        "state": number,
        "created": _when(created),
        "updated": _when(max(ended, default=None)),
        "hash": 0,
        "role": "*",
    }


def _when(unix: float | None) -> str:
    return "NA" if unix is None else str(datetime.fromtimestamp(unix, UTC).replace(tzinfo=None))
