"""The kinds of resource, one file each. Everything that deals with all kinds reads KINDS."""

from __future__ import annotations

from typing import Any

from tortie.model.kinds.bgp_configuration import BGP_CONFIGURATION
from tortie.model.kinds.bgp_filter import BGP_FILTER
from tortie.model.kinds.bgp_peer import BGP_PEER
from tortie.model.kinds.block_affinity import BLOCK_AFFINITY
from tortie.model.kinds.calico_node_status import CALICO_NODE_STATUS
from tortie.model.kinds.cluster_information import CLUSTER_INFORMATION
from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY
from tortie.model.kinds.global_network_set import GLOBAL_NETWORK_SET
from tortie.model.kinds.host_endpoint import HOST_ENDPOINT
from tortie.model.kinds.ip_pool import IP_POOL
from tortie.model.kinds.ip_reservation import IP_RESERVATION
from tortie.model.kinds.ipam_config import IPAM_CONFIG
from tortie.model.kinds.ipam_configuration import IPAM_CONFIGURATION
from tortie.model.kinds.kube_controllers_configuration import KUBE_CONTROLLERS_CONFIGURATION
from tortie.model.kinds.live_migration import LIVE_MIGRATION
from tortie.model.kinds.network_policy import NETWORK_POLICY
from tortie.model.kinds.network_set import NETWORK_SET
from tortie.model.kinds.node import NODE
from tortie.model.kinds.profile import PROFILE
from tortie.model.kinds.staged_global_network_policy import STAGED_GLOBAL_NETWORK_POLICY
from tortie.model.kinds.staged_kubernetes_network_policy import STAGED_KUBERNETES_NETWORK_POLICY
from tortie.model.kinds.staged_network_policy import STAGED_NETWORK_POLICY
from tortie.model.kinds.tier import TIER
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.model.resource import Kind

KINDS: dict[str, Kind[Any]] = {
    kind.name: kind
    for kind in (
        BGP_CONFIGURATION,
        BGP_FILTER,
        BGP_PEER,
        BLOCK_AFFINITY,
        CALICO_NODE_STATUS,
        CLUSTER_INFORMATION,
        FELIX_CONFIGURATION,
        GLOBAL_NETWORK_POLICY,
        GLOBAL_NETWORK_SET,
        HOST_ENDPOINT,
        IP_POOL,
        IP_RESERVATION,
        IPAM_CONFIG,
        IPAM_CONFIGURATION,
        KUBE_CONTROLLERS_CONFIGURATION,
        LIVE_MIGRATION,
        NETWORK_POLICY,
        NETWORK_SET,
        NODE,
        PROFILE,
        STAGED_GLOBAL_NETWORK_POLICY,
        STAGED_KUBERNETES_NETWORK_POLICY,
        STAGED_NETWORK_POLICY,
        TIER,
        WORKLOAD_ENDPOINT,
    )
}
