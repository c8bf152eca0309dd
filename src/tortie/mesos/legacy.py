"""Tasks and resources as the legacy documents of master and agent print them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tortie.mesos.resources import Resources, from_wire, legacy, to_wire
from tortie.wire import mesos as wire


def raw_resources(resources: Resources) -> list[dict[str, Any]]:
    """As a list of Resource messages."""
    built: list[dict[str, Any]] = msgspec.to_builtins(to_wire(resources))
    return built


def task_document(
    info: wire.TaskInfo, framework_id: str, state: str, statuses: Sequence[wire.TaskStatus], user: str | None
) -> dict[str, Any]:
    """A task of /state: labels are a plain array here, but keep the protocol's shape inside discovery and container."""
    command_task = info.executor is None
    document: dict[str, Any] = {
        "id": info.task_id.value,
        "name": info.name,
        "framework_id": framework_id,
        "executor_id": "" if command_task or info.executor is None else info.executor.executor_id.value,
        "slave_id": info.agent_id.value,
        "state": state,
        "resources": legacy(from_wire(info.resources)),
        "statuses": [status_document(status) for status in statuses],
    }
    if user:
        document["user"] = user
    if info.labels:
        document["labels"] = msgspec.to_builtins(info.labels.labels)
    if info.discovery:
        document["discovery"] = msgspec.to_builtins(info.discovery)
    if info.container:
        document["container"] = msgspec.to_builtins(info.container)
    return document


def status_document(status: wire.TaskStatus) -> dict[str, Any]:
    document: dict[str, Any] = {"state": status.state, "timestamp": status.timestamp or 0.0}
    if status.labels:
        document["labels"] = msgspec.to_builtins(status.labels.labels)
    if status.container_status:
        container = msgspec.to_builtins(status.container_status)
        container.pop("executor_pid", None)
        container["network_infos"] = [_network(info) for info in status.container_status.network_infos]
        document["container_status"] = container
    if status.healthy is not None:
        document["healthy"] = status.healthy
    return document


def _network(info: wire.NetworkInfo) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(info)
    if info.labels:
        document["labels"] = msgspec.to_builtins(info.labels.labels)
    return document
