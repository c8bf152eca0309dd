"""Collects what the engine forgot to take back: it never repeats a call that failed or was missed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

import anyio

from tortie.base.errors import TortieError, Unavailable
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.model.resource import Resource
from tortie.plugins.calls import blocking
from tortie.plugins.docker.collect import GRACE_SECONDS, NOBODY, Suspects, suspects
from tortie.plugins.docker.driver import Driver
from tortie.plugins.docker.names import ADDED, ORCHESTRATOR, endpoint_key
from tortie.plugins.docker.ports import Engine, Links
from tortie.store.port import Drop

log = logging.getLogger("docker.collect")

EVERY_SECONDS = 30.0
AGAIN_SECONDS = 1.0


class Collector:
    """Looks at start, whenever the engine comes back, and from time to time; acts on what two looks agree on."""

    def __init__(
        self,
        driver: Driver,
        engine: Engine,
        links: Links,
        *,
        grace: float = GRACE_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._driver = driver
        self._engine = engine
        self._links = links
        self._grace = grace
        self._clock = clock
        self._wake = anyio.Event()

    def nudge(self) -> None:
        """Look now."""
        self._wake.set()

    async def run(self) -> None:
        earlier = NOBODY
        while True:
            earlier = await self.collect_once(earlier)
            found = earlier != NOBODY
            with anyio.move_on_after(AGAIN_SECONDS if found else min(EVERY_SECONDS, self._grace)):
                await self._wake.wait()
            self._wake = anyio.Event()

    async def collect_once(self, earlier: Suspects) -> Suspects:
        """One round: what is suspect now; of that, what was suspect in `earlier` already is collected."""
        try:
            found = await self.look()
        except Unavailable as error:
            log.debug("nothing is collected: %s", error)
            return NOBODY
        await self._collect(found.both(earlier))
        return found

    async def look(self) -> Suspects:
        """The engine is asked last: an endpoint that it does not know then had no container when we listed ours."""
        records = await blocking(self._driver.holdings.all)
        endpoints = await blocking(self._own_endpoints)
        added = await blocking(self._added)
        interfaces = await blocking(self._links.names)
        alive = await self._engine.endpoint_ids()
        containers = await self._engine.container_ids() if added else ()
        return suspects(
            records=records,
            endpoints=endpoints,
            alive=alive,
            interfaces=interfaces,
            busy=frozenset(self._driver.busy),
            now=self._clock(),
            grace=self._grace,
            added={key: endpoint.spec.workload for key, endpoint in added.items()},
            containers=containers,
        )

    def _added(self) -> Mapping[str, Resource[WorkloadEndpointSpec]]:
        """By their keys, the endpoints that people added to containers of this host."""
        return {
            resource.key: resource
            for resource in self._driver.client.list(WORKLOAD_ENDPOINT).items
            if resource.spec.orchestrator == ADDED and resource.spec.node == self._driver.node
        }

    def _own_endpoints(self) -> set[str]:
        return {
            resource.spec.endpoint
            for resource in self._driver.client.list(WORKLOAD_ENDPOINT).items
            if resource.metadata.namespace == ORCHESTRATOR and resource.spec.node == self._driver.node
        }

    async def _collect(self, certain: Suspects) -> None:
        for stored in certain.records:
            try:
                await self._driver.retire(stored)
                log.info("collected address %s of endpoint %s", stored.holding.address, stored.holding.endpoint or "-")
            except TortieError as error:
                log.warning("address %s is not free yet: %s", stored.holding.address, error)
        for endpoint in certain.endpoints:
            await blocking(self._driver.datastore.commit, [Drop(endpoint_key(self._driver.node, endpoint))])
            log.info("collected endpoint %s, which had no record", endpoint)
        added = await blocking(self._added) if certain.added else {}
        for key in certain.added:
            if key not in added:
                continue
            try:
                await self._driver.retire_added(added[key])
                log.info("collected endpoint %s, whose container is gone", key)
            except TortieError as error:
                log.warning("endpoint %s is not gone yet: %s", key, error)
        for interface in certain.interfaces:
            if await blocking(self._links.delete, interface):
                log.info("collected interface %s", interface)
