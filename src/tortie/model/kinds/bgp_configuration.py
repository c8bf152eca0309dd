"""BGPConfiguration `default` and `node.NAME`: AS number, mesh, what is advertised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from tortie.model import as_number, checks
from tortie.model.checks import Problem
from tortie.model.codec import Value
from tortie.model.kinds.bgp_peer import BGPPassword
from tortie.model.named import check_default_or_node
from tortie.model.resource import Kind, Metadata, Resource


class ServiceCidr(Value, frozen=True, kw_only=True):
    cidr: str = ""


class Community(Value, frozen=True, kw_only=True):
    name: str = ""
    value: str = ""


class PrefixAdvertisement(Value, frozen=True, kw_only=True):
    cidr: str = ""
    communities: tuple[str, ...] = ()


class BGPConfigurationSpec(Value, frozen=True, kw_only=True):
    log_severity_screen: str | None = None
    node_to_node_mesh_enabled: bool | None = None
    as_number: int | str | None = None
    service_load_balancer_ips: tuple[ServiceCidr, ...] = msgspec.field(default=(), name="serviceLoadBalancerIPs")
    service_external_ips: tuple[ServiceCidr, ...] = msgspec.field(default=(), name="serviceExternalIPs")
    service_cluster_ips: tuple[ServiceCidr, ...] = msgspec.field(default=(), name="serviceClusterIPs")
    service_load_balancer_aggregation: Literal["Enabled", "Disabled"] | None = None
    communities: tuple[Community, ...] = ()
    prefix_advertisements: tuple[PrefixAdvertisement, ...] = ()
    listen_port: int | None = None
    node_mesh_password: BGPPassword | None = None
    node_mesh_max_restart_time: str | None = None
    bind_mode: Literal["None", "NodeIP"] | None = None
    ignored_interfaces: tuple[str, ...] = ()
    local_workload_peering_ipv4: str | None = msgspec.field(default=None, name="localWorkloadPeeringIPV4")
    local_workload_peering_ipv6: str | None = msgspec.field(default=None, name="localWorkloadPeeringIPV6")
    program_cluster_routes: Literal["Enabled", "Disabled", "EnabledIPIPOnly", "EnabledNoEncapOnly"] | None = None
    ipv4_normal_route_priority: int | None = msgspec.field(default=None, name="ipv4NormalRoutePriority")
    ipv6_normal_route_priority: int | None = msgspec.field(default=None, name="ipv6NormalRoutePriority")


def check(spec: BGPConfigurationSpec) -> Iterator[Problem]:
    yield from checks.one_of("spec.logSeverityScreen", spec.log_severity_screen, checks.SEVERITIES)
    yield from checks.as_number("spec.asNumber", spec.as_number)
    yield from checks.between("spec.listenPort", spec.listen_port, 1, 65535)
    for end, several in (
        ("serviceLoadBalancerIPs", spec.service_load_balancer_ips),
        ("serviceExternalIPs", spec.service_external_ips),
        ("serviceClusterIPs", spec.service_cluster_ips),
    ):
        for item in several:
            yield from checks.cidr(f"spec.{end}.cidr", item.cidr)
    if spec.communities and not spec.prefix_advertisements:
        yield Problem("spec.communities", "communities need prefixAdvertisements")
    for community in spec.communities:
        yield from checks.community("spec.communities.value", community.value)
    names = {community.name for community in spec.communities}
    for prefix in spec.prefix_advertisements:
        yield from checks.cidr("spec.prefixAdvertisements.cidr", prefix.cidr)
        for text in prefix.communities:
            if text not in names:
                yield from checks.community("spec.prefixAdvertisements.communities", text)
    if spec.node_to_node_mesh_enabled is False:
        for end, value in (
            ("nodeMeshPassword", spec.node_mesh_password),
            ("nodeMeshMaxRestartTime", spec.node_mesh_max_restart_time),
        ):
            if value is not None:
                yield Problem(f"spec.{end}", "cannot be set while nodeToNodeMeshEnabled is false")
    yield from checks.duration("spec.nodeMeshMaxRestartTime", spec.node_mesh_max_restart_time)
    for end, priority in (("4", spec.ipv4_normal_route_priority), ("6", spec.ipv6_normal_route_priority)):
        yield from checks.between(f"spec.ipv{end}NormalRoutePriority", priority, 1, 2**31 - 2)
    yield from checks.address("spec.localWorkloadPeeringIPV4", spec.local_workload_peering_ipv4, 4)
    yield from checks.address("spec.localWorkloadPeeringIPV6", spec.local_workload_peering_ipv6, 6)


OF_ALL_NODES = (
    "node_to_node_mesh_enabled",
    "as_number",
    "node_mesh_password",
    "node_mesh_max_restart_time",
    "service_load_balancer_ips",
    "service_external_ips",
    "service_cluster_ips",
)


def check_whole(resource: Resource[BGPConfigurationSpec]) -> Iterator[Problem]:
    """What all nodes must agree on can only be said for all of them."""
    yield from check_default_or_node(resource)
    for info in msgspec.structs.fields(resource.spec) if resource.name != "default" else ():
        if info.name in OF_ALL_NODES and getattr(resource.spec, info.name) not in (None, ()):
            yield Problem(f"spec.{info.encode_name}", "cannot be set on a non default BGP Configuration")


def defaults(metadata: Metadata, spec: BGPConfigurationSpec) -> tuple[Metadata, BGPConfigurationSpec]:
    """An AS number is stored as a plain one."""
    return metadata, msgspec.structs.replace(spec, as_number=as_number.plain(spec.as_number))


BGP_CONFIGURATION = Kind(
    name="BGPConfiguration",
    plural="bgpconfigurations",
    spec=BGPConfigurationSpec,
    check=check,
    check_whole=check_whole,
    defaults=defaults,
)
