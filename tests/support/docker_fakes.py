"""Honest stand-ins for what the Docker driver meets: they keep the real things' rules and fail when asked."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace

import anyio

from tortie.base.errors import Conflict, NotFound, Unavailable
from tortie.plugins.docker.ports import Container, LocalNetwork, NetworkEvent


class FakeEngine:
    """An engine with networks and endpoints. `away`: nothing answers. Removing a network with members is refused."""

    def __init__(self, host: str = "a") -> None:
        self._ids = (f"{host}{number}" for number in itertools.count())
        self.away = False
        self.refusals = 0
        self.local: dict[str, LocalNetwork] = {}
        self.members: dict[str, set[str]] = {}
        self.container: Container | None = Container(id="c" * 64, name="c1", labels={})
        self._news: list[NetworkEvent] = []
        self._ring = anyio.Event()

    def _answer(self) -> None:
        if self.away:
            self.refusals += 1
            raise Unavailable("docker: connection refused")

    def tell(self, action: str, network: LocalNetwork) -> None:
        event = NetworkEvent(action=action, network_id=network.id, name=network.name, driver=network.driver)
        self._news.append(event)
        self._ring.set()

    def leave(self) -> None:
        self.away = True
        self._ring.set()

    def user_creates(self, name: str, driver: str = "calico", subnet: str | None = None) -> LocalNetwork:
        network = LocalNetwork(id=next(self._ids), name=name, driver=driver, subnet=subnet)
        self.local[network.id] = network
        self.tell("create", network)
        return network

    def user_removes(self, name: str) -> None:
        network = next(n for n in self.local.values() if n.name == name)
        del self.local[network.id]
        self.tell("destroy", network)

    async def network_name(self, network_id: str) -> str:
        self._answer()
        if network_id not in self.local:
            raise NotFound(f"network {network_id} not found")
        return self.local[network_id].name

    async def container_of(self, network_id: str, endpoint_id: str) -> Container | None:
        self._answer()
        return self.container

    async def networks(self) -> Sequence[LocalNetwork]:
        self._answer()
        return list(self.local.values())

    async def create_network(self, name: str, subnet: str | None, labels: Mapping[str, str], *, ipv6: bool) -> str:
        self._answer()
        if name in [n.name for n in self.local.values()]:
            raise Conflict(f"network with name {name} already exists")
        network = LocalNetwork(
            id=next(self._ids), name=name, driver="calico", subnet=subnet, labels=dict(labels), ipv6=ipv6
        )
        self.local[network.id] = network
        self.tell("create", network)
        return network.id

    async def remove_network(self, network_id: str) -> None:
        self._answer()
        if self.members.get(network_id):
            raise Conflict(f"network {network_id} has active endpoints")
        network = self.local.pop(network_id, None)
        if network is not None:
            self.tell("destroy", network)

    async def endpoint_ids(self) -> Collection[str]:
        self._answer()
        return {endpoint for members in self.members.values() for endpoint in members}

    async def container_ids(self) -> Collection[str]:
        self._answer()
        return {self.container.id} if self.container else set()

    async def events(self) -> AsyncIterator[NetworkEvent]:
        self._answer()
        self._news.clear()
        yield NetworkEvent(action="up")
        while True:
            while self._news:
                yield self._news.pop(0)
            await self._ring.wait()
            self._ring = anyio.Event()
            self._answer()

    def rename(self, network_id: str, **fields: object) -> None:
        self.local[network_id] = replace(self.local[network_id], **fields)  # type: ignore[arg-type]


class FakeLinks:
    """Pairs of interfaces by name. `fail_next` makes that many creations fail after nothing was made."""

    def __init__(self) -> None:
        self.pairs: dict[str, str] = {}
        self.mtus: dict[str, int | None] = {}
        self.fail_next = 0

    def create_pair(self, host: str, peer: str, peer_mac: str, mtu: int | None = None) -> None:
        if self.fail_next:
            self.fail_next -= 1
            raise Unavailable(f"interface {host}: no memory")
        if host in self.pairs:
            raise Conflict(f"interface {host}: File exists")
        self.pairs[host] = peer
        self.mtus[host] = mtu

    def delete(self, name: str) -> bool:
        return self.pairs.pop(name, None) is not None

    def names(self) -> Mapping[str, int]:
        return {name: index for index, name in enumerate([*self.pairs, *self.pairs.values()], 2)}


class FakeGate:
    """Programs everything at once, unless `shut`; then nothing, and each wait fails when its time is over."""

    def __init__(self) -> None:
        self.shut = False
        self.stuck = False
        self.programmed: list[str] = []
        self.removed: list[str] = []

    async def wait_programmed(self, key: str, revision: int, timeout: float) -> None:
        if self.shut:
            raise Unavailable(f"endpoint {key} is not programmed: no route")
        self.programmed.append(key)

    async def wait_removed(self, key: str, timeout: float) -> None:
        if self.stuck:
            raise Unavailable(f"endpoint {key} is still there: its route")
        self.removed.append(key)
