"""What the agent counts, what it says of itself, and how its tasks wake each other."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio


@dataclass(slots=True)
class Counts:
    """What `/metrics` shows."""

    passes: int = 0
    failures: int = 0
    repairs: int = 0
    rebuilds: int = 0
    refusals: int = 0
    transactions: int = 0
    element_changes: int = 0
    rule_changes: int = 0
    store_events: int = 0
    conversations_ended: int = 0
    last_pass_seconds: float = 0.0


@dataclass(slots=True)
class Health:
    """What `/readiness` and `/status` say of the agent itself."""

    store_in_sync: bool = False
    store_reason: str = "not read yet"
    links_listed: bool = False
    table_reason: str = "not opened yet"
    owned: bool = False
    owner_reason: str = ""
    passed: bool = False
    conversations_reason: str = ""
    sysctl_problems: dict[str, str] = field(default_factory=dict)
    route_failures: dict[str, str] = field(default_factory=dict)
    tunnel_problems: dict[str, str] = field(default_factory=dict)
    tunnel_reason: str = ""
    """Why a tunnel of this host has no address."""
    bgp_problems: list[str] = field(default_factory=list)


class Signal:
    """Wakes everybody who waits; who comes later waits for the next time."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def set(self) -> None:
        self._event.set()
        self._event = anyio.Event()

    async def wait(self) -> None:
        await self._event.wait()
