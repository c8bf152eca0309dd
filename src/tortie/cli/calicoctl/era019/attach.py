"""A container of this host gets an interface of ours beside what it has, and loses it again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import Any
from urllib.parse import quote

import msgspec

from tortie.base.errors import NotFound, TortieError, Unavailable
from tortie.cli.calicoctl import node_status, unix_http
from tortie.cli.calicoctl.era019.line import Failure
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec, name_of
from tortie.model.resource import Metadata, Resource
from tortie.plugins.docker.names import ADDED, added_handle, host_interface
from tortie.store.client import Client

ORCHESTRATOR = ADDED
NAMESPACE = "default"
PEER_PREFIX = "peer"
ENGINE = "/var/run/docker.sock"
SECONDS = 10.0
Endpoint = Resource[WorkloadEndpointSpec]


@dataclass(frozen=True, slots=True)
class Container:
    """What the engine says of one. `endpoints`: ids of the endpoints that it has by networks of the engine."""

    id: str
    pid: int
    running: bool
    mode: str
    endpoints: frozenset[str]

    @property
    def namespace(self) -> str:
        return f"/proc/{self.pid}/ns/net"


def inspect(name: str, environ: Mapping[str, str]) -> Container:
    """Raises Failure when there is no such container, or no engine to ask."""
    host = environ.get("DOCKER_HOST") or f"unix://{ENGINE}"
    if not host.startswith("unix://"):
        raise Failure(f"DOCKER_HOST={host}: the engine must be on this host: unix://PATH")
    try:
        status, body = unix_http.get(host.removeprefix("unix://"), f"/v1.41/containers/{quote(name, safe='')}/json")
    except Unavailable as error:
        raise Failure("Unable to run docker commands. Is the docker daemon running?") from error
    if status == 404:
        raise Failure(f"Container {name} was not found.")
    if status != 200:
        raise Failure(f"Docker: {body.decode(errors='replace').strip()}")
    try:
        raw = json.loads(body)
        return Container(
            id=raw["Id"],
            pid=raw["State"]["Pid"],
            running=raw["State"]["Running"],
            mode=raw["HostConfig"]["NetworkMode"],
            endpoints=frozenset(
                network["EndpointID"] for network in (raw["NetworkSettings"]["Networks"] or {}).values()
            )
            - {""},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Failure(f"Docker: its answer about {name} cannot be read: {error!r}") from error


def attach(client: Client, node: str, container: Container, interface: str, take: Callable[[str], str]) -> str:
    """The address that the container got. `take` gets one under a handle. After any failure nothing of it is left.

    Raises Unavailable when the node does not program it, Conflict for an interface that is there already.
    """
    from uuid import uuid4

    from tortie.dataplane.kernel import inside, veth
    from tortie.plugins.docker.driver import mac_of

    if unix_http.peer_pid(node_status.SOCKET) is None:
        raise Unavailable("the node of this host is not running: `calicoctl node` starts it")
    made = uuid4().hex
    host, peer, mac = host_interface(made), f"{PEER_PREFIX}{made[:11]}", mac_of(made)
    with ExitStack() as undo:
        address = take(added_handle(made))
        undo.callback(release, client, [address])
        veth.create_pair(host, peer, mac)
        undo.callback(veth.delete, host)
        inside.move(peer, container.pid)
        default = not inside.has_default(container.namespace, 6 if ":" in address else 4)
        inside.configure(container.namespace, peer, interface, address, default=default)
        endpoint = _resource(node, container.id, made, address, host, mac)
        client.create(endpoint)
        undo.callback(_forget, client, endpoint)
        wait_programmed(endpoint.key, address)
        undo.pop_all()
    return address


def _resource(node: str, container: str, made: str, address: str, host: str, mac: str) -> Endpoint:
    spec = WorkloadEndpointSpec(
        orchestrator=ORCHESTRATOR,
        workload=container,
        node=node,
        endpoint=made,
        ip_networks=(network_of(address),),
        interface_name=host,
        mac=mac,
    )
    return Resource(kind=WORKLOAD_ENDPOINT, metadata=Metadata(name=name_of(spec), namespace=NAMESPACE), spec=spec)


def network_of(address: str) -> str:
    return f"{address}/{128 if ':' in address else 32}"


def _forget(client: Client, endpoint: Endpoint) -> None:
    try:
        client.delete(WORKLOAD_ENDPOINT, endpoint.name, endpoint.metadata.namespace)
    except NotFound:
        return


def wait_programmed(key: str, address: str, seconds: float = SECONDS) -> None:
    """Until the node says that the endpoint is up with this address. Raises Unavailable, with what is missing."""
    deadline = time.monotonic() + seconds
    while True:
        found = _state(key)
        if found.get("state") == "up" and address in found.get("addresses", ()):
            return
        if time.monotonic() > deadline:
            why = "; ".join(found.get("reasons") or ["the node does not know it yet"])
            raise Unavailable(f"the endpoint is not in force after {seconds:g} s: {why}")
        time.sleep(0.05)


def _state(key: str) -> dict[str, Any]:
    try:
        told = msgspec.json.decode(unix_http.get(node_status.SOCKET, "/status")[1])
        found: dict[str, Any] = told["endpoints"].get(key) or {}
    except (TortieError, msgspec.MsgspecError, KeyError, TypeError) as error:
        return {"reasons": [str(error)]}
    return found


def detach(client: Client, endpoint: Endpoint) -> None:
    """Interface, resource, addresses, in this order."""
    from tortie.dataplane.kernel import veth

    if endpoint.spec.interface_name:
        veth.delete(endpoint.spec.interface_name)
    _forget(client, endpoint)
    release(client, endpoint.spec.ip_networks)


def release(client: Client, networks: Iterable[str]) -> None:
    """Addresses back to their pools; one that nobody had is fine."""
    from tortie.ipam.allocator import Allocator

    allocator = Allocator(client.datastore, "calicoctl")
    for network in networks:
        allocator.release(ip_interface(network).ip, now=time.time())
