"""WorkloadEndpoint: one interface of one container."""

from __future__ import annotations

import msgspec

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


WORKLOAD_ENDPOINT = Kind(
    name="WorkloadEndpoint", plural="workloadendpoints", spec=WorkloadEndpointSpec, namespaced=True
)


def endpoint_name(node: str, orchestrator: str, segment: str, endpoint: str) -> str:
    """The name that Calico computes: the four parts, each dash in them doubled, joined by single dashes.

    `segment` is the container id for cni, the literal `libnetwork` for libnetwork, else the workload.
    """
    return "-".join(part.replace("-", "--") for part in (node, orchestrator, segment, endpoint))
