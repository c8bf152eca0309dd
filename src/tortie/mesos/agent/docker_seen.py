"""What `docker inspect` says of a task's container. Values only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tortie.mesos.agent.containerizer import Exit, Seen
from tortie.mesos.agent.status import network_of


def seen(inspect: Mapping[str, Any]) -> Seen:
    state = inspect.get("State") or {}
    addresses = found_addresses(inspect)
    return Seen(
        started=was_started(inspect),
        exit=None if state.get("Running") else ended(state),
        networks=[network_of(addresses)] if addresses else [],
        pid=int(state.get("Pid") or 0),
        data=json.dumps([inspect]).encode(),
        labels={"Docker.NetworkSettings.IPAddress": addresses[0]} if addresses else None,
        stop_signal=(inspect.get("Config") or {}).get("StopSignal") or "SIGTERM",
    )


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


def ended(state: Mapping[str, Any]) -> Exit:
    """Docker tells a death by signal as an exit code above 128."""
    code = int(state.get("ExitCode") or 0)
    message = f"Container exited with status {code}"
    if state.get("OOMKilled"):
        message += " (out of memory)"
    if error := state.get("Error"):
        message += f": {error}"
    return Exit(status=code << 8, message=message)


def was_started(inspect: Mapping[str, Any]) -> bool:
    state = inspect.get("State") or {}
    return bool(state.get("Running")) or not str(state.get("StartedAt") or "0001-").startswith("0001-")
