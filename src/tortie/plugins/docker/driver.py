"""The two drivers of the engine's protocol: what each call does, with deadlines, and undone when it fails."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.to_thread
import msgspec

from tortie.base.errors import Conflict, Invalid, NotFound, TortieError
from tortie.ipam.rehandle import rename_handle
from tortie.model.kinds.ip_pool import IP_POOL
from tortie.model.kinds.workload_endpoint import WorkloadEndpointSpec
from tortie.model.resource import Resource, encode
from tortie.node.ports import EndpointGate
from tortie.plugins.calls import blocking, deadline
from tortie.plugins.docker import answers, messages, names
from tortie.plugins.docker.holdings import Holdings, Stored
from tortie.plugins.docker.ports import Addresses, Engine, Links
from tortie.plugins.labels import task_notes
from tortie.plugins.profile import check_network_name, ensure_profile, network_profile
from tortie.store.client import Client
from tortie.store.port import Datastore, Drop, Put

log = logging.getLogger("docker")

CALL_SECONDS = 10.0
PROGRAM_SECONDS = 10.0
REMOVE_SECONDS = 5.0


def mac_of(endpoint_id: str) -> str:
    """A locally administered address of the endpoint's own, the same at every attempt."""
    digest = hashlib.sha256(endpoint_id.encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))


