"""The names and values under which a Docker endpoint is known to the rest of the house."""

from __future__ import annotations

from collections.abc import Mapping

from tortie.model.kinds.workload_endpoint import (
    CONTAINER_ANNOTATION,
    WORKLOAD_ENDPOINT,
    WorkloadEndpointSpec,
    endpoint_name,
)
from tortie.model.resource import Metadata, Resource
from tortie.plugins.profile import HANDLE_ANNOTATION, NETWORK_ANNOTATION

DRIVER = "calico"
ORCHESTRATOR = "libnetwork"
ADDED = "docker"
"""Orchestrator of an endpoint that `calicoctl container add` gave to a container beside the engine's own networks; its
workload is the container's id."""
HOST_PREFIX, PEER_PREFIX, CONTAINER_PREFIX = "cali", "temp", "cali"
LABEL_PREFIX = "org.projectcalico.label."
REPLICA_LABEL = "org.tortie.replica"


def host_interface(endpoint_id: str) -> str:
    """The host's end of the pair."""
    return HOST_PREFIX + endpoint_id[:11]


def peer_interface(endpoint_id: str) -> str:
    """The container's end, until the engine moves and renames it."""
    return PEER_PREFIX + endpoint_id[:11]


def handle_of(endpoint_id: str) -> str:
    return f"{ORCHESTRATOR}.{endpoint_id}"


def added_handle(endpoint_id: str) -> str:
    return f"{ADDED}.{endpoint_id}"


def resource_name(node: str, endpoint_id: str) -> str:
    return endpoint_name(node, ORCHESTRATOR, ORCHESTRATOR, endpoint_id)


def endpoint_key(node: str, endpoint_id: str) -> str:
    return WORKLOAD_ENDPOINT.key(resource_name(node, endpoint_id), ORCHESTRATOR)


def carried_labels(container_labels: Mapping[str, str]) -> dict[str, str]:
    """The labels that a container asks its endpoint to carry: those with Calico's prefix, without it."""
    return {
        key.removeprefix(LABEL_PREFIX): value
        for key, value in container_labels.items()
        if key.startswith(LABEL_PREFIX) and len(key) > len(LABEL_PREFIX)
    }


def endpoint_resource(
    *,
    node: str,
    endpoint_id: str,
    network: str,
    address: str,
    mac: str,
    container: str,
    labels: Mapping[str, str],
    notes: Mapping[str, str] | None = None,
) -> Resource[WorkloadEndpointSpec]:
    """The endpoint as Calico's driver names it, in the profile of its network. `notes`: annotations beside our own."""
    return Resource(
        kind=WORKLOAD_ENDPOINT,
        metadata=Metadata(
            name=resource_name(node, endpoint_id),
            namespace=ORCHESTRATOR,
            labels={
                **labels,
                "projectcalico.org/namespace": ORCHESTRATOR,
                "projectcalico.org/orchestrator": ORCHESTRATOR,
            },
            annotations={
                **(notes or {}),
                HANDLE_ANNOTATION: handle_of(endpoint_id),
                NETWORK_ANNOTATION: network,
                **({CONTAINER_ANNOTATION: container} if container else {}),
            },
        ),
        spec=WorkloadEndpointSpec(
            orchestrator=ORCHESTRATOR,
            workload=ORCHESTRATOR,
            node=node,
            endpoint=endpoint_id,
            ip_networks=(f"{address}/32",),
            profiles=(network,),
            interface_name=host_interface(endpoint_id),
            mac=mac,
        ),
    )
