"""The names and values under which an interface made by CNI is known to the rest of the house. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tortie.model.kinds.workload_endpoint import (
    CONTAINER_ANNOTATION,
    WORKLOAD_ENDPOINT,
    WorkloadEndpointSpec,
    endpoint_name,
)
from tortie.model.resource import Metadata, Resource
from tortie.plugins import interfaces
from tortie.plugins.cni.asking import Asking
from tortie.plugins.cni.call import Call
from tortie.plugins.cni.settings import object_in
from tortie.plugins.interfaces import FIRST, STAMP_ANNOTATION, hashed_interface, masked
from tortie.plugins.labels import task_notes
from tortie.plugins.profile import HANDLE_ANNOTATION, NETWORK_ANNOTATION

ALLOCATION = "cni"
"""The attribute `type` of the addresses of our endpoints; `ALONE` of those that another plug-in uses."""
ALONE = "cni-ipam"


def host_interface(asking: Asking, container: str, interface: str) -> str:
    """The host's end, by the pod's name where there is one: it outlives a pod's containers."""
    if asking.orchestrator == "k8s":
        return hashed_interface(f"{asking.namespace}.{asking.workload}", interface)
    return interfaces.host_interface(container, interface)


def handle_of(network: str, container: str, interface: str) -> str:
    """Calico's, but for a container's further interfaces: each can be given back alone."""
    return f"{network}.{container}" if interface == FIRST else f"{network}.{container}.{interface}"


def endpoint_key(node: str, asking: Asking, interface: str) -> str:
    return WORKLOAD_ENDPOINT.key(_name(node, asking, interface), asking.namespace)


def _name(node: str, asking: Asking, interface: str) -> str:
    return endpoint_name(node, asking.orchestrator, asking.workload, interface)


def endpoint_resource(
    node: str, call: Call, asking: Asking, *, addresses: Sequence[str], mac: str
) -> Resource[WorkloadEndpointSpec]:
    """The endpoint as Calico's plug-in names it, in the profile of its network. `addresses` without masks."""
    kubernetes = asking.orchestrator == "k8s"
    return Resource(
        kind=WORKLOAD_ENDPOINT,
        metadata=Metadata(
            name=_name(node, asking, call.interface),
            namespace=asking.namespace,
            labels={
                **asking.labels,
                "projectcalico.org/namespace": asking.namespace,
                "projectcalico.org/orchestrator": asking.orchestrator,
            },
            annotations=_annotations(call, asking),
        ),
        spec=WorkloadEndpointSpec(
            orchestrator=asking.orchestrator,
            node=node,
            container_id=call.container,
            pod=asking.workload if kubernetes else "",
            endpoint=call.interface,
            ip_networks=tuple(map(masked, addresses)),
            profiles=(call.network,),
            interface_name=host_interface(asking, call.container, call.interface),
            mac=mac,
        ),
    )


def _annotations(call: Call, asking: Asking) -> dict[str, str]:
    return {
        HANDLE_ANNOTATION: handle_of(call.network, call.container, call.interface),
        NETWORK_ANNOTATION: call.network,
        **({STAMP_ANNOTATION: call.stamp} if call.stamp else {}),
        **({CONTAINER_ANNOTATION: asking.name} if asking.name else {}),
        **task_notes(object_in(call.config, "args")),
    }


def is_ours(endpoint: Resource[WorkloadEndpointSpec], node: str) -> bool:
    """Made by this plug-in on this node: others may write endpoints of the same orchestrators."""
    annotations = endpoint.metadata.annotations
    return (
        endpoint.spec.node == node
        and endpoint.spec.orchestrator in ("cni", "k8s")
        and HANDLE_ANNOTATION in annotations
        and NETWORK_ANNOTATION in annotations
    )
