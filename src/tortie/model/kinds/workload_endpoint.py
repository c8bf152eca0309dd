"""WorkloadEndpoint: one interface of one container."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tortie.model import checks
from tortie.model.checks import Problem
from tortie.model.codec import Value
from tortie.model.resource import Kind


class EndpointPort(Value, frozen=True, kw_only=True):
    name: str
    protocol: int | str
    port: int


class WorkloadEndpointSpec(Value, frozen=True, kw_only=True):
    """`ip_networks` holds addresses with /32 or /128; `interface_name` is the host's side of the pair."""

    orchestrator: str = ""
    workload: str = ""
    node: str = ""
    container_id: str = msgspec.field(default="", name="containerID")
    endpoint: str = ""
    ip_networks: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    interface_name: str = ""
    mac: str = ""
    ports: tuple[EndpointPort, ...] = ()


def check(spec: WorkloadEndpointSpec) -> Iterator[Problem]:
    for field, value in (("node", spec.node), ("orchestrator", spec.orchestrator), ("endpoint", spec.endpoint)):
        if not value:
            yield Problem(f"spec.{field}", "is missing")
        elif value.startswith("-") or value.endswith("-"):
            yield Problem(f"spec.{field}", f"{value!r} begins or ends with '-'")
    for network in spec.ip_networks:
        yield from checks.host_address("spec.ipNetworks", network)
    if spec.interface_name:
        yield from checks.interface("spec.interfaceName", spec.interface_name)
    if spec.mac:
        yield from checks.mac("spec.mac", spec.mac)
    for item in spec.ports:
        yield from checks.protocol("spec.ports.protocol", item.protocol)
        if not 1 <= item.port <= 65535:
            yield Problem("spec.ports.port", f"{item.port} is not between 1 and 65535")


WORKLOAD_ENDPOINT = Kind(
    name="WorkloadEndpoint", plural="workloadendpoints", spec=WorkloadEndpointSpec, namespaced=True, check=check
)


def endpoint_name(node: str, orchestrator: str, segment: str, endpoint: str) -> str:
    """The name that Calico computes: the four parts, each dash in them doubled, joined by single dashes.

    `segment` is the container id for cni, the literal `libnetwork` for libnetwork, else the workload.
    """
    return "-".join(part.replace("-", "--") for part in (node, orchestrator, segment, endpoint))
