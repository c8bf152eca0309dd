"""Documents of the operator API that master and agent share. Values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tortie.mesos.protocol import VERSION
from tortie.wire import mesos as wire


def version() -> dict[str, Any]:
    """/version, and the beginning of /state."""
    return {"version": VERSION, "build_date": "", "build_time": 0.0, "build_user": "tortie"}


def task(
    info: wire.TaskInfo,
    framework_id: str,
    state: str,
    statuses: Sequence[wire.TaskStatus],
    sent: tuple[str | None, bytes | None] = (None, None),
) -> dict[str, Any]:
    """The Task message. `sent`: state and uuid of the newest update that the master has had."""
    document = {
        "name": info.name,
        "task_id": info.task_id,
        "framework_id": wire.ID(value=framework_id),
        "executor_id": info.executor.executor_id if info.executor else None,
        "agent_id": info.agent_id,
        "state": state,
        "resources": info.resources,
        "statuses": statuses,
        "status_update_state": sent[0],
        "status_update_uuid": sent[1],
        "labels": info.labels,
        "discovery": info.discovery,
        "container": info.container,
        "health_check": info.health_check,
        "kill_policy": info.kill_policy,
        "user": info.command.user if info.command else None,
    }
    shown: dict[str, Any] = built({name: value for name, value in document.items() if value is not None})
    return shown


def built(value: Any) -> Any:
    """As plain values; bytes stay bytes, for either encoding."""
    return msgspec.to_builtins(value, builtin_types=(bytes,))


def metrics(values: Mapping[str, float]) -> dict[str, Any]:
    return {"metrics": [{"name": name, "value": float(value)} for name, value in values.items()]}


def flags(values: Mapping[str, str]) -> dict[str, Any]:
    return {"flags": [{"name": name, "value": value} for name, value in values.items()]}


def moment(seconds: float) -> dict[str, int]:
    """TimeInfo."""
    return {"nanoseconds": int(seconds * 1e9)}
