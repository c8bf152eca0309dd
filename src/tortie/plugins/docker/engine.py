"""The host's Docker Engine behind the driver's own port."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any

import anyio

from tortie.base.errors import Conflict, NotFound, Unavailable
from tortie.plugins.docker.names import DRIVER
from tortie.plugins.docker.ports import Container, LocalNetwork, NetworkEvent
from tortie.wire.docker import DockerClient

ANSWER_SECONDS = 5.0
CHANGE_SECONDS = 60.0
ACTIVE_ENDPOINTS = "has active endpoints"


class DockerEngine:
    """Asks with a deadline. Never inspects a container: inside Join that waits for the lock that Join itself holds."""

    def __init__(self, docker: DockerClient) -> None:
        self._docker = docker
        self._names: dict[str, str] = {}

    async def _ask(
        self,
        method: str,
        path: str,
        seconds: float = ANSWER_SECONDS,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
    ) -> Any:
        try:
            with anyio.fail_after(seconds):
                return await self._docker.call(method, path, query=query, body=body)
        except TimeoutError as error:
            raise Unavailable(f"docker {self._docker.socket}: {method} {path} not answered in {seconds:g} s") from error

    async def network_name(self, network_id: str) -> str:
        """An id never changes its name, so it is asked for once."""
        if network_id not in self._names:
            self._names[network_id] = str((await self._ask("GET", f"/networks/{network_id}"))["Name"])
        return self._names[network_id]

    async def container_of(self, network_id: str, endpoint_id: str) -> Container | None:
        """While it joins, the network lists the container by name under the endpoint's id."""
        members = (await self._ask("GET", f"/networks/{network_id}"))["Containers"] or {}
        name = next((m["Name"] for m in members.values() if m.get("EndpointID") == endpoint_id), None)
        if name is None:
            return None
        listed = await self._ask("GET", "/containers/json", query={"all": "1", "filters": {"name": [f"^/{name}$"]}})
        return next(
            (
                Container(id=c["Id"], name=name, labels=c.get("Labels") or {})
                for c in listed
                if f"/{name}" in c["Names"]
            ),
            None,
        )

    async def networks(self) -> Sequence[LocalNetwork]:
        listed = [_network(raw) for raw in await self._ask("GET", "/networks")]
        self._names = {network.id: network.name for network in listed}
        return listed

    async def create_network(self, name: str, subnet: str | None, labels: Mapping[str, str], *, ipv6: bool) -> str:
        body = {
            "Name": name,
            "CheckDuplicate": True,
            "Driver": DRIVER,
            "EnableIPv6": ipv6,
            "IPAM": {"Driver": DRIVER, "Config": [{"Subnet": subnet}] if subnet else []},
            "Labels": dict(labels),
        }
        return str((await self._ask("POST", "/networks/create", CHANGE_SECONDS, body=body))["Id"])

    async def remove_network(self, network_id: str) -> None:
        """The engine answers 403 while there are endpoints, and 404 when the network is gone."""
        try:
            await self._ask("DELETE", f"/networks/{network_id}", CHANGE_SECONDS)
        except NotFound:
            return
        except Unavailable as error:
            if ACTIVE_ENDPOINTS in str(error):
                raise Conflict(str(error)) from error
            raise

    async def endpoint_ids(self) -> Collection[str]:
        """From the containers' own settings and from every network of ours, which also lists those being attached."""
        found: set[str] = set()
        for container in await self._ask("GET", "/containers/json", query={"all": "1"}):
            attached = (container.get("NetworkSettings") or {}).get("Networks") or {}
            found.update(network.get("EndpointID", "") for network in attached.values())
        for network in await self.networks():
            if network.driver == DRIVER:
                try:
                    members = (await self._ask("GET", f"/networks/{network.id}"))["Containers"] or {}
                except NotFound:
                    continue
                found.update(member.get("EndpointID", "") for member in members.values())
        return found - {""}

    async def container_ids(self) -> Collection[str]:
        return {str(container["Id"]) for container in await self._ask("GET", "/containers/json", query={"all": "1"})}

    async def events(self) -> AsyncIterator[NetworkEvent]:
        """What happens to networks, from now on. Raises Unavailable when the engine goes.

        The stream is asked for everything since before the engine was found to answer: nothing falls in between.
        """
        query = {"since": f"{time.time():.9f}", "filters": {"type": ["network"]}}
        await self._ask("GET", "/version")
        yield NetworkEvent(action="up")
        async for raw in self._docker.stream("GET", "/events", query=query):
            actor = raw.get("Actor") or {}
            attributes = actor.get("Attributes") or {}
            yield NetworkEvent(
                action=str(raw.get("Action", "")),
                network_id=str(actor.get("ID", "")),
                name=str(attributes.get("name", "")),
                driver=str(attributes.get("type", "")),
            )


def _network(raw: Mapping[str, Any]) -> LocalNetwork:
    config = (raw.get("IPAM") or {}).get("Config") or []
    subnets = [c.get("Subnet") for c in config if c.get("Subnet") not in {None, "", "0.0.0.0/0", "::/0"}]
    return LocalNetwork(
        id=str(raw["Id"]),
        name=str(raw["Name"]),
        driver=str(raw.get("Driver", "")),
        subnet=subnets[0] if subnets else None,
        options=raw.get("Options") or {},
        labels=raw.get("Labels") or {},
        ipv6=bool(raw.get("EnableIPv6")),
    )
