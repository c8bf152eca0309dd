"""Whether an endpoint of this host is in force, and what is missing if it is not: what plug-ins wait for."""

from __future__ import annotations

import anyio

from tortie.base.errors import Unavailable
from tortie.dataplane.render import base
from tortie.dataplane.want import host_route
from tortie.node.applier import Applier
from tortie.node.brain import Brain
from tortie.node.health import Health, Signal


class Gate:
    """Implements `ports.EndpointGate`. `done` is set after every pass."""

    def __init__(self, brain: Brain, health: Health, applier: Applier, done: Signal) -> None:
        self._brain = brain
        self._health = health
        self._applier = applier
        self._done = done

    def missing(self, key: str, revision: int = 0) -> list[str]:
        """What keeps the endpoint from being in force; empty when it is."""
        brain, table, ledger = self._brain, self._brain.table, self._brain.table.ledger
        endpoint = table.endpoint(key)
        if endpoint is None or self._applier.applied.get(key, 0) < revision:
            return [f"not programmed: {self._why()}"]
        found = table.problems(key)
        interface = f'"{endpoint.interface}"'
        if not brain.is_up(endpoint.interface):
            found.append(f"interface {endpoint.interface} is not there or not up")
        elif endpoint.interface not in self._applier.configured:
            found.append(f"settings of {endpoint.interface}: {self._health.sysctl_problems or 'not written yet'}")
        if not all(ledger.holds(name, interface) for name in (base.FROM, base.TO)):
            found.append("its policy is not in the kernel yet")
        for address in endpoint.addresses:
            found += self._missing_of(address, endpoint.interface)
        return found

    def _missing_of(self, address: str, interface: str) -> list[str]:
        found, destination = [], host_route(address)
        have = self._brain.routes.have.get(destination)
        if have is None or have.device != interface:
            found.append(f"route to {destination}: {self._health.route_failures.get(destination, 'not there yet')}")
        sources = base.SOURCES6 if ":" in address else base.SOURCES4
        if not self._brain.table.ledger.holds(sources, f'"{interface}" . {address}'):
            found.append(f"{address} is not yet its legal source")
        return found

    def _why(self) -> str:
        return self._health.table_reason or self._health.store_reason or "the agent has not come to it yet"

    async def wait_programmed(self, key: str, revision: int, timeout: float) -> None:
        with anyio.move_on_after(timeout):
            while self.missing(key, revision):
                await self._done.wait()
            return
        raise Unavailable(f"endpoint {key}: {'; '.join(self.missing(key, revision))}")

    async def wait_removed(self, key: str, timeout: float) -> None:
        with anyio.move_on_after(timeout):
            while self._brain.table.endpoint(key) is not None or key in self._applier.applied:
                await self._done.wait()
            return
        raise Unavailable(f"endpoint {key} is still programmed: {self._why()}")
