"""The names and values under which an interface made by CNI is known to the rest of the house. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from tortie.model.kinds.workload_endpoint import (
    CONTAINER_ANNOTATION,
    WORKLOAD_ENDPOINT,
    WorkloadEndpointSpec,
    endpoint_name,
)
from tortie.model.resource import Metadata, Resource
from tortie.plugins.cni.asking import Asking
from tortie.plugins.cni.call import Call
from tortie.plugins.profile import HANDLE_ANNOTATION, NETWORK_ANNOTATION

HOST_PREFIX = "cali"
FIRST = "eth0"
STAMP_ANNOTATION = "org.tortie/network-namespace"
"""Which network namespace the interface is in, as `device:inode`: a late DEL of an earlier one is told by it."""
ALLOCATION = "cni"
"""The attribute `type` of the addresses of our endpoints; `ALONE` of those that another plug-in uses."""
ALONE = "cni-ipam"
_OF_ITS_OWN = re.compile(r"[0-9a-f]{12,}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def host_interface(asking: Asking, container: str, interface: str) -> str:
    """The host's end. The beginning of an id does where it is unlike that of any other; else a hash of all of it."""
    if asking.orchestrator == "k8s":
        return _hashed(f"{asking.namespace}.{asking.workload}", interface)
    if interface == FIRST and _OF_ITS_OWN.fullmatch(container):
        return HOST_PREFIX + container[:11]
    return _hashed(container, interface)


def _hashed(text: str, interface: str) -> str:
    whole = text if interface == FIRST else f"{text}/{interface}"
    return HOST_PREFIX + hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest()[:11]


def handle_of(network: str, container: str, interface: str) -> str:
    """Calico's, but for a container's further interfaces: each can be given back alone."""
    return f"{network}.{container}" if interface == FIRST else f"{network}.{container}.{interface}"


def masked(address: str) -> str:
    """A workload's network is its address alone."""
    return f"{address}/{128 if ':' in address else 32}"


def mac_of(container: str, interface: str) -> str:
    """A locally administered address of the interface's own, the same at every attempt."""
    digest = hashlib.sha256(f"{container}/{interface}".encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))


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
