"""A container's interface with its endpoint, whoever asked for it: made until in force, retired until it is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from tortie.base.errors import Unavailable
from tortie.dataplane.kernel.sandbox import Pair, Sandbox
from tortie.dataplane.kernel.unlinking import unlink
from tortie.model.kinds.cluster_information import CLUSTER_INFORMATION
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.model.resource import Resource, encode
from tortie.plugins.calls import blocking
from tortie.plugins.ports import Gate
from tortie.store.client import Client
from tortie.store.port import Datastore, Drop, Put

PROGRAM_SECONDS = 10.0
REMOVE_SECONDS = 5.0


class Attachments:
    """Those of one plug-in on one host. Calls about different containers run side by side, those about one in turn."""

    def __init__(self, datastore: Datastore, gate: Gate) -> None:
        self.datastore = datastore
        self.client = Client(datastore)
        self.gate = gate
        self._locks: dict[str, tuple[anyio.Lock, int]] = {}
        self.handles: dict[str, int] = {}
        """Handles of addresses that calls are working with now."""

    @asynccontextmanager
    async def turn(self, container: str, *handles: str) -> AsyncIterator[None]:
        """Waits for the calls about the same container that came before."""
        lock, users = self._locks.get(container, (anyio.Lock(), 0))
        self._locks[container] = lock, users + 1
        for handle in handles:
            self.handles[handle] = self.handles.get(handle, 0) + 1
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[container]
            if users == 1:
                del self._locks[container]
            else:
                self._locks[container] = lock, users - 1
            for handle in handles:
                self.handles[handle] -= 1
                if not self.handles[handle]:
                    del self.handles[handle]

    async def check_ready(self) -> None:
        """Raises Unavailable while the cluster's store is being worked on."""
        information = await blocking(self.client.find, CLUSTER_INFORMATION, "default")
        if information is not None and information.spec.datastore_ready is False:
            raise Unavailable("Calico is currently not ready to process requests")

    def find(self, key: str) -> Resource[WorkloadEndpointSpec] | None:
        """It blocks."""
        namespace, name = WORKLOAD_ENDPOINT.parse_key(key)
        return self.client.find(WORKLOAD_ENDPOINT, name, namespace)

    async def attach(self, sandbox: Sandbox, pair: Pair, endpoint: Resource[WorkloadEndpointSpec]) -> None:
        """The interface is there and its policy in force. After a failure the caller retires it."""
        await blocking(unlink, pair.host)  # what an attempt left that was cut off
        await blocking(sandbox.join, pair)
        revision = await blocking(self.datastore.commit, [Put(endpoint.key, encode(endpoint))])
        await self.gate.wait_programmed(endpoint.key, revision, PROGRAM_SECONDS)

    async def retire(self, endpoint: Resource[WorkloadEndpointSpec]) -> None:
        """Interface and endpoint, until nothing of it is in the kernel. Side by side: both close it, and the kernel
        takes its time with an interface."""
        try:
            async with anyio.create_task_group() as both:
                both.start_soon(blocking, unlink, endpoint.spec.interface_name)
                await blocking(self.datastore.commit, [Drop(endpoint.key)])
                await self.gate.wait_removed(endpoint.key, REMOVE_SECONDS)
        except ExceptionGroup as group:
            # Whoever asked keeps the clean-up for later by what failed, which a group would hide.
            raise group.exceptions[0] from group
