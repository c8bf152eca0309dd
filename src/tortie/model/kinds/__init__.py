"""The kinds of resource, one file each. Everything that deals with all kinds reads KINDS."""

from __future__ import annotations

from typing import Any

from tortie.model.kinds.bgp_configuration import BGP_CONFIGURATION
from tortie.model.kinds.cluster_information import CLUSTER_INFORMATION
from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY
from tortie.model.kinds.global_network_set import GLOBAL_NETWORK_SET
from tortie.model.kinds.host_endpoint import HOST_ENDPOINT
from tortie.model.kinds.ip_pool import IP_POOL
from tortie.model.kinds.ip_reservation import IP_RESERVATION
from tortie.model.kinds.network_policy import NETWORK_POLICY
from tortie.model.kinds.network_set import NETWORK_SET
from tortie.model.kinds.node import NODE
from tortie.model.kinds.profile import PROFILE
from tortie.model.kinds.staged_global_network_policy import STAGED_GLOBAL_NETWORK_POLICY
from tortie.model.kinds.staged_network_policy import STAGED_NETWORK_POLICY
from tortie.model.kinds.tier import TIER
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.model.resource import Kind

KINDS: dict[str, Kind[Any]] = {
    kind.name: kind
    for kind in (
        BGP_CONFIGURATION,
        CLUSTER_INFORMATION,
        FELIX_CONFIGURATION,
        GLOBAL_NETWORK_POLICY,
        GLOBAL_NETWORK_SET,
        HOST_ENDPOINT,
        IP_POOL,
        IP_RESERVATION,
        NETWORK_POLICY,
        NETWORK_SET,
        NODE,
        PROFILE,
        STAGED_GLOBAL_NETWORK_POLICY,
        STAGED_NETWORK_POLICY,
        TIER,
        WORKLOAD_ENDPOINT,
    )
}
