"""The rollout as pages show it, and as the original's page told it. Values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from tortie.packages.calico.values import store_in, switched_off
from tortie.packages.rollout.inventory import Plan
from tortie.packages.rollout.machine import OUT, Host, Rollout, Step, decide, over, state

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
    "ended": None,
    "asked": None,
    "now": [],
    "counts": {"of": "agents", "all": 0, "done": 0, "failed": 0},
    "stopped": "",
    "orders": [],
    "artefact": "",
    "store": "",
    "note": "",
    "skipped": [],
    "looking": False,
    "hosts": [],
}
LOOKING = "looking at what each host lacks"
NO_STATION = "no master announces itself, so none gets a node; run its package service with --station"


def board(
    last: Rollout | None,
    made: Plan | None,
    trouble: str,
    *,
    note: str = "",
    looking: bool = False,
    leaving: bool = False,
    removed: bool = False,
) -> dict[str, Any]:
    """`trouble`: what the roller waits for besides; `note`: what a person may miss; `looking`: whether it is finding
    out what hosts lack."""
    if last is None or made is None:
        word = "removed" if removed else "none"
        return {**_NOTHING, "state": word, "trouble": trouble, "note": note, "looking": looking, "leaving": leaving}
    stations = {task.name for task in made.tasks if task.station}
    return {
        "state": state(last),
        "trouble": trouble,
        "leaving": leaving,
        "plan": last.plan,
        "goal": last.goal,
        "paused": last.paused,
        "begun": last.begun,
        "ended": _last_end(last) if over(last) else None,
        "asked": msgspec.to_builtins(last.asked),
        "now": _now(last),
        "counts": _counts(last, "hosts" if stations else "agents"),
        "stopped": last.stopped,
        "orders": orders(last, leaving=leaving),
        "artefact": made.artefact,
        "store": _plain(store_in(made)) if made.tasks else "",
        "note": note,
        "skipped": [{"name": step, "title": TITLES[step]} for step in switched_off(made)],
        "looking": looking,
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


def _counts(last: Rollout, of: str) -> dict[str, Any]:
    """`of`: what they all are; `done`: of what it wants, so on the way back what is as before again."""
    back = last.goal == "undo"
    done = sum(host.mark in (("undone", "failed", "waiting") if back else ("done",)) for host in last.hosts)
    failed = sum(host.mark in (("stuck",) if back else ("failed", "stuck")) for host in last.hosts)
    return {"of": of, "all": len(last.hosts), "done": done, "failed": failed}


def _now(last: Rollout) -> list[dict[str, Any]]:
    """What is being done, or will be next; empty when nothing goes on before an order."""
    doing = [(h.name, s) for h in last.hosts for s in h.steps if h.mark in OUT and s.progress in ("running", "undoing")]
    if doing:
        return [_act(name, step.name, undo=step.progress == "undoing", since=step.since) for name, step in doing]
    act = decide(last)
    return [] if act is None else [_act(act.host, act.step, undo=act.undo, since=None)]


def _act(host: str, step: str, *, undo: bool, since: float | None) -> dict[str, Any]:
    return {"host": host, "step": step, "title": TITLES.get(step, step), "undo": undo, "since": since}


def _last_end(last: Rollout) -> float | None:
    return max((step.until for host in last.hosts for step in host.steps if step.until is not None), default=None)


def summary(shown: Mapping[str, Any]) -> dict[str, str]:
    """A board in one line, for those who show more than this: the state, and words without it. `waiting`: nothing is
    under way, since something is in its way."""
    counts, now = shown["counts"], shown["now"]
    state = "waiting" if shown["trouble"] and shown["state"] in ("none", "done") else shown["state"]
    if not counts["all"]:
        return {"state": state, "text": shown["trouble"] or (LOOKING if shown["looking"] else "")}
    back = shown["goal"] == "undo"
    words = [f"{counts['done']} of {counts['all']} {counts['of']} {'as before' if back else 'done'}"]
    words += [f"{one['host']}: {'undoing ' if one['undo'] else ''}{one['title']}" for one in now]
    words += [text for text in (shown["stopped"] or shown["trouble"],) if text]
    return {"state": state, "text": ", ".join(words)}


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any] | None:
    """What turns `old` into `new`: other fields, and by name the hosts and steps that are others. None when hosts or
    what is to be done there are not the same."""
    if [_shape(host) for host in old["hosts"]] != [_shape(host) for host in new["hosts"]]:
        return None
    changed = _fields(old, new, "hosts")
    hosts = [_host_difference(was, host) for was, host in zip(old["hosts"], new["hosts"], strict=True) if was != host]
    return {**changed, "hosts": hosts} if hosts else changed


def _shape(host: Mapping[str, Any]) -> tuple[str, list[tuple[str, list[str]]]]:
    return host["name"], [(step["name"], step["changes"]) for step in host["steps"]]


def _fields(old: Mapping[str, Any], new: Mapping[str, Any], but: str) -> dict[str, Any]:
    return {name: value for name, value in new.items() if name != but and old[name] != value}


def _host_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    steps = [
        {"name": step["name"], **_fields(was, step, "name")}
        for was, step in zip(old["steps"], new["steps"], strict=True)
        if was != step
    ]
    changed = {"name": new["name"], **_fields(old, new, "steps")}
    return {**changed, "steps": steps} if steps else changed


def _host(host: Host, delta: dict[str, list[dict[str, str]]], station: bool) -> dict[str, Any]:
    return {
        "name": host.name,
        "kind": "station" if station else "agent",
        "mark": host.mark,
        "out": host.mark in OUT,
        "reason": host.reason,
        "failed": _failed_at(host),
        "steps": [
            {
                **msgspec.to_builtins(step),
                "title": TITLES.get(step.name, step.name),
                "changes": [item["text"] for item in delta.get(step.name, ())],
            }
            for step in host.steps
        ],
    }


def _failed_at(host: Host) -> str:
    """The step at which it failed, also once that has been undone."""
    at = host.reason.partition(": ")[0]
    return at if any(step.name == at for step in host.steps) else ""


def _plain(store: str) -> str:
    """Without what an address may hold besides: files of keys, or a login."""
    return store.partition("?")[0].rpartition("@")[2] if "@" in store else store.partition("?")[0]


def legacy(shown: Mapping[str, Any]) -> dict[str, Any]:
    """A board by agent, by the original's class names; a class of which nothing has begun is left out, as ever, and so
    is one that is switched off, and a host that is no agent."""
    off = {step["name"] for step in shown["skipped"]}
    classes = {name: steps for name, steps in CLASSES.items() if not off.issuperset(steps)}
    told = {}
    for host in shown["hosts"]:
        if host["kind"] != "agent":
            continue
        steps = [msgspec.convert(step, Step) for step in host["steps"]]
        found = {
            name: _task(name, [step for step in steps if step.name in names], host) for name, names in classes.items()
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
