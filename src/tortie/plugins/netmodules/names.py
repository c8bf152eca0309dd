"""The names and values under which a task's interface is known to the rest of the house. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tortie.model.kinds.profile import PROFILE, ProfileSpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec, endpoint_name
from tortie.model.resource import Metadata, Resource
from tortie.model.rule import EntityRule, Rule
from tortie.plugins.interfaces import FIRST, STAMP_ANNOTATION, host_interface, mac_of, masked
from tortie.plugins.netmodules.asking import Isolate
from tortie.plugins.profile import HANDLE_ANNOTATION, network_profile
from tortie.wire.netmodules import PUBLIC

NAMESPACE = "default"
ORCHESTRATOR = "mesos"
ALLOCATION = "net-modules"
"""The attribute `type` of the addresses of our endpoints."""
HANDLE_PREFIX = "mesos."
"""Keeps a uid, which is any text, apart from the handles of others."""


def handle_of(uid: str) -> str:
    return HANDLE_PREFIX + uid


def endpoint_key(node: str, container: str) -> str:
    return WORKLOAD_ENDPOINT.key(endpoint_name(node, ORCHESTRATOR, container, FIRST), NAMESPACE)


def endpoint_resource(node: str, asking: Isolate, *, handle: str, stamp: str) -> Resource[WorkloadEndpointSpec]:
    """The endpoint as the original names it. `handle`: of its addresses; empty when they are not of our giving."""
    return Resource(
        kind=WORKLOAD_ENDPOINT,
        metadata=Metadata(
            name=endpoint_name(node, ORCHESTRATOR, asking.container, FIRST),
            namespace=NAMESPACE,
            labels={
                **asking.labels,
                "projectcalico.org/namespace": NAMESPACE,
                "projectcalico.org/orchestrator": ORCHESTRATOR,
            },
            annotations={HANDLE_ANNOTATION: handle, STAMP_ANNOTATION: stamp, **asking.notes},
        ),
        spec=WorkloadEndpointSpec(
            orchestrator=ORCHESTRATOR,
            workload=asking.container,
            node=node,
            endpoint=FIRST,
            ip_networks=tuple(map(masked, asking.addresses)),
            profiles=tuple(profile_names(asking.hostname, asking.groups)),
            interface_name=host_interface(asking.container),
            mac=mac_of(asking.container),
        ),
    )


def is_ours(endpoint: Resource[WorkloadEndpointSpec], node: str) -> bool:
    """Made by this plug-in on this node: others may write endpoints of the same orchestrator."""
    spec = endpoint.spec
    return (
        spec.node == node and spec.orchestrator == ORCHESTRATOR and HANDLE_ANNOTATION in endpoint.metadata.annotations
    )


def default_name(hostname: str) -> str:
    return f"default_{hostname}"


def profile_names(hostname: str, groups: Sequence[str]) -> list[str]:
    """The host's own first, then `public`, then the other groups in their order."""
    public = [PUBLIC] if PUBLIC in groups else []
    return [default_name(hostname), *public, *(group for group in dict.fromkeys(groups) if group != PUBLIC)]


def profiles(hostname: str, groups: Sequence[str], host: str) -> list[Resource[ProfileSpec]]:
    """What each profile is when it is made. `host`: the address by which an agent and its tasks reach each other."""
    first, *rest = profile_names(hostname, groups)
    return [_default(first, host), *(_public() if name == PUBLIC else network_profile(name) for name in rest)]


def _default(name: str, host: str) -> Resource[ProfileSpec]:
    side = EntityRule(nets=(masked(host),))
    spec = ProfileSpec(
        ingress=(Rule(action="Allow", source=side),),
        egress=(Rule(action="Allow", destination=side),),
        labels_to_apply={name: ""},
    )
    return Resource(kind=PROFILE, metadata=Metadata(name=name), spec=spec)


def _public() -> Resource[ProfileSpec]:
    everything = (Rule(action="Allow"),)
    spec = ProfileSpec(ingress=everything, egress=everything, labels_to_apply={PUBLIC: ""})
    return Resource(kind=PROFILE, metadata=Metadata(name=PUBLIC), spec=spec)