class Driver:
    """One host's driver. Every method may run in parallel with every other."""

    def __init__(
        self,
        *,
        datastore: Datastore,
        gate: EndpointGate,
        addresses: Addresses,
        engine: Engine,
        links: Links,
        node: str,
        mtu: Callable[[], int | None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.datastore = datastore
        self.client = Client(datastore)
        self.holdings = Holdings(datastore, node)
        self.node = node
        self._gate = gate
        self._addresses = addresses
        self._engine = engine
        self._links = links
        self._mtu = mtu
        self._clock = clock
        self.busy: set[str] = set()
        """Keys of records and ids of endpoints that a call is working on now."""

    @contextmanager
    def _working_on(self, thing: str) -> Iterator[None]:
        """Refuses a second call about the same thing at the same time, and keeps the collector away."""
        if thing in self.busy:
            raise Conflict(f"{thing} is being worked on")
        self.busy.add(thing)
        try:
            yield
        finally:
            self.busy.discard(thing)

    # IPAM

    async def request_pool(self, request: messages.RequestPool) -> dict[str, Any]:
        with deadline(CALL_SECONDS, "RequestPool"):
            return answers.request_pool(request, await blocking(self._pools))

    async def request_address(self, request: messages.RequestAddress) -> dict[str, Any]:
        with deadline(CALL_SECONDS, "RequestAddress"):
            pool, wanted = answers.address_wanted(request, await blocking(self._pools))
            return {"Address": f"{await self._take(pool, wanted)}/32", "Data": {}}

    async def _take(self, pool: str | None, wanted: str | None) -> str:
        """Record, take, record again: an attempt that dies anywhere in between leaves something to be collected."""
        now = self._clock()
        stored = await blocking(self.holdings.open, now)
        with self._working_on(stored.key):
            try:
                address = await blocking(self._assign, stored.holding.handle, pool, wanted, now)
            except TortieError:
                await blocking(self.holdings.drop, stored)
                raise
            await blocking(self.holdings.step, stored, msgspec.structs.replace(stored.holding, address=address))
        return address

    def _assign(self, handle: str, pool: str | None, wanted: str | None, now: float) -> str:
        attributes = {"type": "docker"}
        if wanted is None:
            return str(self._addresses.auto_assign(handle, attributes, now=now, pool=pool))
        self._addresses.assign(wanted, handle, attributes, now=now)
        return wanted

    async def release_address(self, request: messages.ReleaseAddress) -> None:
        """The address becomes free once endpoint, route and policy are gone. One that this host does not hold is fine:
        the engine also releases gateways that were never taken and addresses that were refused."""
        with deadline(CALL_SECONDS, "ReleaseAddress"):
            stored = await blocking(self.holdings.of_address, request.address)
            if stored is not None:
                await self.retire(stored)

    def _pools(self) -> Collection[str]:
        return [pool.spec.cidr for pool in self.client.list(IP_POOL).items]

    # Network

    async def create_network(self, request: messages.CreateNetwork) -> None:
        answers.check_network(request)

    async def create_endpoint(self, request: messages.CreateEndpoint) -> dict[str, Any]:
        """Binds the endpoint to the address that was taken for it and makes sure that its profile exists."""
        address = answers.endpoint_address(request.interface)
        with deadline(CALL_SECONDS, "CreateEndpoint"), self._working_on(request.endpoint_id):
            network = await self._engine.network_name(request.network_id)
            check_network_name(network)
            stored = await blocking(self.holdings.of_address, address)
            if stored is None:
                raise NotFound(f"address {address} was not assigned by Calico's IPAM on {self.node}")
            if stored.holding.endpoint:
                raise Conflict(f"address {address} belongs to endpoint {stored.holding.endpoint}")
            await blocking(self.ensure_profile, network)
            holding = msgspec.structs.replace(
                stored.holding,
                since=self._clock(),
                endpoint=request.endpoint_id,
                network=network,
                network_id=request.network_id,
                mac=(request.interface.mac_address if request.interface else "") or mac_of(request.endpoint_id),
            )
            await blocking(self.holdings.step, stored, holding)
            await blocking(rename_handle, self.datastore, holding.handle, names.handle_of(request.endpoint_id))
        return {"Interface": {}}

    def ensure_profile(self, network: str) -> None:
        ensure_profile(self.datastore, network_profile(network))

    async def join(self, request: messages.Join) -> dict[str, Any]:
        """Answers once the endpoint is in force in the kernel; on any failure nothing of it is left."""
        with deadline(CALL_SECONDS + PROGRAM_SECONDS, "Join"), self._working_on(request.endpoint_id):
            stored = await self._joining(request)
            try:
                await self._attach(request, stored)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await self._detach(request.endpoint_id)
                raise
        return answers.join(request.endpoint_id)

    async def _joining(self, request: messages.Join) -> Stored:
        """The endpoint's record, once its sandbox is known to hold no other endpoint of ours."""
        everything = await blocking(self.holdings.all)
        stored = next((s for s in everything if s.holding.endpoint == request.endpoint_id), None)
        if stored is None:
            raise NotFound(f"endpoint {request.endpoint_id} does not exist on {self.node}")
        for other in everything:
            if request.sandbox_key and other.holding.sandbox == request.sandbox_key and other is not stored:
                raise Invalid(f"the container is already on the Calico network {other.holding.network}: one at a time")
        holding = msgspec.structs.replace(stored.holding, sandbox=request.sandbox_key, since=self._clock())
        return await blocking(self.holdings.step, stored, holding)

    async def _attach(self, request: messages.Join, stored: Stored) -> None:
        holding, endpoint_id = stored.holding, request.endpoint_id
        with deadline(CALL_SECONDS, "reading the container's labels"):
            container = await self._engine.container_of(request.network_id, endpoint_id)
        await blocking(
            self._links.create_pair,
            names.host_interface(endpoint_id),
            names.peer_interface(endpoint_id),
            holding.mac,
            self._mtu(),
        )
        endpoint = names.endpoint_resource(
            node=self.node,
            endpoint_id=endpoint_id,
            network=holding.network,
            address=holding.address,
            mac=holding.mac,
            container=container.name if container else "",
            labels=names.carried_labels(container.labels) if container else {},
            notes=task_notes(container.labels) if container else {},
        )
        written = await blocking(self.holdings.step, stored, holding, Put(endpoint.key, encode(endpoint)))
        await self._gate.wait_programmed(endpoint.key, written.revision, PROGRAM_SECONDS)

    async def leave(self, request: messages.OfEndpoint) -> None:
        """The interface goes at once; endpoint and address go with the calls that follow."""
        with deadline(CALL_SECONDS, "Leave"):
            await blocking(self._links.delete, names.host_interface(request.endpoint_id))

    async def delete_endpoint(self, request: messages.OfEndpoint) -> None:
        """Also called when Join failed, and for endpoints that an earlier life of this driver made: absent is fine."""
        with deadline(CALL_SECONDS, "DeleteEndpoint"):
            await self._detach(request.endpoint_id)

    async def _detach(self, endpoint_id: str) -> None:
        """The interface first: nothing can be sent any more while the node agent takes out policy and route."""
        await blocking(self._links.delete, names.host_interface(endpoint_id))
        await blocking(self.datastore.commit, [Drop(names.endpoint_key(self.node, endpoint_id))])

    # What both need

    async def retire_added(self, endpoint: Resource[WorkloadEndpointSpec]) -> None:
        """Takes away what a person added to a container that is gone; its addresses when the kernel is rid of it."""
        with self._working_on(endpoint.key):
            await blocking(self._links.delete, names.host_interface(endpoint.spec.endpoint))
            await blocking(self.datastore.commit, [Drop(endpoint.key)])
            await self._gate.wait_removed(endpoint.key, REMOVE_SECONDS)
            handle = names.added_handle(endpoint.spec.endpoint)
            await blocking(self._addresses.release_by_handle, handle, now=self._clock())

    async def retire(self, stored: Stored) -> None:
        """Frees the address of a record after everything that used it is gone from the kernel. Twice is fine."""
        holding = stored.holding
        with self._working_on(stored.key):
            if holding.endpoint:
                await self._detach(holding.endpoint)
                await self._gate.wait_removed(names.endpoint_key(self.node, holding.endpoint), REMOVE_SECONDS)
            # The address is under one of the two, whenever the handle's new name was cut off.
            for handle in [holding.handle, *([names.handle_of(holding.endpoint)] if holding.endpoint else [])]:
                await blocking(self._addresses.release_by_handle, handle, now=self._clock())
            await blocking(self.holdings.drop, stored)
