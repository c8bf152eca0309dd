"""What each command of net-modules does on one host, undone when it fails."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from ipaddress import ip_interface

import anyio

from tortie.base.errors import Conflict, Invalid, NotFound, TortieError
from tortie.dataplane.kernel.sandbox import Pair, Sandbox, stamp_of
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.model.resource import Resource
from tortie.plugins.attachments import Attachments
from tortie.plugins.calls import blocking, deadline
from tortie.plugins.interfaces import FIRST
from tortie.plugins.netmodules import names
from tortie.plugins.netmodules.addresses import Taker
from tortie.plugins.netmodules.asking import Allocate, Cleanup, Isolate, Release, Reserve
from tortie.plugins.ports import Addresses, Gate
from tortie.plugins.profile import HANDLE_ANNOTATION, ensure_profile
from tortie.store.port import Datastore
from tortie.wire.netmodules import NO_ENDPOINT

log = logging.getLogger("netmodules")

CALL_SECONDS = 30.0


class Plugin:
    """One host's plug-in. Calls about different containers run side by side, those about one in turn."""

    def __init__(
        self,
        *,
        datastore: Datastore,
        gate: Gate,
        addresses: Addresses,
        node: str,
        host: str,
        mtu: Callable[[], int | None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`host`: this host's address: it and its tasks may always reach each other."""
        self.node = node
        self.attachments = Attachments(datastore, gate)
        self._host = host
        self._taker = Taker(addresses, clock)
        self._mtu = mtu

    # Addresses

    async def allocate(self, asking: Allocate) -> list[str]:
        """As many as were asked for, then those that were named; all or none."""
        return await self._take(asking.uid, asking.named, asking.counts)

    async def reserve(self, asking: Reserve) -> None:
        """All of these addresses or none."""
        await self._take(asking.uid, asking.addresses, {})

    async def _take(self, uid: str, named: Sequence[str], counts: Mapping[int, int]) -> list[str]:
        await self.attachments.check_ready()
        handle = names.handle_of(uid)
        async with self._turn_of(handle):
            with deadline(CALL_SECONDS, "addresses"):
                return await blocking(self._taker.take, handle, named, counts)

    async def release(self, asking: Release, before: float = math.inf) -> None:
        """What was taken before then and no interface has: an interface's addresses go with it, not before it."""
        with deadline(CALL_SECONDS, "release"):
            if asking.uid:
                handle = names.handle_of(asking.uid)
                async with self._turn_of(handle):
                    if handle not in (await blocking(self._used)).values():
                        await blocking(self._taker.give_back, handle)
            for address in asking.addresses:
                await self._release_one(address, before)

    async def _release_one(self, address: str, before: float) -> None:
        handle = await blocking(self._taker.handle_of, address)
        if handle:
            async with self._turn_of(handle):
                if address not in await blocking(self._used):
                    await blocking(self._taker.give_back_one, address, handle, before)

    def _turn_of(self, handle: str) -> AbstractAsyncContextManager[None]:
        return self.attachments.turn(f"/{handle}", handle)  # no container's id has a slash

    def _used(self) -> dict[str, str]:
        """The addresses that interfaces of ours have, and their handles."""
        return {
            str(ip_interface(network).ip): endpoint.metadata.annotations[HANDLE_ANNOTATION]
            for endpoint in self.endpoints()
            for network in endpoint.spec.ip_networks
        }

    # Networks

    async def isolate(self, asking: Isolate, namespace: int) -> None:
        """Returns once the interface is there and its policy in force. `namespace`: an open descriptor of it."""
        await self.attachments.check_ready()
        key = names.endpoint_key(self.node, asking.container)
        async with self.attachments.turn(asking.container):
            with deadline(CALL_SECONDS, "isolate"):
                if await blocking(self.attachments.find, key) is not None:
                    raise Conflict("This container has already been configured with Calico Networking.")
                sandbox = _sandbox(namespace, asking.pid)
                otherwise = names.handle_of(asking.container)
                handle = await blocking(self._taker.handle_among, asking.addresses, otherwise)
                async with self._turn_of(handle):
                    await self._isolate(asking, sandbox, stamp_of(namespace), handle)

    async def _isolate(self, asking: Isolate, sandbox: Sandbox, stamp: str, handle: str) -> None:
        used = await blocking(self._used)
        taken, ours = await blocking(self._taker.own, asking.addresses, handle, used)
        endpoint = names.endpoint_resource(self.node, asking, handle=handle if ours else "", stamp=stamp)
        try:
            await self._join(asking, sandbox, endpoint)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._undo(endpoint, handle, taken)
            raise

    async def _join(self, asking: Isolate, sandbox: Sandbox, endpoint: Resource[WorkloadEndpointSpec]) -> None:
        for profile in names.profiles(asking.hostname, asking.groups, self._host):
            await blocking(ensure_profile, self.attachments.datastore, profile)
        pair = Pair(
            host=endpoint.spec.interface_name,
            inside=FIRST,
            mac=endpoint.spec.mac,
            mtu=self._mtu() or 0,
            addresses=asking.addresses,
            forwarding=False,
        )
        await self.attachments.attach(sandbox, pair, endpoint)

    async def _undo(self, endpoint: Resource[WorkloadEndpointSpec], handle: str, taken: Collection[str]) -> None:
        """What a failed `isolate` made; addresses that it found taken stay with whoever took them."""
        try:
            await self.attachments.retire(endpoint)
            for address in taken:
                await blocking(self._taker.give_back_one, address, handle, math.inf)
        except TortieError as error:
            log.warning("container %s: a failed isolate is not undone yet: %s", endpoint.spec.workload, error)

    async def cleanup(self, asking: Cleanup) -> None:
        """Interface, endpoint and addresses are gone. NotFound when there is no endpoint."""
        with deadline(CALL_SECONDS, "cleanup"):
            if not await self._remove(asking.container):
                raise NotFound(f"{NO_ENDPOINT}: {asking.container}")

    async def _remove(self, container: str) -> bool:
        """Whether there was something. The addresses last: whoever has them next must find nothing of this one."""
        async with self.attachments.turn(container):
            endpoint = await blocking(self.attachments.find, names.endpoint_key(self.node, container))
            if endpoint is None or not names.is_ours(endpoint, self.node):
                return False
            handle = endpoint.metadata.annotations[HANDLE_ANNOTATION]
            if not handle:
                await self.attachments.retire(endpoint)
                return True
            async with self._turn_of(handle):
                await self.attachments.retire(endpoint)
                await blocking(self._taker.give_back, handle)
            return True

    # What the clean-up needs

    def busy(self) -> Collection[str]:
        return list(self.attachments.handles)

    async def release_endpoint(self, endpoint: Resource[WorkloadEndpointSpec]) -> None:
        await self._remove(endpoint.spec.workload)

    def endpoints(self) -> list[Resource[WorkloadEndpointSpec]]:
        """Those that this plug-in made on this host. It blocks."""
        listed = self.attachments.client.list(WORKLOAD_ENDPOINT).items
        return [found for found in listed if names.is_ours(found, self.node)]


def _sandbox(namespace: int, pid: int) -> Sandbox:
    try:
        return Sandbox(namespace)
    except NotFound as error:
        raise Invalid(f"process {pid}: {error}") from error
    except Invalid as error:
        raise Invalid(f"process {pid} is in the network namespace of the host") from error
