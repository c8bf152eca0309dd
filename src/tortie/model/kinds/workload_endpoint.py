"""WorkloadEndpoint: one interface of one container."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address

import msgspec

from tortie.model import checks
from tortie.model.checks import Problem
from tortie.model.codec import Value
from tortie.model.network_sets import NAMESPACE_LABEL
from tortie.model.resource import Kind, Metadata, Resource

ORCHESTRATOR_LABEL = "projectcalico.org/orchestrator"
# Who lives at an endpoint, where the spec has no field for it: the container's name, the task's id and its name.
CONTAINER_ANNOTATION = "org.tortie/container"
TASK_ANNOTATION = "org.tortie/task"
TASK_NAME_ANNOTATION = "org.tortie/task-name"


class EndpointPort(Value, frozen=True, kw_only=True):
    """A port with a name for rules; a workload's may have none when the host only passes it on."""

    name: str = ""
    protocol: int | str
    port: int
    host_port: int | None = None
    host_ip: str | None = msgspec.field(default=None, name="hostIP")


class Nat(Value, frozen=True, kw_only=True):
    internal_ip: str = msgspec.field(default="", name="internalIP")
    external_ip: str = msgspec.field(default="", name="externalIP")


class QosControls(Value, frozen=True, kw_only=True):
    ingress_bandwidth: int | None = None
    egress_bandwidth: int | None = None
    ingress_burst: int | None = None
    egress_burst: int | None = None
    ingress_peakrate: int | None = None
    egress_peakrate: int | None = None
    ingress_minburst: int | None = None
    egress_minburst: int | None = None
    ingress_packet_rate: int | None = None
    egress_packet_rate: int | None = None
    ingress_packet_burst: int | None = None
    egress_packet_burst: int | None = None
    ingress_max_connections: int | None = None
    egress_max_connections: int | None = None
    dscp: int | str | None = None


class WorkloadEndpointSpec(Value, frozen=True, kw_only=True):
    """`ip_networks` holds addresses with /32 or /128; `interface_name` is the host's side of the pair."""

    orchestrator: str = ""
    workload: str = ""
    node: str = ""
    container_id: str = msgspec.field(default="", name="containerID")
    pod: str = ""
    endpoint: str = ""
    service_account_name: str = ""
    ip_networks: tuple[str, ...] = ()
    ip_nats: tuple[Nat, ...] = msgspec.field(default=(), name="ipNATs")
    ipv4_gateway: str = msgspec.field(default="", name="ipv4Gateway")
    ipv6_gateway: str = msgspec.field(default="", name="ipv6Gateway")
    profiles: tuple[str, ...] = ()
    interface_name: str = ""
    mac: str = ""
    ports: tuple[EndpointPort, ...] = ()
    allow_spoofed_source_prefixes: tuple[str, ...] = ()
    qos_controls: QosControls | None = None


_SEGMENTS = {"k8s": "pod", "cni": "containerID"}


def check(spec: WorkloadEndpointSpec) -> Iterator[Problem]:
    for field, value in (("node", spec.node), ("orchestrator", spec.orchestrator), ("endpoint", spec.endpoint)):
        if not value:
            yield Problem(f"spec.{field}", "is missing")
        elif value.startswith("-") or value.endswith("-"):
            yield Problem(f"spec.{field}", f"{value!r} begins or ends with '-'")
    if spec.container_id and re.fullmatch(checks.CONTAINER_ID, spec.container_id) is None:
        yield Problem("spec.containerID", f"{spec.container_id!r} is no id of a container")
    if spec.node != spec.node.lower():
        yield Problem("spec.node", f"{spec.node!r} is not in lower case, as names of nodes are")
    segment = _SEGMENTS.get(spec.orchestrator, "workload")
    if spec.orchestrator != "libnetwork" and not segment_of(spec):
        yield Problem(f"spec.{segment}", "is missing")
    for network in spec.ip_networks:
        yield from checks.host_address("spec.ipNetworks", network)
    yield from _check_nats(spec)
    yield from checks.address("spec.ipv4Gateway", spec.ipv4_gateway, 4)
    yield from checks.address("spec.ipv6Gateway", spec.ipv6_gateway, 6)
    if spec.interface_name:
        yield from checks.interface("spec.interfaceName", spec.interface_name)
    if spec.mac:
        yield from checks.mac("spec.mac", spec.mac)
    yield from check_ports(spec.ports)
    for prefix in spec.allow_spoofed_source_prefixes:
        yield from checks.cidr("spec.allowSpoofedSourcePrefixes", prefix, plain=True)


