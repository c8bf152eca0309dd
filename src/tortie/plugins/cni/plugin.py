"""What each command of CNI does on one host, undone when it fails and fit to be said twice."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio

from tortie.base.errors import Conflict, Invalid, NotFound, TortieError, Unavailable
from tortie.dataplane.kernel.sandbox import Pair, Sandbox
from tortie.dataplane.kernel.unlinking import unlink
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.model.resource import Resource
from tortie.plugins.attachments import Attachments
from tortie.plugins.calls import blocking, deadline
from tortie.plugins.cni import names
from tortie.plugins.cni.addresses import Taker
from tortie.plugins.cni.asking import Asking, read_asking
from tortie.plugins.cni.call import Call
from tortie.plugins.cni.failures import (
    CONFIGURATION,
    NOT_AVAILABLE,
    OTHER,
    PREVIOUS_RESULT,
    UNKNOWN_CONTAINER,
    CniError,
)
from tortie.plugins.cni.results import Interface, Result, chained, encoded, shaped
from tortie.plugins.cni.settings import Settings, object_in, read_settings
from tortie.plugins.interfaces import STAMP_ANNOTATION, mac_of, masked
from tortie.plugins.ports import Addresses, Gate
from tortie.plugins.profile import (
    HANDLE_ANNOTATION,
    NETWORK_ANNOTATION,
    check_network_name,
    ensure_profile,
    network_profile,
)
from tortie.store.client import Client
from tortie.store.port import Datastore

log = logging.getLogger("cni")

ADD_SECONDS = 30.0
DEL_SECONDS = 30.0


class Plugin:
    """One host's plug-in. Calls about different containers run side by side, those about one container in turn."""

    def __init__(
        self,
        *,
        datastore: Datastore,
        gate: Gate,
        addresses: Addresses,
        node: str,
        mtu: Callable[[], int | None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.datastore = datastore
        self.client = Client(datastore)
        self.node = node
        self.attachments = Attachments(datastore, gate)
        self._taker = Taker(addresses, self.client, clock)
        self._mtu = mtu

    def _turn(self, call: Call) -> AbstractAsyncContextManager[None]:
        return self.attachments.turn(call.container, names.handle_of(call.network, call.container, call.interface))

    # ADD

    async def add(self, call: Call, namespace: int | None) -> bytes:
        """The answer, once the interface is there and its policy in force. `namespace`: an open descriptor of it."""
        asking, settings = read_asking(call), read_settings(call.config)
        await self._check(call, settings)
        async with self._turn(call):
            with deadline(ADD_SECONDS, "ADD"):
                if call.plugin.endswith("-ipam"):
                    return await self._add_addresses(call, asking, settings)
                if namespace is None:
                    raise CniError(UNKNOWN_CONTAINER, f"no network namespace at {call.netns}")
                sandbox = _sandbox(namespace, call.netns)
                endpoint = await self._attach(call, asking, settings, sandbox)
        return _answer(call, endpoint)

    async def _check(self, call: Call, settings: Settings) -> None:
        if settings.node and settings.node.lower() != self.node:
            raise CniError(CONFIGURATION, f"nodename {settings.node!r}: the agent of this host is {self.node!r}")
        check_network_name(call.network)
        await self.attachments.check_ready()

    async def _add_addresses(self, call: Call, asking: Asking, settings: Settings) -> bytes:
        """For another plug-in, which makes the interface."""
        found = await blocking(self._taker.take, call, asking, settings, (), names.ALONE)
        return encoded(shaped(Result(addresses=[masked(address) for address in found]), call.version))

    async def _attach(
        self, call: Call, asking: Asking, settings: Settings, sandbox: Sandbox
    ) -> Resource[WorkloadEndpointSpec]:
        earlier = await blocking(self.attachments.find, names.endpoint_key(self.node, asking, call.interface))
        held: Sequence[str] = ()
        if earlier is not None:
            if not _is_of(earlier, call):
                raise Conflict(f"interface {call.interface} of container {call.container} is of another network")
            held = [network.partition("/")[0] for network in earlier.spec.ip_networks]
            await self._remove(call, earlier)
        addresses = await blocking(self._taker.take, call, asking, settings, held)
        try:
            return await self._join(call, asking, settings, sandbox, addresses)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._undo(call, asking, settings)
            raise

    async def _join(
        self, call: Call, asking: Asking, settings: Settings, sandbox: Sandbox, addresses: Sequence[str]
    ) -> Resource[WorkloadEndpointSpec]:
        mac = asking.mac or mac_of(call.container, call.interface)
        endpoint = names.endpoint_resource(self.node, call, asking, addresses=addresses, mac=mac)
        pair = Pair(
            host=endpoint.spec.interface_name,
            inside=call.interface,
            mac=mac,
            mtu=settings.mtu or self._mtu() or 0,
            addresses=addresses,
            forwarding=settings.forwarding,
        )
        if settings.makes_profile:
            await blocking(ensure_profile, self.datastore, network_profile(call.network))
        await self.attachments.attach(sandbox, pair, endpoint)
        return endpoint

    async def _undo(self, call: Call, asking: Asking, settings: Settings) -> None:
        """What a failed ADD made. Whatever cannot be taken back now is taken back by the DEL that follows."""
        endpoint = names.endpoint_resource(self.node, call, asking, addresses=(), mac="")
        try:
            await self._remove(call, endpoint)
            if settings.ipam:
                await blocking(self._taker.give_back_delegated, call, settings.ipam)
        except TortieError as error:
            log.warning("container %s: a failed ADD is not undone yet: %s", call.container, error)

    # DEL

    async def delete(self, call: Call) -> None:
        """Interface, endpoint and addresses are gone. What was not there is fine; so is a namespace that is gone."""
        asking, settings = read_asking(call), read_settings(call.config)
        async with self._turn(call):
            with deadline(DEL_SECONDS, "DEL"):
                if call.plugin.endswith("-ipam"):
                    await blocking(self._taker.give_back, call)
                    return
                endpoint = await blocking(self.attachments.find, names.endpoint_key(self.node, asking, call.interface))
                if endpoint is not None and _is_late(endpoint, call):
                    log.info("container %s: this DEL is of an earlier network namespace", call.container)
                    return
                if endpoint is not None and not _is_of(endpoint, call):
                    await blocking(self._taker.give_back, call)  # another network's interface has its name
                    return
                await self._remove(call, endpoint)
                if settings.ipam:
                    await blocking(self._taker.give_back_delegated, call, settings.ipam)

    async def _remove(self, call: Call, endpoint: Resource[WorkloadEndpointSpec] | None) -> None:
        """The addresses last: whoever has them next must find nothing of this one in the kernel."""
        if endpoint is None:
            asking = read_asking(call)
            await blocking(unlink, names.host_interface(asking, call.container, call.interface))
        else:
            await self.attachments.retire(endpoint)
        await blocking(self._taker.give_back, call)

    # CHECK, GC, STATUS

    async def check(self, call: Call, namespace: int | None) -> None:
        """CniError says what is not as ADD left it."""
        if call.config.get("prevResult") is None:
            raise CniError(PREVIOUS_RESULT, "required prevResult missing")
        asking = read_asking(call)
        key = names.endpoint_key(self.node, asking, call.interface)
        endpoint = await blocking(self.attachments.find, key)
        if endpoint is None:
            raise CniError(UNKNOWN_CONTAINER, f"container {call.container} has no endpoint {call.interface}")
        missing = list(self.attachments.gate.missing(key))
        if namespace is None:
            missing.append(f"no network namespace at {call.netns}")
        else:
            missing += _differences(
                endpoint, await blocking(_sandbox(namespace, call.netns).interfaces), call.interface
            )
        if missing:
            raise CniError(OTHER, f"container {call.container}: {'; '.join(missing)}")

    async def collect(self, call: Call) -> None:
        """GC: what the runtime does not list as valid any more, of this network and this host."""
        valid = _valid(call)
        failures = []
        for endpoint in await blocking(self.endpoints):
            of = endpoint.spec.container_id, endpoint.spec.endpoint
            if endpoint.metadata.annotations[NETWORK_ANNOTATION] != call.network or of in valid:
                continue
            try:
                await self.release_endpoint(endpoint)
                log.info("collected container %s, which the runtime does not list", endpoint.spec.container_id)
            except TortieError as error:
                failures.append(str(error))
        if failures:
            raise Unavailable("; ".join(failures))

    def status(self) -> None:
        """CniError with the reasons while no container should be started here."""
        if reasons := self.attachments.gate.not_ready():
            raise CniError(NOT_AVAILABLE, "plugin is not available", "; ".join(reasons))

    # What the clean-up needs

    def busy(self) -> Collection[str]:
        return list(self.attachments.handles)

    async def release_endpoint(self, endpoint: Resource[WorkloadEndpointSpec]) -> None:
        """All of an endpoint that nobody will ask to delete any more."""
        call = Call(
            plugin="calico",
            command="DEL",
            version="",
            network=endpoint.metadata.annotations[NETWORK_ANNOTATION],
            config={},
            stdin=b"{}",
            container=endpoint.spec.container_id,
            interface=endpoint.spec.endpoint,
        )
        async with self._turn(call):
            await self.attachments.retire(endpoint)
            await blocking(self._taker.give_back, call)

    def endpoints(self) -> list[Resource[WorkloadEndpointSpec]]:
        """Those that this plug-in made on this host. It blocks."""
        return [found for found in self.client.list(WORKLOAD_ENDPOINT).items if names.is_ours(found, self.node)]


def _sandbox(namespace: int, path: str) -> Sandbox:
    try:
        return Sandbox(namespace)
    except NotFound as error:
        raise CniError(UNKNOWN_CONTAINER, f"{path}: {error}") from error
    except Invalid as error:
        raise CniError(PREVIOUS_RESULT, str(error)) from error


def _answer(call: Call, endpoint: Resource[WorkloadEndpointSpec]) -> bytes:
    spec = endpoint.spec
    result = Result(
        addresses=spec.ip_networks,
        interfaces=[
            Interface(name=spec.interface_name),
            Interface(name=call.interface, mac=spec.mac, sandbox=call.netns),
        ],
        interface=1,
        dns=object_in(call.config, "dns"),
    )
    previous: Any = call.config.get("prevResult")
    return encoded(chained(shaped(result, call.version), previous, call.version))


def _is_of(endpoint: Resource[WorkloadEndpointSpec], call: Call) -> bool:
    handle = names.handle_of(call.network, call.container, call.interface)
    return endpoint.metadata.annotations.get(HANDLE_ANNOTATION) == handle


def _is_late(endpoint: Resource[WorkloadEndpointSpec], call: Call) -> bool:
    """The container has been given an interface in another network namespace since."""
    stamp = endpoint.metadata.annotations.get(STAMP_ANNOTATION, "")
    return bool(stamp and call.stamp and stamp != call.stamp)


def _differences(endpoint: Resource[WorkloadEndpointSpec], there: Mapping[str, Any], interface: str) -> list[str]:
    seen = there.get(interface)
    if seen is None:
        return [f"interface {interface} is not in the container"]
    found = [] if seen.up else [f"interface {interface} is down"]
    wanted = {network.partition("/")[0] for network in endpoint.spec.ip_networks}
    return found + [f"{address} is not on {interface}" for address in sorted(wanted - set(seen.addresses))]


def _valid(call: Call) -> set[tuple[str, str]]:
    """Both spellings: libraries write the older one beside the specification's."""
    given = call.config.get("cni.dev/valid-attachments", call.config.get("cni.dev/attachments"))
    if given is None:
        raise CniError(CONFIGURATION, "cni.dev/valid-attachments is missing")
    try:
        return {(str(item["containerID"]), str(item["ifname"])) for item in given}
    except (TypeError, KeyError) as error:
        raise CniError(CONFIGURATION, "cni.dev/valid-attachments: containerID and ifname are needed") from error
