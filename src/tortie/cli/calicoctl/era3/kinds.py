"""The kinds as the 3 grammar names and shows them."""

from __future__ import annotations

from typing import Any

from tortie.base.errors import Invalid
from tortie.cli.calicoctl.columns import Columns, Document, at, columns, field, text
from tortie.model.kinds import KINDS
from tortie.model.resource import Kind

ALIASES = {
    "np": "networkpolicy",
    "pol": "networkpolicy",
    "policy": "networkpolicy",
    "policies": "networkpolicy",
    "gnp": "globalnetworkpolicy",
    "snp": "stagednetworkpolicy",
    "sgnp": "stagedglobalnetworkpolicy",
    "sknp": "stagedkubernetesnetworkpolicy",
    "pro": "profile",
    "wep": "workloadendpoint",
    "hep": "hostendpoint",
    "netset": "networkset",
    "netsets": "networkset",
    "pool": "ippool",
    "pools": "ippool",
    "ipp": "ippool",
    "ipamconfig": "ipamconfiguration",
    "bgpconfig": "bgpconfiguration",
    "felixconfig": "felixconfiguration",
    "clusterinfo": "clusterinformation",
    "clusterinfos": "clusterinformation",
    "kcconfig": "kubecontrollersconfiguration",
    "no": "node",
}
SETS_WIDTH = 80


def kind_of(word: str) -> Kind[Any]:
    """The kind that a word of the command line names, in any case, singular or plural. Raises Invalid."""
    wanted = word.lower()
    wanted = ALIASES.get(wanted) or ALIASES.get(wanted.removesuffix("s")) or wanted
    for name in KINDS:
        # Most plurals end like this: only the others have to be asked of every kind.
        if wanted in (name.lower(), f"{name.lower()}s", f"{name.lower().removesuffix('y')}ies"):
            return KINDS[name]
    for kind in KINDS.values():
        if wanted == kind.plural:
            return kind
    raise Invalid(f"resource type '{word}' is not supported")


def _cut(path: str) -> Any:
    def cell(document: Document) -> str:
        whole = text(field(document, path) or ())
        return whole if len(whole) <= SETS_WIDTH else whole[: SETS_WIDTH - 3] + "..."

    return cell


def _count(path: str) -> Any:
    return lambda document: str(len(field(document, path) or ()))


def _asn(document: Document) -> str:
    bgp = field(document, "spec.bgp")
    return "" if bgp is None else text(bgp.get("asNumber") or "(64512)")


def _peer_node(document: Document) -> str:
    spec = document["spec"]
    return str(spec.get("node") or spec.get("nodeSelector") or "(global)")


_POLICY = columns(
    "NAME TIER",
    "NAME TIER ORDER SELECTOR",
    NAME="metadata.name",
    TIER=at("spec.tier", "default"),
    ORDER=at("spec.order", "<nil>"),
    SELECTOR="spec.selector",
)
_SET = columns("NAME", "NAME NETS", NAME="metadata.name", NETS=_cut("spec.nets"))
_NAME = columns("NAME", NAME="metadata.name")

