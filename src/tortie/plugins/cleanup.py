"""Collects endpoints whose container ended without a clean-up: after a crash, a restart, a killed runtime."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import anyio

from tortie.base.errors import TortieError, Unavailable
from tortie.dataplane.kernel import veth
from tortie.model.kinds.workload_endpoint import WorkloadEndpointSpec
from tortie.model.resource import Resource
from tortie.plugins.calls import blocking
from tortie.plugins.profile import HANDLE_ANNOTATION

log = logging.getLogger("plugins.cleanup")

EVERY_SECONDS = 30.0
GRACE_SECONDS = 120.0
"""How long an endpoint may be without its interface: longer than any call takes."""


class Collecting(Protocol):
    """The plug-in."""

    def endpoints(self) -> Sequence[Resource[WorkloadEndpointSpec]]:
        """Those that it made on this host. It blocks."""

    def busy(self) -> Collection[str]:
        """Handles that calls are working with now."""

    async def release_endpoint(self, endpoint: Resource[WorkloadEndpointSpec]) -> None:
        """All of an endpoint that nobody will ask to delete any more."""


class Cleanup:
    """The kernel takes an interface away with its container's namespace: an endpoint without one has no container."""

    def __init__(
        self,
        plugin: Collecting,
        *,
        interfaces: Callable[[], Mapping[str, int]] = veth.names,
        grace: float = GRACE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plugin = plugin
        self._interfaces = interfaces
        self._grace = grace
        self._clock = clock
        self._since: dict[str, float] = {}

    async def run(self) -> None:
        while True:
            try:
                await self.round()
            except Unavailable as error:
                log.debug("nothing is collected: %s", error)
            await anyio.sleep(min(EVERY_SECONDS, self._grace))

    async def round(self) -> None:
        """One look. Raises Unavailable when store or kernel do not answer: then nothing counts as gone."""
        endpoints = await blocking(self._plugin.endpoints)
        there = await blocking(self._interfaces)
        gone = {found.key: found for found in endpoints if self._is_gone(found, there, self._plugin.busy())}
        now = self._clock()
        self._since = {key: self._since.get(key, now) for key in gone}
        for key, since in list(self._since.items()):
            if now - since >= self._grace:
                await self._collect(gone[key])

    def _is_gone(
        self, endpoint: Resource[WorkloadEndpointSpec], there: Mapping[str, int], busy: Collection[str]
    ) -> bool:
        handle = endpoint.metadata.annotations[HANDLE_ANNOTATION]
        return endpoint.spec.interface_name not in there and handle not in busy

    async def _collect(self, endpoint: Resource[WorkloadEndpointSpec]) -> None:
        try:
            await self._plugin.release_endpoint(endpoint)
            log.info("collected container %s, whose interface is gone", container_of(endpoint))
        except TortieError as error:
            log.warning("container %s is not cleaned up yet: %s", container_of(endpoint), error)


def container_of(endpoint: Resource[WorkloadEndpointSpec]) -> str:
    return endpoint.spec.container_id or endpoint.spec.workload
