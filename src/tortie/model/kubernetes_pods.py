"""A Kubernetes Pod as the endpoint that policy sees; values in, values out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec

from tortie.base.errors import Invalid
from tortie.model.codec import UNREADABLE, Value, from_builtins
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, EndpointPort, WorkloadEndpointSpec, name_of
from tortie.model.resource import Metadata, Resource, problems, with_defaults

ORCHESTRATOR, INTERFACE = "k8s", "eth0"
ACCOUNT_LABEL = "projectcalico.org/serviceaccount"
DEFAULT_NAMESPACE, DEFAULT_ACCOUNT = "default", "default"
FINISHED = ("Succeeded", "Failed")
# The network plug-in notes the address before the kubelet reports it.
ADDRESSES, ADDRESS = "cni.projectcalico.org/podIPs", "cni.projectcalico.org/podIP"
CONTAINER_ID = "cni.projectcalico.org/containerID"


class ContainerPort(Value, frozen=True, kw_only=True):
    container_port: int
    name: str = ""
    protocol: str = "TCP"
    host_port: int | None = None
    host_ip: str | None = msgspec.field(default=None, name="hostIP")


class Container(Value, frozen=True, kw_only=True):
    ports: tuple[ContainerPort, ...] = ()


class PodSpec(Value, frozen=True, kw_only=True):
    node_name: str = ""
    service_account_name: str = DEFAULT_ACCOUNT
    host_network: bool = False
    containers: tuple[Container, ...] = ()


class PodAddress(Value, frozen=True, kw_only=True):
    ip: str = ""


class PodStatus(Value, frozen=True, kw_only=True):
    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    pod_ips: tuple[PodAddress, ...] = msgspec.field(default=(), name="podIPs")


class Pod(Value, frozen=True, kw_only=True):
    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


def pod_to_endpoint(document: Any, *, node: str = "", address: str = "") -> Resource[WorkloadEndpointSpec] | None:
    """The endpoint of a Pod, with the profiles of its namespace and of its service account.

    None for a pod that has none: it is finished, uses its host's network, or is not placed or has no address yet.
    `node` and `address` stand in where the document is a manifest, which cannot say them. Invalid says what is wrong.
    """
    try:
        pod = from_builtins(Pod, document)
    except UNREADABLE as error:
        raise Invalid(f"Pod: {error}") from error
    placed, addresses = pod.spec.node_name or node, _addresses(pod) or ((address,) if address else ())
    if pod.spec.host_network or pod.status.phase in FINISHED or not placed or not addresses:
        return None
    namespace, name = pod.metadata.namespace or DEFAULT_NAMESPACE, pod.metadata.name
    account = pod.spec.service_account_name or DEFAULT_ACCOUNT
    spec = WorkloadEndpointSpec(
        orchestrator=ORCHESTRATOR,
        node=placed,
        container_id=pod.metadata.annotations.get(CONTAINER_ID, ""),
        pod=name,
        endpoint=INTERFACE,
        service_account_name=account,
        ip_networks=tuple(text if "/" in text else f"{text}/{128 if ':' in text else 32}" for text in addresses),
        profiles=(f"kns.{namespace}", f"ksa.{namespace}.{account}"),
        interface_name=interface_of(namespace, name),
        ports=tuple(_ports(pod)),
    )
    metadata = Metadata(
        name=name_of(spec),
        namespace=namespace,
        labels={**pod.metadata.labels, ACCOUNT_LABEL: account},
        uid=pod.metadata.uid,
        creation_timestamp=pod.metadata.creation_timestamp,
    )
    endpoint = with_defaults(Resource(kind=WORKLOAD_ENDPOINT, metadata=metadata, spec=spec))
    faults = [f"Pod {namespace}/{name}: {problem}" for problem in problems(endpoint)]
    if faults:
        raise Invalid(*faults)
    return endpoint


def interface_of(namespace: str, pod: str) -> str:
    """The host's side of the pod's pair of interfaces."""
    return "cali" + hashlib.sha1(f"{namespace}.{pod}".encode(), usedforsecurity=False).hexdigest()[:11]


def _addresses(pod: Pod) -> tuple[str, ...]:
    noted = pod.metadata.annotations.get(ADDRESSES) or pod.metadata.annotations.get(ADDRESS) or ""
    if noted:
        return tuple(text.strip() for text in noted.split(",") if text.strip())
    reported = tuple(item.ip for item in pod.status.pod_ips if item.ip)
    return reported or ((pod.status.pod_ip,) if pod.status.pod_ip else ())


def _ports(pod: Pod) -> Iterator[EndpointPort]:
    """The ports that rules can name, and those that the host passes on."""
    for container in pod.spec.containers:
        for port in container.ports:
            if port.name or port.host_port:
                yield EndpointPort(
                    name=port.name,
                    protocol=port.protocol,
                    port=port.container_port,
                    host_port=port.host_port,
                    host_ip=port.host_ip,
                )
