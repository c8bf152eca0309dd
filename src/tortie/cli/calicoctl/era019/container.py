"""`calicoctl container …`: a container of this host, its addresses and its profiles."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import msgspec

from tortie.base.errors import Conflict, NotFound, TortieError
from tortie.cli.calicoctl.era019 import attach, endpoint, show, usage
from tortie.cli.calicoctl.era019.host import hostname, need_root
from tortie.cli.calicoctl.era019.line import Failure, UsageError, read
from tortie.model.kinds.ip_pool import IP_POOL
from tortie.model.kinds.node import NODE
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.model.resource import Resource
from tortie.plugins.docker.names import added_handle
from tortie.store.client import Client

Job = Callable[[Client], str]
Endpoint = Resource[WorkloadEndpointSpec]
UNKNOWN = "Container is unknown to Calico."
ATTEMPTS = 50
LONGEST_INTERFACE = 15


def command(arguments: Sequence[str], environ: Mapping[str, str]) -> Job:
    """Raises UsageError, and Failure for values that can never be right."""
    line = read(arguments, usage.CONTAINER, values=("--interface",))
    interface, own = line.values.get("--interface", "eth1"), hostname(environ)
    match line.words:
        case ("add", name, text):
            _check(text, interface, ranges=True)
            return lambda client: _add(client, own, name, text, interface, environ)
        case ("remove", name) if not line.values:
            return lambda client: _remove(client, own, name, environ)
        case (name, "ip", "add" | "remove" as word, text):
            _check(text, interface, ranges=word == "add")
            change = _ip_add if word == "add" else _ip_remove
            return lambda client: change(client, own, name, text, interface, environ)
        case (name, "endpoint", "show") if not line.values:
            return lambda client: show.detailed([item.spec for item in _all(client, own, name, environ)])
        case (name, "profile", "append" | "remove" | "set" as word, *names) if not line.values:
            return lambda client: endpoint.change(
                client, lambda: endpoint.only(_all(client, own, name, environ), UNKNOWN), word, names
            )
    raise UsageError(usage.CONTAINER)


def _check(text: str, interface: str, *, ranges: bool) -> None:
    """An address; with `ranges` also a family or a range to take one from."""
    problems = []
    try:
        if text.lower() not in ("ipv4", "ipv6") or not ranges:
            ip_network(text) if "/" in text and ranges else ip_address(text)
    except ValueError:
        problems.append("Invalid IP address specified.  Argument must be a valid IP" + (" or CIDR." if ranges else "."))
    if not 0 < len(interface) <= LONGEST_INTERFACE or any(char in "/ \t\n:" for char in interface):
        problems.append(f"Invalid interface name specified: {interface}")
    if problems:
        raise Failure("\n".join(problems))


def _all(client: Client, own: str, name: str, environ: Mapping[str, str]) -> list[Endpoint]:
    """Every endpoint that the container has: by `container add`, and by networks of the engine."""
    there = [item for item in client.list(WORKLOAD_ENDPOINT).items if item.spec.node == own]
    added = [item for item in there if _is_ours(item, name)]
    if added:  # its full id: the engine may know it no more
        return added
    container = attach.inspect(name, environ)
    return [item for item in there if _is_ours(item, container.id) or item.spec.endpoint in container.endpoints]


def _is_ours(item: Endpoint, container: str) -> bool:
    return item.spec.orchestrator == attach.ORCHESTRATOR and item.spec.workload == container


def _running(name: str, environ: Mapping[str, str]) -> attach.Container:
    container = attach.inspect(name, environ)
    if not container.running:
        raise Failure(f"{name} is not currently running.")
    return container


def _added(client: Client, own: str, name: str, container: attach.Container) -> Endpoint:
    """Its endpoint by `container add`; addresses of the engine's networks are the engine's to give."""
    found = [item for item in client.list(WORKLOAD_ENDPOINT).items if item.spec.node == own]
    for item in found:
        if _is_ours(item, container.id):
            return item
    if any(item.spec.endpoint in container.endpoints for item in found):
        raise Failure(f"The addresses of {name} come from its Docker network: `docker network connect` gives another.")
    raise Failure(UNKNOWN)


# add, remove


def _add(client: Client, own: str, name: str, text: str, interface: str, environ: Mapping[str, str]) -> str:
    need_root()
    container = _running(name, environ)
    if container.mode == "host":
        raise Failure(f"Can't add {name} to Calico because it is running NetworkMode = host.")
    if _all(client, own, name, environ):
        raise Failure(f"{name} has already been configured with Calico Networking.")
    take = _taker(client, own, text)
    address = attach.attach(client, own, container, interface, take)
    return f"IP {address} added to {name}"


def _taker(client: Client, own: str, text: str) -> Callable[[str], str]:
    """Takes an address under a handle: this one, or a free one of a family or a pool. Raises Failure before that when
    it cannot be had."""
    from tortie.ipam.allocator import Allocator

    allocator, pools = Allocator(client.datastore, own), [item.spec.cidr for item in client.list(IP_POOL).items]
    word = text.lower()
    version = int(word[-1]) if word in ("ipv4", "ipv6") else ip_interface(text).version
    node = client.find(NODE, own)
    bgp = node.spec.bgp if node else None
    if bgp is None or not (bgp.ipv4_address if version == 4 else bgp.ipv6_address):
        raise Failure(f"This node is not configured for IPv{version}.")
    if word in ("ipv4", "ipv6"):
        return lambda handle: str(allocator.auto_assign(handle, {}, now=time.time(), version=version))
    if "/" in text:
        cidr = str(ip_network(text))
        if cidr not in pools:
            raise Failure(f"Invalid CIDR specified for desired pool. No pool found for {cidr}.")
        return lambda handle: str(allocator.auto_assign(handle, {}, now=time.time(), pool=cidr, version=version))
    address = ip_address(text)
    if not any(address in ip_network(cidr, strict=False) for cidr in pools):
        raise Failure(f"{address} is not in any configured pools")

    def assign(handle: str) -> str:
        allocator.assign(address, handle, {}, now=time.time())
        return str(address)

    return assign


def _remove(client: Client, own: str, name: str, environ: Mapping[str, str]) -> str:
    need_root()
    found = _all(client, own, name, environ)
    ours = [item for item in found if item.spec.orchestrator == attach.ORCHESTRATOR]
    if found and not ours:
        raise Failure(f"{name} is on a Docker network: `docker network disconnect` takes it off.")
    if not ours:
        raise Failure(f"Failed find Calico data for {name}")
    for item in ours:
        attach.detach(client, item)
    return f"Removed Calico from {name}"


# addresses


def _ip_add(client: Client, own: str, name: str, text: str, interface: str, environ: Mapping[str, str]) -> str:
    from tortie.dataplane.kernel import inside

    need_root()
    container = _running(name, environ)
    item = _added(client, own, name, container)
    _check_interface(container, interface)
    address = _taker(client, own, text)(added_handle(item.spec.endpoint))
    network = attach.network_of(address)
    try:
        _change(client, item, lambda networks: (*networks, network))
        inside.add_address(container.namespace, interface, address)
        attach.wait_programmed(item.key, address)
    except TortieError:
        _change(client, item, lambda networks: tuple(other for other in networks if other != network))
        attach.release(client, [network])
        raise
    return f"IP {address} added to {name}"


def _ip_remove(client: Client, own: str, name: str, text: str, interface: str, environ: Mapping[str, str]) -> str:
    from tortie.dataplane.kernel import inside

    need_root()
    container = _running(name, environ)
    item = _added(client, own, name, container)
    network = attach.network_of(str(ip_address(text)))
    if network not in item.spec.ip_networks:
        raise Failure("IP address is not assigned to container. Aborting.")
    _check_interface(container, interface)
    inside.remove_address(container.namespace, interface, text)
    _change(client, item, lambda networks: tuple(other for other in networks if other != network))
    attach.release(client, [network])
    return f"IP {ip_address(text)} removed from {name}"


def _check_interface(container: attach.Container, interface: str) -> None:
    from tortie.dataplane.kernel import inside

    if interface not in inside.names(container.namespace):
        raise Failure(f"The container has no interface {interface}.")


def _change(client: Client, item: Endpoint, wanted: Callable[[tuple[str, ...]], tuple[str, ...]]) -> None:
    """Another set of addresses, again when somebody else wrote in between."""
    for _ in range(ATTEMPTS):
        found = client.get(WORKLOAD_ENDPOINT, item.name, item.metadata.namespace)
        spec = msgspec.structs.replace(found.spec, ip_networks=wanted(found.spec.ip_networks))
        try:
            client.update(replace(found, spec=spec))
        except (Conflict, NotFound):
            continue
        return
    raise Conflict(f"WorkloadEndpoint {item.name} was changed by others {ATTEMPTS} times in a row")
