"""The kinds of resource, one file each. Everything that deals with all kinds reads KINDS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from tortie.model.resource import Kind

_FILES = {
    "BGPConfiguration": "bgp_configuration",
    "BGPFilter": "bgp_filter",
    "BGPPeer": "bgp_peer",
    "BlockAffinity": "block_affinity",
    "CalicoNodeStatus": "calico_node_status",
    "ClusterInformation": "cluster_information",
    "FelixConfiguration": "felix_configuration",
    "GlobalNetworkPolicy": "global_network_policy",
    "GlobalNetworkSet": "global_network_set",
    "HostEndpoint": "host_endpoint",
    "IPPool": "ip_pool",
    "IPReservation": "ip_reservation",
    "IPAMConfig": "ipam_config",
    "IPAMConfiguration": "ipam_configuration",
    "KubeControllersConfiguration": "kube_controllers_configuration",
    "LiveMigration": "live_migration",
    "NetworkPolicy": "network_policy",
    "NetworkSet": "network_set",
    "Node": "node",
    "Profile": "profile",
    "StagedGlobalNetworkPolicy": "staged_global_network_policy",
    "StagedKubernetesNetworkPolicy": "staged_kubernetes_network_policy",
    "StagedNetworkPolicy": "staged_network_policy",
    "Tier": "tier",
    "WorkloadEndpoint": "workload_endpoint",
}
"""The file of each kind; its name in capitals is that of the kind in it."""


class Kinds(Mapping[str, Kind[Any]]):
    """By name. A kind's file is imported when the kind is asked for: a command needs one or two of them."""

    def __getitem__(self, name: str) -> Kind[Any]:
        file = _FILES[name]
        kind: Kind[Any] = getattr(import_module(f"{__name__}.{file}"), file.upper())
        return kind

    def __contains__(self, name: object) -> bool:
        return name in _FILES

    def __iter__(self) -> Iterator[str]:
        return iter(_FILES)

    def __len__(self) -> int:
        return len(_FILES)


KINDS = Kinds()