_COLUMNS = {
    "NetworkPolicy": _POLICY,
    "GlobalNetworkPolicy": _POLICY,
    "StagedNetworkPolicy": _POLICY,
    "StagedGlobalNetworkPolicy": _POLICY,
    "StagedKubernetesNetworkPolicy": columns(
        "NAME", "NAME PODSELECTOR", NAME="metadata.name", PODSELECTOR="spec.podSelector"
    ),
    "Tier": columns("NAME ORDER", NAME="metadata.name", ORDER=at("spec.order", "<nil>")),
    "Profile": columns("NAME", "NAME LABELS", NAME="metadata.name", LABELS="spec.labelsToApply"),
    "WorkloadEndpoint": columns(
        "WORKLOAD NODE NETWORKS INTERFACE",
        "NAME WORKLOAD NODE NETWORKS INTERFACE PROFILES NATS",
        NAME="metadata.name",
        WORKLOAD=lambda d: str(d["spec"].get("pod") or d["spec"].get("workload") or ""),
        ORCHESTRATOR="spec.orchestrator",
        NODE="spec.node",
        NETWORKS="spec.ipNetworks",
        INTERFACE="spec.interfaceName",
        PROFILES="spec.profiles",
        NATS=lambda d: ",".join(
            f"{nat.get('internalIP')}->{nat.get('externalIP')}" for nat in d["spec"].get("ipNATs") or ()
        ),
        MAC="spec.mac",
    ),
    "HostEndpoint": columns(
        "NAME NODE",
        "NAME NODE INTERFACE IPS PROFILES",
        NAME="metadata.name",
        NODE="spec.node",
        INTERFACE="spec.interfaceName",
        IPS="spec.expectedIPs",
        PROFILES="spec.profiles",
    ),
    "GlobalNetworkSet": _SET,
    "NetworkSet": _SET,
    "IPPool": columns(
        "NAME CIDR SELECTOR",
        "NAME CIDR NAT IPIPMODE VXLANMODE DISABLED DISABLEBGPEXPORT SELECTOR ASSIGNMENTMODE",
        NAME="metadata.name",
        CIDR="spec.cidr",
        NAT=at("spec.natOutgoing", "false"),
        IPIPMODE=at("spec.ipipMode", "Never"),
        VXLANMODE=at("spec.vxlanMode", "Never"),
        DISABLED=at("spec.disabled", "false"),
        DISABLEBGPEXPORT=at("spec.disableBGPExport", "false"),
        SELECTOR=at("spec.nodeSelector", "all()"),
        ASSIGNMENTMODE=at("spec.assignmentMode", "Automatic"),
    ),
    "IPReservation": columns("NAME", "NAME CIDRS", NAME="metadata.name", CIDRS=_cut("spec.reservedCIDRs")),
    "IPAMConfiguration": columns(
        "NAME STRICTAFFINITY AUTOALLOCATEBLOCKS",
        "NAME STRICTAFFINITY AUTOALLOCATEBLOCKS MAXBLOCKSPERHOST",
        NAME="metadata.name",
        STRICTAFFINITY=at("spec.strictAffinity", "false"),
        AUTOALLOCATEBLOCKS=at("spec.autoAllocateBlocks", "true"),
        MAXBLOCKSPERHOST=at("spec.maxBlocksPerHost", "0"),
    ),
    "Node": columns(
        "NAME",
        "NAME ASN IPV4 IPV6",
        NAME="metadata.name",
        ASN=_asn,
        IPV4="spec.bgp.ipv4Address",
        IPV6="spec.bgp.ipv6Address",
    ),
    "BGPPeer": columns(
        "NAME PEERIP NODE ASN",
        NAME="metadata.name",
        PEERIP="spec.peerIP",
        NODE=_peer_node,
        ASN=at("spec.asNumber", "0"),
    ),
    "BGPConfiguration": columns(
        "NAME LOGSEVERITY MESHENABLED ASNUMBER",
        NAME="metadata.name",
        LOGSEVERITY=at("spec.logSeverityScreen", "-"),
        MESHENABLED=at("spec.nodeToNodeMeshEnabled", "-"),
        ASNUMBER=at("spec.asNumber", "-"),
    ),
    "BGPFilter": columns(
        "NAME NUMEXPORTV4 NUMIMPORTV4 NUMEXPORTV6 NUMIMPORTV6",
        NAME="metadata.name",
        NUMEXPORTV4=_count("spec.exportV4"),
        NUMIMPORTV4=_count("spec.importV4"),
        NUMEXPORTV6=_count("spec.exportV6"),
        NUMIMPORTV6=_count("spec.importV6"),
    ),
    "ClusterInformation": columns(
        "NAME CLUSTERGUID CLUSTERTYPE CALICOVERSION DATASTOREREADY",
        NAME="metadata.name",
        CLUSTERGUID="spec.clusterGUID",
        CLUSTERTYPE="spec.clusterType",
        CALICOVERSION="spec.calicoVersion",
        DATASTOREREADY=at("spec.datastoreReady", "false"),
    ),
    "CalicoNodeStatus": columns(
        "NAME NODE", "NAME NODE CLASSES", NAME="metadata.name", NODE="spec.node", CLASSES="spec.classes"
    ),
}


def columns_of(kind: Kind[Any], *, namespaces: bool = False) -> Columns:
    """With `namespaces` a first column for the namespace, as `-n` and `-A` show it."""
    found = _COLUMNS.get(kind.name, _NAME)
    if not (namespaces and kind.namespaced):
        return found
    return Columns(
        {"NAMESPACE": at("metadata.namespace"), **found.cells},
        ("NAMESPACE", *found.narrow),
        ("NAMESPACE", *found.wide),
    )
