"""The kinds of resource, one file each. Everything that deals with all kinds reads KINDS."""

from __future__ import annotations

from typing import Any

from tortie.model.kinds.bgp_configuration import BGP_CONFIGURATION
from tortie.model.kinds.cluster_information import CLUSTER_INFORMATION
from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION
from tortie.model.kinds.ip_pool import IP_POOL
from tortie.model.kinds.ip_reservation import IP_RESERVATION
from tortie.model.kinds.node import NODE
from tortie.model.kinds.profile import PROFILE
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.model.resource import Kind

KINDS: dict[str, Kind[Any]] = {
    kind.name: kind
    for kind in (
        BGP_CONFIGURATION,
        CLUSTER_INFORMATION,
        FELIX_CONFIGURATION,
        IP_POOL,
        IP_RESERVATION,
        NODE,
        PROFILE,
        WORKLOAD_ENDPOINT,
    )
}
