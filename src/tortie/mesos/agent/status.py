"""What a task's statuses say: its addresses, how it ended. Values only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from tortie.wire import mesos as wire


def found_addresses(inspect: Mapping[str, Any]) -> list[str]:
    """The container's own addresses, IPv4 first; none for a container on the host's network."""
    settings = inspect.get("NetworkSettings") or {}
    networks: dict[str, dict[str, Any]] = settings.get("Networks") or {}
    mode = (inspect.get("HostConfig") or {}).get("NetworkMode") or ""
    entry = networks.get("bridge" if mode == "default" else mode)
    if entry is None:
        entry = next((n for n in networks.values() if mode and n.get("NetworkID") == mode), None)
    if entry is None or not _of(entry):
        filled = [n for n in networks.values() if _of(n)]
        entry = filled[0] if len(filled) == 1 else entry
    return _of(entry or {}) or _of(settings)


def _of(entry: Mapping[str, Any]) -> list[str]:
    return [str(found) for found in (entry.get("IPAddress"), entry.get("GlobalIPv6Address")) if found]


def container_status(
    task: wire.TaskInfo, container_id: str, addresses: list[str], agent_ip: str
) -> wire.ContainerStatus:
    """Always with a network and an address: the container's, or the agent's when it has none of its own."""
    asked = task.container.network_infos if task.container else []
    if addresses:
        info = msgspec.structs.replace(asked[0]) if asked else wire.NetworkInfo()
        info.ip_addresses = [
            wire.IPAddress(protocol="IPv6" if ":" in address else "IPv4", ip_address=address) for address in addresses
        ]
    else:
        info = wire.NetworkInfo(ip_addresses=[wire.IPAddress(ip_address=agent_ip)])
    return wire.ContainerStatus(container_id=wire.ContainerID(value=container_id), network_infos=[info])


def running_parts(inspect: Mapping[str, Any], addresses: list[str]) -> dict[str, Any]:
    """What the first RUNNING status carries beside the container's status."""
    parts: dict[str, Any] = {"data": json.dumps([inspect]).encode()}
    if addresses:
        label = wire.Label(key="Docker.NetworkSettings.IPAddress", value=addresses[0])
        parts["labels"] = wire.Labels(labels=[label])
    return parts


def ended(state: Mapping[str, Any], *, killed: bool) -> tuple[wire.TaskState, str]:
    """The terminal state and message of a container that has exited. Exit 0 is FINISHED even after a kill."""
    code = int(state.get("ExitCode") or 0)
    message = f"Container exited with status {code}"
    if state.get("OOMKilled"):
        message += " (out of memory)"
    if error := state.get("Error"):
        message += f": {error}"
    if code == 0:
        return "TASK_FINISHED", message
    return ("TASK_KILLED" if killed else "TASK_FAILED"), message


def was_started(inspect: Mapping[str, Any]) -> bool:
    state = inspect.get("State") or {}
    return bool(state.get("Running")) or not str(state.get("StartedAt") or "0001-").startswith("0001-")