def _check_nats(spec: WorkloadEndpointSpec) -> Iterator[Problem]:
    own = {network.partition("/")[0] for network in spec.ip_networks}
    for nat in spec.ip_nats:
        try:
            versions = {ip_address(nat.internal_ip).version, ip_address(nat.external_ip).version}
        except ValueError as error:
            yield Problem("spec.ipNATs", str(error))
            continue
        if nat.internal_ip not in own:
            yield Problem("spec.ipNATs", f"NAT is not in the endpoint networks: {nat.internal_ip}")
        if len(versions) > 1:
            yield Problem("spec.ipNATs", f"{nat.internal_ip} and {nat.external_ip} are of different IP versions")


def check_ports(ports: tuple[EndpointPort, ...]) -> Iterator[Problem]:
    for item in ports:
        if not (item.host_port and not item.name) and re.fullmatch(checks.PORT_NAME, item.name) is None:
            yield Problem("spec.ports.name", f"{item.name!r} is no name of a port")
        yield from checks.protocol("spec.ports.protocol", item.protocol)
        yield from checks.between("spec.ports.port", item.port, 1, 65535)
        yield from checks.between("spec.ports.hostPort", item.host_port, 0, 65535)


def defaults(metadata: Metadata, spec: WorkloadEndpointSpec) -> tuple[Metadata, WorkloadEndpointSpec]:
    """The labels that tell namespace and orchestrator are forced."""
    forced = {NAMESPACE_LABEL: metadata.namespace or "", ORCHESTRATOR_LABEL: spec.orchestrator}
    return msgspec.structs.replace(metadata, labels={**metadata.labels, **forced}), spec


def endpoint_name(node: str, orchestrator: str, segment: str, endpoint: str) -> str:
    """The name that Calico computes: the four parts, each dash in them doubled, joined by single dashes.

    `segment` is what `segment_of` says.
    """
    return "-".join(part.replace("-", "--") for part in (node, orchestrator, segment, endpoint))


def segment_of(spec: WorkloadEndpointSpec) -> str:
    """The part of the name that tells the workload: pod for k8s, container id for cni, a literal for libnetwork."""
    if spec.orchestrator == "libnetwork":
        return "libnetwork"
    return {"k8s": spec.pod, "cni": spec.container_id}.get(spec.orchestrator, spec.workload)


def name_of(spec: WorkloadEndpointSpec) -> str:
    return endpoint_name(spec.node, spec.orchestrator, segment_of(spec), spec.endpoint)


def check_name(resource: Resource[WorkloadEndpointSpec]) -> Iterator[Problem]:
    """The name is computed from the spec. Where no key can hold that one, any that a key can hold will do."""
    wanted = name_of(resource.spec)
    if resource.name != wanted and re.fullmatch(checks.SUBDOMAIN, wanted) and len(wanted) <= checks.MAX_NAME:
        reason = "the WorkloadEndpoint name does not match the primary identifiers assigned in the Spec"
        yield Problem("metadata.name", f"{reason}: expected name {wanted}")


WORKLOAD_ENDPOINT = Kind(
    name="WorkloadEndpoint",
    plural="workloadendpoints",
    spec=WorkloadEndpointSpec,
    namespaced=True,
    check=check,
    check_whole=check_name,
    defaults=defaults,
)
