"""Chapter 3 of the reference (the v3 API), section by section: every field, default and check that it names."""

from __future__ import annotations

import json
import typing
from typing import Any

import msgspec
import pytest

from tortie.base.errors import Invalid
from tortie.model.codec import KEPT, Value
from tortie.model.documents import item
from tortie.model.kinds import KINDS
from tortie.model.kinds.profile import DEFAULT_ALLOW
from tortie.model.kinds.tier import BUILT_IN
from tortie.model.policy_parts import TIER_LABEL
from tortie.model.resource import Resource, decode, encode, problems, with_defaults, worded

NAMESPACED = "NetworkPolicy StagedNetworkPolicy StagedKubernetesNetworkPolicy NetworkSet WorkloadEndpoint LiveMigration"
# 5.1, which names each kind by its plural.
PLURALS = (
    "bgpconfigurations bgpfilters bgppeers blockaffinities caliconodestatuses clusterinformations felixconfigurations "
    "globalnetworkpolicies globalnetworksets hostendpoints ipamconfigs ipamconfigurations ippools ipreservations "
    "kubecontrollersconfigurations livemigrations networkpolicies networksets nodes profiles "
    "stagedglobalnetworkpolicies stagedkubernetesnetworkpolicies stagednetworkpolicies tiers workloadendpoints"
)


def made(kind: str, spec: Any, name: str = "x", **metadata: Any) -> Resource[Any]:
    namespace = {"namespace": "shop"} if KINDS[kind].namespaced else {}
    return decode(KINDS[kind], json.dumps({"metadata": {"name": name, **namespace, **metadata}, "spec": spec}).encode())


def faults(kind: str, spec: Any, name: str = "", **metadata: Any) -> list[str]:
    own = name or ("default" if kind.endswith(("Configuration", "Information")) else "x")
    return [str(problem) for problem in problems(made(kind, spec, own, **metadata))]


def stored(kind: str, spec: Any, name: str = "x", **metadata: Any) -> dict[str, Any]:
    return typing.cast(dict[str, Any], json.loads(encode(with_defaults(made(kind, spec, name, **metadata)))))


# 3.1


def test_3_1_which_kinds_there_are_and_which_are_namespaced() -> None:
    assert {kind.name for kind in KINDS.values() if kind.namespaced} == set(NAMESPACED.split())
    assert {kind.plural for kind in KINDS.values()} == set(PLURALS.split())


NAMES = [
    ("Node", "a" * 253, True),
    ("Node", "a" * 254, False),
    ("Node", "host-1.example", True),
    ("Node", "Host", False),
    ("Node", "a_b", False),
    ("Node", "-a", False),
    ("NetworkPolicy", "db", True),
    ("NetworkPolicy", "default.db", True),
    ("NetworkPolicy", "a.b.c", False),
    ("NetworkPolicy", "knp.default.a.b.c", True),
    ("NetworkPolicy", "ossg.default.a.b", True),
    ("GlobalNetworkPolicy", "default.db", True),
    ("GlobalNetworkPolicy", "a.b.c", False),
    ("Tier", "a" * 63, True),
    ("Tier", "a" * 64, False),
    ("Tier", "a.b", False),
]


@pytest.mark.parametrize(("kind", "name", "sound"), NAMES)
def test_3_1_names(kind: str, name: str, sound: bool) -> None:
    assert (faults(kind, {}, name) == []) == sound


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"labels": {"a b": "c"}}, "metadata.labels.a b: is no label key"),
        ({"labels": {"a": "b c"}}, "metadata.labels.a: 'b c' is no label value"),
        ({"labels": {"a": "b" * 64}}, "metadata.labels.a"),
        ({"annotations": {"a": "b" * 256 * 1024}}, "metadata.annotations: holds more than 262144 bytes"),
        ({"annotations": {"a b": ""}}, "metadata.annotations.a b: is no key of an annotation"),
    ],
)
def test_3_1_labels_and_annotations(metadata: dict[str, Any], said: str) -> None:
    (problem,) = faults("Node", {}, **metadata)
    assert problem.startswith(said)


def test_3_1_the_words_of_an_error() -> None:
    """`error with field <Name> = '<value>' (Reason: ...)`"""
    (text,) = worded(made("Node", {"bgp": {"ipv4Address": "x"}}))
    assert text.startswith("error with field spec.bgp.ipv4Address = 'x' (Reason: ")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"metadata": {"generateName": "a"}}, "generateName is not supported"),
        ({"metadata": {"name": "a", "lables": {}}}, "wrong location: metadata.lables"),
        ({"metadata": {"name": "a"}, "spec": {"ordr": 1}}, "wrong location: spec.ordr"),
        ({"metadata": {"name": "a"}, "spce": {}}, "wrong location: spce"),
        ({"metadata": {"name": "a"}, "spec": {"ingress": [{"action": "Allow", "sorce": {}}]}}, "spec.ingress[0].sorce"),
        ({"metadata": {"name": "a", "namespace": "b"}}, "namespace should not be specified"),
    ],
)
def test_3_1_and_trap_9_nothing_unknown_is_passed_over(document: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid) as caught:
        item({"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", **document})
    assert said in str(caught.value)


# Every field that the chapter names, by the section that names it.

RULE = "action ipVersion protocol notProtocol icmp notICMP source destination http metadata"
POLICY = "tier order ingress egress selector serviceAccountSelector types performanceHints"
GLOBAL = f"{POLICY} doNotTrack preDNAT applyOnForward namespaceSelector"
FIELDS = {
    # 3.2
    "NetworkPolicy": POLICY,
    "GlobalNetworkPolicy": GLOBAL,
    "StagedNetworkPolicy": f"{POLICY} stagedAction",
    "StagedGlobalNetworkPolicy": f"{GLOBAL} stagedAction",
    "StagedKubernetesNetworkPolicy": "stagedAction podSelector ingress egress policyTypes",
    "Tier": "order defaultAction",
    "Profile": "ingress egress labelsToApply",
    # 3.4
    "WorkloadEndpoint": (
        "orchestrator workload node containerID pod endpoint serviceAccountName ipNetworks ipNATs ipv4Gateway "
        "ipv6Gateway profiles interfaceName mac ports allowSpoofedSourcePrefixes qosControls"
    ),
    "HostEndpoint": "node interfaceName expectedIPs profiles ports",
    "NetworkSet": "nets",
    "GlobalNetworkSet": "nets",
    "IPPool": (
        "cidr vxlanMode ipipMode natOutgoing disabled disableBGPExport blockSize nodeSelector namespaceSelector "
        "allowedUses assignmentMode"
    ),
    "IPReservation": "reservedCIDRs",
    "IPAMConfiguration": (
        "strictAffinity autoAllocateBlocks maxBlocksPerHost kubeVirtVMAddressPersistence ipCooldownSeconds"
    ),
    # 3.5
    "Node": (
        "bgp ipv4VXLANTunnelAddr ipv6VXLANTunnelAddr vxlanTunnelMACAddr vxlanTunnelMACAddrV6 orchRefs wireguard "
        "addresses interfaces"
    ),
    "BGPConfiguration": (
        "logSeverityScreen nodeToNodeMeshEnabled asNumber serviceClusterIPs serviceExternalIPs serviceLoadBalancerIPs "
        "serviceLoadBalancerAggregation communities prefixAdvertisements listenPort nodeMeshPassword "
        "nodeMeshMaxRestartTime bindMode ignoredInterfaces localWorkloadPeeringIPV4 localWorkloadPeeringIPV6 "
        "programClusterRoutes ipv4NormalRoutePriority ipv6NormalRoutePriority"
    ),
    "BGPPeer": (
        "node nodeSelector peerIP peerSelector asNumber localASNumber keepOriginalNextHop nextHopMode password "
        "sourceAddress maxRestartTime keepaliveTime numAllowedLocalASNumbers ttlSecurity reachableBy filters "
        "localWorkloadSelector reversePeering"
    ),
    "BGPFilter": "exportV4 importV4 exportV6 importV6",
    "ClusterInformation": "clusterGUID clusterType calicoVersion datastoreReady variant",
    "FelixConfiguration": (
        "interfacePrefix interfaceExclude defaultEndpointToHostAction chainInsertMode iptablesFilterAllowAction "
        "iptablesMangleAllowAction iptablesFilterDenyAction iptablesBackend nftablesMode bpfEnabled ipv6Support "
        "ipipEnabled vxlanEnabled vxlanPort vxlanVNI ipipMTU vxlanMTU vxlanMTUV6 wireguardMTU wireguardMTUV6 "
        "natOutgoingAddress natPortRange logSeverityScreen logSeverityFile logSeveritySys logFilePath logPrefix "
        "iptablesMarkMask iptablesRefreshInterval routeRefreshInterval ipsetsRefreshInterval maxIpsetSize "
        "failsafeInboundHostPorts failsafeOutboundHostPorts reportingInterval reportingTTL endpointReportingEnabled "
        "endpointReportingDelay healthEnabled healthPort prometheusMetricsEnabled prometheusMetricsPort "
        "serviceLoopPrevention workloadSourceSpoofing floatingIPs deviceRouteProtocol removeExternalRoutes "
        "ipForwarding wireguardEnabled wireguardListeningPort usageReportingEnabled policySyncPathPrefix "
        "openstackRegion routeSource allowVXLANPacketsFromWorkloads allowIPIPPacketsFromWorkloads "
        "disableConntrackInvalidCheck"
    ),
    "KubeControllersConfiguration": (
        "logSeverityScreen healthChecks etcdV3CompactionPeriod prometheusMetricsPort controllers"
    ),
    "CalicoNodeStatus": "node classes updatePeriodSeconds",
    "BlockAffinity": "state node cidr deleted",
    "IPAMConfig": "strictAffinity autoAllocateBlocks maxBlocksPerHost",
    "LiveMigration": "",
}


def names(shape: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(shape)} - {KEPT}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_3_every_field_that_the_chapter_names_is_known(kind: str) -> None:
    assert set(FIELDS[kind].split()) - names(KINDS[kind].spec) == set()


PARTS = [
    # (section, kind, way to the part, its fields)
    ("3.3", "NetworkPolicy", "ingress", RULE),
    (
        "3.3",
        "NetworkPolicy",
        "ingress.source",
        "nets notNets selector notSelector namespaceSelector ports notPorts serviceAccounts services",
    ),
    ("3.3", "NetworkPolicy", "ingress.icmp", "type code"),
    ("3.3", "NetworkPolicy", "ingress.http", "methods paths"),
    ("3.3", "NetworkPolicy", "ingress.http.paths", "exact prefix"),
    ("3.3", "NetworkPolicy", "ingress.metadata", "annotations"),
    ("3.3", "NetworkPolicy", "ingress.source.serviceAccounts", "names selector"),
    ("3.3", "NetworkPolicy", "ingress.source.services", "name namespace"),
    ("3.4", "WorkloadEndpoint", "ipNATs", "internalIP externalIP"),
    ("3.4", "WorkloadEndpoint", "ports", "name protocol port hostPort hostIP"),
    (
        "3.4",
        "WorkloadEndpoint",
        "qosControls",
        " ".join(
            f"{way}{what}"
            for way in ("ingress", "egress")
            for what in ["Bandwidth", "Burst", "Peakrate", "Minburst", "PacketRate", "PacketBurst", "MaxConnections"]
        )
        + " dscp",
    ),
    ("3.4", "HostEndpoint", "ports", "name protocol port"),
    ("3.5", "Node", "bgp", "asNumber ipv4Address ipv6Address ipv4IPIPTunnelAddr routeReflectorClusterID"),
    ("3.5", "Node", "orchRefs", "nodeName orchestrator"),
    ("3.5", "Node", "wireguard", "interfaceIPv4Address interfaceIPv6Address"),
    ("3.5", "Node", "addresses", "address type"),
    ("3.5", "Node", "interfaces", "name addresses"),
    ("3.5", "BGPConfiguration", "communities", "name value"),
    ("3.5", "BGPConfiguration", "prefixAdvertisements", "cidr communities"),
    ("3.5", "BGPConfiguration", "serviceClusterIPs", "cidr"),
    ("3.5", "BGPPeer", "password", "secretKeyRef"),
    (
        "3.5",
        "BGPFilter",
        "exportV4",
        "action cidr matchOperator prefixLength source interface peerType communities asPathPrefix priority operations",
    ),
    ("3.5", "BGPFilter", "exportV4.prefixLength", "min max"),
    ("3.5", "BGPFilter", "exportV4.communities", "values"),
    ("3.5", "FelixConfiguration", "failsafeInboundHostPorts", "protocol port net"),
    (
        "3.5",
        "KubeControllersConfiguration",
        "controllers",
        "node policy workloadEndpoint serviceAccount namespace loadBalancer migration",
    ),
    (
        "3.5",
        "KubeControllersConfiguration",
        "controllers.node",
        "reconcilerPeriod syncLabels leakGracePeriod hostEndpoint",
    ),
    (
        "3.5",
        "KubeControllersConfiguration",
        "controllers.node.hostEndpoint",
        "autoCreate createDefaultHostEndpoint templates",
    ),
    ("3.5", "KubeControllersConfiguration", "controllers.loadBalancer", "assignIPs"),
    ("3.5", "KubeControllersConfiguration", "controllers.migration", "policyNameMigrator"),
]


def part_of(shape: type[msgspec.Struct], way: str) -> type[msgspec.Struct]:
    for name in way.split("."):
        annotation = typing.get_type_hints(shape)[
            next(field.name for field in msgspec.structs.fields(shape) if field.encode_name == name)
        ]
        shape = next(found for found in (annotation, *_inside(annotation)) if _is_struct(found))
    return shape


def _inside(annotation: Any) -> list[Any]:
    return [inner for part in typing.get_args(annotation) for inner in (part, *_inside(part))]


def _is_struct(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, Value)


@pytest.mark.parametrize(("section", "kind", "way", "fields"), PARTS, ids=lambda value: str(value)[:40])
def test_3_every_field_of_every_part_is_known(section: str, kind: str, way: str, fields: str) -> None:
    assert set(fields.split()) - names(part_of(KINDS[kind].spec, way)) == set(), section


# Defaults

DEFAULTS = [
    ("3.2 tier (default `default`)", "NetworkPolicy", {}, {"tier": "default"}),
    ("3.2 no egress rules -> [Ingress]", "GlobalNetworkPolicy", {}, {"types": ["Ingress"]}),
    (
        "3.2 egress rules only -> [Egress]",
        "GlobalNetworkPolicy",
        {"egress": [{"action": "Deny"}]},
        {"types": ["Egress"]},
    ),
    (
        "3.2 both -> both",
        "NetworkPolicy",
        {"egress": [{"action": "Deny"}], "ingress": [{"action": "Deny"}]},
        {"types": ["Ingress", "Egress"]},
    ),
    ("3.2 stagedAction Set(default)", "StagedNetworkPolicy", {}, {"stagedAction": "Set"}),
    ("3.2 stagedAction Set(default)", "StagedGlobalNetworkPolicy", {}, {"stagedAction": "Set"}),
    ("3.2 stagedAction Set(default)", "StagedKubernetesNetworkPolicy", {}, {"stagedAction": "Set"}),
    ("3.2 defaultAction Deny (default)", "Tier", {"order": 3}, {"order": 3, "defaultAction": "Deny"}),
    (
        "3.4 the defaults of a pool",
        "IPPool",
        {"cidr": "10.0.0.0/16"},
        {
            "cidr": "10.0.0.0/16",
            "vxlanMode": "Never",
            "ipipMode": "Never",
            "blockSize": 26,
            "nodeSelector": "all()",
            "allowedUses": ["Workload", "Tunnel"],
            "assignmentMode": "Automatic",
        },
    ),
    ("3.4 blockSize v6 default 122", "IPPool", {"cidr": "fd00::/64"}, {"blockSize": 122}),
    (
        "3.4 a reader must apply the defaults itself",
        "IPPool",
        {"cidr": "10.0.0.0/16", "vxlanMode": "", "ipipMode": "", "allowedUses": [], "nodeSelector": "", "blockSize": 0},
        {"vxlanMode": "Never", "ipipMode": "Never", "allowedUses": ["Workload", "Tunnel"], "blockSize": 26},
    ),
    ("5.2 FelixConfiguration floatingIPs `Disabled`", "FelixConfiguration", {}, {"floatingIPs": "Disabled"}),
    ("3.5 dotted AS numbers are the same numbers", "Node", {"bgp": {"asNumber": "1.10"}}, {"bgp": {"asNumber": 65546}}),
]


@pytest.mark.parametrize(("section", "kind", "spec", "wanted"), DEFAULTS, ids=lambda value: str(value)[:40])
def test_3_defaults_are_stored(section: str, kind: str, spec: dict[str, Any], wanted: dict[str, Any]) -> None:
    found = stored(kind, spec)["spec"]
    assert {name: found.get(name) for name in wanted} == wanted, section
    again = with_defaults(with_defaults(made(kind, spec)))
    assert again == with_defaults(made(kind, spec))


def test_3_2_and_3_4_labels_that_are_forced() -> None:
    assert stored("NetworkPolicy", {"tier": "security"})["metadata"]["labels"] == {TIER_LABEL: "security"}
    spec = {"orchestrator": "cni", "node": "a", "containerID": "c", "endpoint": "eth0"}
    given = {"projectcalico.org/namespace": "other", "role": "web"}
    assert stored("WorkloadEndpoint", spec, labels=given)["metadata"]["labels"] == {
        "role": "web",
        "projectcalico.org/namespace": "shop",
        "projectcalico.org/orchestrator": "cni",
    }


def test_3_2_built_in_tiers() -> None:
    found = {name: (spec.order, spec.default_action) for name, spec in BUILT_IN.items()}
    assert found == {
        "default": (1_000_000, "Deny"),
        "kube-admin": (1000, "Pass"),
        "kube-baseline": (10_000_000, "Pass"),
    }
    assert faults("Tier", {"order": 5, "defaultAction": "Deny"}, "default") == [
        "spec.order: default tier order must be 1000000"
    ]
    assert faults("Tier", {"order": 1000, "defaultAction": "Deny"}, "kube-admin") == [
        "spec.defaultAction: kube-admin tier default action must be Pass"
    ]


def test_3_2_the_static_profile() -> None:
    assert (DEFAULT_ALLOW.name, DEFAULT_ALLOW.revision) == ("projectcalico-default-allow", 1)
    assert [rule.action for rule in (*DEFAULT_ALLOW.spec.ingress, *DEFAULT_ALLOW.spec.egress)] == ["Allow", "Allow"]
    assert len(faults("Profile", {}, "projectcalico-default-allow")) == 1


# Checks: (section, kind, spec, the faults' beginnings)

WEP = {"orchestrator": "k8s", "node": "a", "pod": "b", "endpoint": "eth0"}
HEP = {"node": "a", "interfaceName": "eth0"}
BALANCER = {"cidr": "10.0.0.0/16", "allowedUses": ["LoadBalancer"]}
STAGED = {"stagedAction": "Delete", "selector": "all()"}


def rule(action: str = "Allow", **fields: Any) -> dict[str, Any]:
    return {"ingress": [{"action": action, **fields}]}


def source(**fields: Any) -> dict[str, Any]:
    return rule(source=fields)


def accept(**fields: Any) -> dict[str, Any]:
    return {"exportV4": [{"action": "Accept", **fields}]}


CIDR = {"cidr": "10.0.0.0/8", "matchOperator": "In"}

CHECKS: list[tuple[str, str, dict[str, Any], list[str]]] = [
    (
        "3.2 <=1024 each",
        "NetworkPolicy",
        {"ingress": [{"action": "Allow"}] * 1025},
        ["spec.ingress: has more than 1024"],
    ),
    ("3.2 unique", "NetworkPolicy", {"types": ["Egress", "Egress"]}, ["spec.types: names one type twice"]),
    ("3.2 performanceHints", "NetworkPolicy", {"performanceHints": ["Fast"]}, ["spec.performanceHints"]),
    ("3.2 performanceHints", "NetworkPolicy", {"performanceHints": ["AssumeNeededOnEveryNode"]}, []),
    ("3.2 selector", "NetworkPolicy", {"selector": "a ="}, ["spec.selector"]),
    ("3.2 serviceAccountSelector", "NetworkPolicy", {"serviceAccountSelector": "a ="}, ["spec.serviceAccountSelector"]),
    (
        "3.2 not both doNotTrack and preDNAT",
        "GlobalNetworkPolicy",
        {"doNotTrack": True, "preDNAT": True, "applyOnForward": True},
        ["spec.preDNAT"],
    ),
    (
        "3.2 preDNAT has no egress",
        "GlobalNetworkPolicy",
        {"preDNAT": True, "applyOnForward": True, "egress": [{"action": "Deny"}], "types": ["Egress"]},
        ["spec.egress", "spec.types"],
    ),
    ("3.2 applyOnForward must be true", "GlobalNetworkPolicy", {"doNotTrack": True}, ["spec.applyOnForward"]),
    ("3.2 applyOnForward must be true", "GlobalNetworkPolicy", {"preDNAT": True}, ["spec.applyOnForward"]),
    ("3.2 global()", "GlobalNetworkPolicy", {"selector": "global()"}, ["spec.selector"]),
    ("3.2 global()", "GlobalNetworkPolicy", {"namespaceSelector": "global()"}, ["spec.namespaceSelector"]),
    ("3.2 global()", "GlobalNetworkPolicy", source(namespaceSelector="global()"), []),
    ("3.2 global()", "GlobalNetworkPolicy", source(selector="global()"), ["spec.ingress[0].source.selector"]),
    ("3.2 with Delete everything else empty", "StagedNetworkPolicy", STAGED, ["spec.stagedAction"]),
    ("3.2 with Delete but the tier", "StagedGlobalNetworkPolicy", {"stagedAction": "Delete", "tier": "a"}, []),
    (
        "3.2 in Kubernetes shape",
        "StagedKubernetesNetworkPolicy",
        {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}},
        ["spec: matchExpressions: operator 'Like'"],
    ),
    (
        "3.2 in Kubernetes shape",
        "StagedKubernetesNetworkPolicy",
        {"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": 80}]}]},
        [],
    ),
    ("3.3 exact case", "Profile", rule(protocol="tcp"), ["spec.ingress[0].protocol"]),
    ("3.3 1-255", "Profile", rule(protocol=256), ["spec.ingress[0].protocol"]),
    ("3.3 1-255", "Profile", rule(protocol=255), []),
    ("3.3 notProtocol", "Profile", rule(notProtocol="x"), ["spec.ingress[0].notProtocol"]),
    ("3.3 icmp type 0-254", "Profile", rule(protocol="ICMP", icmp={"type": 255}), ["spec.ingress[0].icmp.type"]),
    ("9.1 trap 14, 0 is valid", "Profile", rule(protocol="ICMP", icmp={"type": 0, "code": 0}), []),
    (
        "3.3 code 0-255",
        "Profile",
        rule(protocol="ICMPv6", icmp={"type": 1, "code": 256}),
        ["spec.ingress[0].icmp.code"],
    ),
    ("3.3 code needs type", "Profile", rule(protocol="ICMP", notICMP={"code": 1}), ["spec.ingress[0].notICMP.code"]),
    ("3.3 icmp needs protocol", "Profile", rule(icmp={"type": 8}), ["spec.ingress[0].icmp: needs protocol"]),
    ("3.3 icmp needs protocol", "Profile", rule(protocol="TCP", icmp={"type": 8}), ["spec.ingress[0].icmp: needs"]),
    ("3.3 families agree", "Profile", rule(protocol="ICMP", ipVersion=6), ["spec.ingress[0].ipVersion"]),
    ("3.3 families agree", "Profile", rule(protocol="ICMPv6", ipVersion=4), ["spec.ingress[0].ipVersion"]),
    (
        "3.3 http <=20",
        "Profile",
        rule(http={"methods": [f"M{n}" for n in range(21)]}),
        ["spec.ingress[0].http.methods"],
    ),
    ("3.3 http unique", "Profile", rule(http={"methods": ["GET", "GET"]}), ["spec.ingress[0].http.methods"]),
    ("3.3 paths <=20", "Profile", rule(http={"paths": [{"exact": "/"}] * 21}), ["spec.ingress[0].http.paths"]),
    ("3.3 exactly one", "Profile", rule(http={"paths": [{}]}), ["spec.ingress[0].http.paths"]),
    ("3.3 starts /", "Profile", rule(http={"paths": [{"prefix": "a"}]}), ["spec.ingress[0].http.paths"]),
    ("3.3 none of ? # space", "Profile", rule(http={"paths": [{"prefix": "/a#"}]}), ["spec.ingress[0].http.paths"]),
    (
        "3.3 <=1024 chars",
        "Profile",
        rule(http={"paths": [{"exact": "/" + "a" * 1024}]}),
        ["spec.ingress[0].http.paths"],
    ),
    ("3.3 only Allow", "Profile", rule("Deny", http={}), ["spec.ingress[0].http: is for rules with action Allow"]),
    ("3.3 only ingress", "Profile", {"egress": [{"action": "Allow", "http": {}}]}, ["spec.egress[0].http"]),
    ("3.3 http TCP or unset", "Profile", rule(protocol="UDP", http={}), ["spec.ingress[0].http: needs protocol TCP"]),
    ("3.3 nets <=256", "Profile", source(nets=["10.0.0.0/8"] * 257), ["spec.ingress[0].source.nets"]),
    ("3.3 explicit /len", "Profile", source(nets=["10.0.0.1"]), ["spec.ingress[0].source.nets"]),
    ("3.3 strictly masked", "Profile", source(nets=["10.0.0.1/8"]), ["spec.ingress[0].source.nets"]),
    ("3.3 notNets not all", "Profile", source(notNets=["0.0.0.0/0"]), ["spec.ingress[0].source.notNets"]),
    ("3.3 notNets not all", "Profile", source(notNets=["::/0"]), ["spec.ingress[0].source.notNets"]),
    (
        "3.3 selector <=1024 chars",
        "Profile",
        source(selector="a" * 1025),
        ["spec.ingress[0].source.selector: is longer"],
    ),
    ("3.3 notSelector", "Profile", source(notSelector="a"), ["spec.ingress[0].source.notSelector"]),
    ("3.3 ports <=50", "Profile", rule(protocol="TCP", source={"ports": [1] * 51}), ["spec.ingress[0].source.ports"]),
    ("3.3 1-65535", "Profile", rule(protocol="TCP", source={"ports": [0]}), ["spec.ingress[0].source.ports"]),
    ("3.3 1-65535", "Profile", rule(protocol="TCP", source={"ports": ["0:9"]}), ["spec.ingress[0].source.ports"]),
    ("3.3 1-65535", "Profile", rule(protocol="TCP", source={"ports": [1, 65535, "1:65535"]}), []),
    ("3.3 named may omit the protocol", "Profile", source(ports=["http"]), []),
    ("3.3 numeric need a protocol", "Profile", source(ports=[80]), ["spec.ingress[0].source.ports: numeric"]),
    ("3.3 SCTP has ports", "Profile", rule(protocol="SCTP", source={"ports": [80]}), []),
    (
        "3.3 UDPLite has none",
        "Profile",
        rule(protocol="UDPLite", source={"ports": [80]}),
        ["spec.ingress[0].source.ports"],
    ),
    (
        "3.3 ICMP has none",
        "Profile",
        rule(protocol="ICMP", source={"ports": ["http"]}),
        ["spec.ingress[0].source.ports"],
    ),
    (
        "3.3 services",
        "GlobalNetworkPolicy",
        source(services={"name": "a"}),
        ["spec.ingress[0].source.services.namespace"],
    ),
    ("3.3 services", "NetworkPolicy", source(services={"name": "a"}), []),
    (
        "3.3 services exclude",
        "NetworkPolicy",
        source(services={"name": "a"}, selector="all()", notNets=["10.0.0.0/8"]),
        ["spec.ingress[0].source.services: services cannot stand beside notNets, selector"],
    ),
    ("3.3 services", "NetworkPolicy", rule(destination={"services": {"name": "a"}}), ["spec.ingress[0].destination"]),
    (
        "3.3 services without ports",
        "NetworkPolicy",
        {"egress": [{"action": "Allow", "protocol": "TCP", "destination": {"services": {"name": "a"}, "ports": [1]}}]},
        ["spec.egress[0].destination.services: services cannot stand beside ports"],
    ),
    (
        "3.3 no mixing",
        "Profile",
        rule(source={"nets": ["10.0.0.0/8"]}, destination={"notNets": ["fd00::/8"]}),
        ["spec.ingress[0]: mixes"],
    ),
    (
        "3.3 agree with ipVersion",
        "Profile",
        rule(ipVersion=4, source={"nets": ["fd00::/8"]}),
        ["spec.ingress[0]: mixes"],
    ),
    ("3.4 bare or CIDR", "WorkloadEndpoint", {**WEP, "ipNetworks": ["10.0.0.1", "fd00::1/128"]}, []),
    ("3.4 one address", "WorkloadEndpoint", {**WEP, "ipNetworks": ["10.0.0.0/24"]}, ["spec.ipNetworks"]),
    (
        "3.4 NATs inside",
        "WorkloadEndpoint",
        {**WEP, "ipNetworks": ["10.0.0.1/32"], "ipNATs": [{"internalIP": "10.0.0.2", "externalIP": "1.1.1.1"}]},
        ["spec.ipNATs"],
    ),
    ("3.1 container id", "WorkloadEndpoint", {**WEP, "containerID": "a_b"}, ["spec.containerID"]),
    ("9.1 trap 28, lower case", "WorkloadEndpoint", {**WEP, "node": "A", "endpoint": "e"}, ["spec.node: 'A' is not"]),
    ("9.1 trap 28, lower case", "HostEndpoint", {**HEP, "node": "A"}, ["spec.node: 'A' is not in lower case"]),
    ("3.1 interface <=15", "WorkloadEndpoint", {**WEP, "interfaceName": "a" * 16}, ["spec.interfaceName"]),
    ("3.4 mac", "WorkloadEndpoint", {**WEP, "mac": "0a:b"}, ["spec.mac"]),
    ("3.4 gateways", "WorkloadEndpoint", {**WEP, "ipv4Gateway": "fd00::1"}, ["spec.ipv4Gateway"]),
    ("5.4 no dash at the ends", "WorkloadEndpoint", {**WEP, "endpoint": "eth-"}, ["spec.endpoint"]),
    ("3.4 node (required)", "HostEndpoint", {"interfaceName": "eth0"}, ["spec.node"]),
    ("3.4 one of", "HostEndpoint", {"node": "a"}, ["spec.interfaceName"]),
    ("3.4 `*`", "HostEndpoint", {"node": "a", "interfaceName": "*"}, []),
    ("3.4 expectedIPs", "HostEndpoint", {**HEP, "expectedIPs": ["10.0.0.0/8"]}, ["spec.expectedIPs"]),
    ("3.4 ports", "HostEndpoint", {**HEP, "ports": [{"name": "a", "protocol": "x", "port": 0}]}, ["spec.ports"] * 2),
    ("3.4 nets", "GlobalNetworkSet", {"nets": ["10.0.0.1", "10.0.0.0/8", "fd00::/8"]}, []),
    ("3.4 nets", "NetworkSet", {"nets": ["x"]}, ["spec.nets"]),
    (
        "3.4 not both",
        "IPPool",
        {"cidr": "10.0.0.0/16", "vxlanMode": "Always", "ipipMode": "Always"},
        ["spec.vxlanMode"],
    ),
    ("3.4 no IPIP on v6", "IPPool", {"cidr": "fd00::/64", "ipipMode": "Always"}, ["spec.ipipMode"]),
    ("3.4 v4 20-32", "IPPool", {"cidr": "10.0.0.0/8", "blockSize": 19}, ["spec.blockSize"]),
    ("3.4 v6 116-128", "IPPool", {"cidr": "fd00::/64", "blockSize": 115}, ["spec.blockSize"]),
    ("3.4 at least one block", "IPPool", {"cidr": "10.0.0.0/27"}, ["spec.cidr"]),
    ("3.4 masked", "IPPool", {"cidr": "10.0.0.1/16"}, ["spec.cidr"]),
    ("3.4 not link-local", "IPPool", {"cidr": "fe80::/64"}, ["spec.cidr"]),
    ("3.4 nodeSelector", "IPPool", {"cidr": "10.0.0.0/16", "nodeSelector": "a"}, ["spec.nodeSelector"]),
    ("3.4 LoadBalancer", "IPPool", BALANCER, []),
    ("3.4 LoadBalancer alone", "IPPool", {**BALANCER, "allowedUses": ["LoadBalancer", "Tunnel"]}, ["spec.allowedUses"]),
    ("3.4 LoadBalancer all()", "IPPool", {**BALANCER, "nodeSelector": "has(a)"}, ["spec.nodeSelector"]),
    ("3.4 LoadBalancer no encap", "IPPool", {**BALANCER, "ipipMode": "Always"}, ["spec.allowedUses"]),
    ("3.4 LoadBalancer BGP", "IPPool", {**BALANCER, "disableBGPExport": True}, ["spec.disableBGPExport"]),
    ("3.4 reservedCIDRs", "IPReservation", {"reservedCIDRs": ["10.0.0.0/33"]}, ["spec.reservedCIDRs"]),
    ("6.1 <=1200", "IPAMConfiguration", {"ipCooldownSeconds": 1201}, ["spec.ipCooldownSeconds"]),
    ("3.5 bgp is something", "Node", {"bgp": {}}, ["spec.bgp: should not be empty"]),
    ("3.5 families", "Node", {"bgp": {"ipv4Address": "fd00::1/64"}}, ["spec.bgp.ipv4Address"]),
    ("3.5 address types", "Node", {"addresses": [{"address": "10.0.0.1", "type": "Other"}]}, ["spec.addresses"]),
    (
        "3.5 communities",
        "BGPConfiguration",
        {"communities": [{"name": "a", "value": "1:2"}]},
        ["spec.communities: comm"],
    ),
    (
        "3.5 communities",
        "BGPConfiguration",
        {
            "communities": [{"name": "a", "value": "1:2:3:4"}],
            "prefixAdvertisements": [{"cidr": "10.0.0.0/8", "communities": ["a", "b"]}],
        },
        ["spec.communities.value", "spec.prefixAdvertisements.communities"],
    ),
    (
        "3.5 not with mesh off",
        "BGPConfiguration",
        {"nodeToNodeMeshEnabled": False, "nodeMeshPassword": {}, "nodeMeshMaxRestartTime": "120s"},
        ["spec.nodeMeshPassword", "spec.nodeMeshMaxRestartTime"],
    ),
    ("3.5 durations", "BGPConfiguration", {"nodeMeshMaxRestartTime": "soon"}, ["spec.nodeMeshMaxRestartTime"]),
    ("3.5 severities", "BGPConfiguration", {"logSeverityScreen": "Loud"}, ["spec.logSeverityScreen"]),
    (
        "3.5 node xor nodeSelector",
        "BGPPeer",
        {"node": "a", "nodeSelector": "all()", "peerIP": "10.0.0.1"},
        ["spec.node"],
    ),
    ("3.5 peerIP xor peerSelector", "BGPPeer", {"peerIP": "10.0.0.1", "peerSelector": "all()"}, ["spec.peerIP"]),
    ("3.5 ip:port", "BGPPeer", {"peerIP": "[fd00::1]:179", "asNumber": 1}, []),
    ("3.5 ip:port", "BGPPeer", {"peerIP": "10.0.0.1:0", "asNumber": 1}, ["spec.peerIP"]),
    ("3.5 asNumber empty", "BGPPeer", {"peerSelector": "all()", "asNumber": 1}, ["spec.asNumber"]),
    (
        "3.5 xor",
        "BGPPeer",
        {"peerIP": "10.0.0.1", "keepOriginalNextHop": True, "nextHopMode": "Self"},
        ["spec.nextHopMode"],
    ),
    ("3.5 reachableBy", "BGPPeer", {"peerSelector": "all()", "reachableBy": "10.0.0.1"}, ["spec.reachableBy"]),
    ("3.5 localWorkload", "BGPPeer", {"localWorkloadSelector": "all()"}, ["spec.asNumber: ASNumber is needed"]),
    (
        "3.5 localWorkload",
        "BGPPeer",
        {"localWorkloadSelector": "all()", "asNumber": 1, "peerIP": "10.0.0.1"},
        ["spec.localWorkloadSelector"],
    ),
    ("3.5 keepaliveTime", "BGPPeer", {"peerIP": "10.0.0.1", "keepaliveTime": "5"}, ["spec.keepaliveTime"]),
    ("3.5 both or neither", "BGPFilter", accept(cidr="10.0.0.0/8"), ["spec.exportV4[0].cidr"]),
    ("3.5 both or neither", "BGPFilter", accept(matchOperator="In"), ["spec.exportV4[0].cidr"]),
    ("3.5 family of the list", "BGPFilter", accept(cidr="fd00::/8", matchOperator="In"), ["spec.exportV4[0].cidr"]),
    ("3.5 needs cidr", "BGPFilter", accept(prefixLength={"min": 9}), ["spec.exportV4[0].prefixLength: needs a cidr"]),
    ("3.5 min, max", "BGPFilter", accept(**CIDR, prefixLength={"max": 33}), ["spec.exportV4[0].prefixLength.max"]),
    ("3.5 min, max", "BGPFilter", accept(**CIDR, prefixLength={"min": 9, "max": 8}), ["spec.exportV4[0].prefixLength"]),
    ("3.5 exactly 1", "BGPFilter", accept(communities={"values": []}), ["spec.exportV4[0].communities.values"]),
    (
        "3.5 operations <=10",
        "BGPFilter",
        accept(operations=[{"setPriority": {"value": 1}}] * 11),
        ["spec.exportV4[0].op"],
    ),
    (
        "3.5 only with Accept",
        "BGPFilter",
        {"importV6": [{"action": "Reject", "operations": [{"addCommunity": {"value": "1:2"}}]}]},
        ["spec.importV6[0].operations"],
    ),
    ("3.5 operations", "BGPFilter", accept(operations=[{"prependASPath": {"prefix": [65001, "1.1"]}}]), []),
    ("3.5 operations", "BGPFilter", accept(operations=[{"drop": {}}]), ["spec.exportV4[0].operations[0]"]),
    (
        "3.5 operations",
        "BGPFilter",
        accept(operations=[{"setPriority": {}}]),
        ["spec.exportV4[0].operations[0].setPri"],
    ),
    ("3.5 32 hex", "ClusterInformation", {"clusterGUID": "a" * 31}, ["spec.clusterGUID"]),
    ("3.5 interfacePrefix", "FelixConfiguration", {"interfacePrefix": "cali,tap"}, []),
    ("3.5 interfacePrefix", "FelixConfiguration", {"interfacePrefix": "a b"}, ["spec.interfacePrefix"]),
    ("3.5 180s", "FelixConfiguration", {"iptablesRefreshInterval": "180s", "reportingInterval": "0s"}, []),
    ("3.5 180s", "FelixConfiguration", {"reportingTTL": "90"}, ["spec.reportingTTL"]),
    ("3.5 port", "FelixConfiguration", {"vxlanPort": 0}, ["spec.vxlanPort"]),
    ("3.5 VNI", "FelixConfiguration", {"vxlanVNI": 2**24}, ["spec.vxlanVNI"]),
    (
        "8.6 failsafe",
        "FelixConfiguration",
        {"failsafeInboundHostPorts": [{"protocol": "ICMP", "port": 65536, "net": "x"}]},
        ["spec.failsafeInboundHostPorts"] * 3,
    ),
    (
        "3.5 periods",
        "KubeControllersConfiguration",
        {"controllers": {"node": {"leakGracePeriod": "long"}, "policy": {"reconcilerPeriod": "5"}}},
        ["spec.controllers.policy.reconcilerPeriod", "spec.controllers.node.leakGracePeriod"],
    ),
    ("3.5 classes", "CalicoNodeStatus", {"node": "a", "classes": ["Agent", "Disk"]}, ["spec.classes"]),
]


@pytest.mark.parametrize(("section", "kind", "spec", "wanted"), CHECKS, ids=lambda value: str(value)[:40])
def test_3_checks(section: str, kind: str, spec: dict[str, Any], wanted: list[str]) -> None:
    name = "a-k8s-b-eth0" if kind == "WorkloadEndpoint" and spec.get("endpoint") == "eth0" else ""
    if kind == "WorkloadEndpoint" and not name:
        name = "a-k8s-b-" + spec["endpoint"].replace("-", "--")
    found = [text for text in faults(kind, spec, name) if not text.startswith("metadata.name")]
    assert len(found) == len(wanted), (section, found)
    for text, beginning in zip(found, wanted, strict=True):
        assert text.startswith(beginning), section


@pytest.mark.parametrize(
    ("section", "kind", "spec"),
    [
        ("3.2 types", "NetworkPolicy", {"types": ["Both"]}),
        ("3.2 stagedAction", "StagedNetworkPolicy", {"stagedAction": "Try"}),
        ("3.2 defaultAction", "Tier", {"defaultAction": "Allow"}),
        ("3.3 action", "Profile", rule("allow")),
        ("3.3 ipVersion", "Profile", rule(ipVersion=5)),
        ("3.4 modes", "IPPool", {"cidr": "10.0.0.0/16", "ipipMode": "cross-subnet"}),
        ("3.4 assignmentMode", "IPPool", {"cidr": "10.0.0.0/16", "assignmentMode": "Never"}),
        ("3.4 cidr (required)", "IPPool", {}),
        ("3.4 persistence", "IPAMConfiguration", {"kubeVirtVMAddressPersistence": "yes"}),
        ("3.5 bindMode", "BGPConfiguration", {"bindMode": "Any"}),
        ("3.5 programClusterRoutes", "BGPConfiguration", {"programClusterRoutes": "Sometimes"}),
        ("3.5 nextHopMode", "BGPPeer", {"nextHopMode": "Other"}),
        ("3.5 sourceAddress", "BGPPeer", {"sourceAddress": "Mine"}),
        ("3.5 reversePeering", "BGPPeer", {"reversePeering": "Off"}),
        ("3.5 action (required)", "BGPFilter", {"exportV4": [{}]}),
        ("3.5 matchOperator", "BGPFilter", accept(cidr="10.0.0.0/8", matchOperator="Like")),
        ("3.5 peerType", "BGPFilter", accept(peerType="BGP")),
        ("3.5 source", "BGPFilter", accept(source="Here")),
        ("3.5 capitalised", "FelixConfiguration", {"defaultEndpointToHostAction": "DROP"}),
        ("3.5 iptablesFilterDenyAction", "FelixConfiguration", {"iptablesFilterDenyAction": "Return"}),
        ("3.5 workloadSourceSpoofing", "FelixConfiguration", {"workloadSourceSpoofing": "Some"}),
        ("3.5 healthChecks", "KubeControllersConfiguration", {"healthChecks": True}),
    ],
)
def test_3_values_that_are_none_of_the_choices(section: str, kind: str, spec: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match=kind):
        made(kind, spec)


def test_3_5_the_node_form_of_a_bgp_configuration() -> None:
    """`node form only logSeverityScreen and few others`"""
    spec = {"asNumber": 64513, "nodeToNodeMeshEnabled": False, "logSeverityScreen": "Debug", "listenPort": 1790}
    assert faults("BGPConfiguration", spec, "node.host-a") == [
        "spec.nodeToNodeMeshEnabled: cannot be set on a non default BGP Configuration",
        "spec.asNumber: cannot be set on a non default BGP Configuration",
    ]
    assert faults("BGPConfiguration", spec) == []


@pytest.mark.parametrize(
    ("kind", "names_of"),
    [
        ("BGPConfiguration", ["default", "node.host-a"]),
        ("FelixConfiguration", ["default", "node.host-a"]),
        ("ClusterInformation", ["default"]),
        ("KubeControllersConfiguration", ["default"]),
        ("IPAMConfiguration", ["default"]),
    ],
)
def test_3_5_kinds_with_given_names(kind: str, names_of: list[str]) -> None:
    for name in ("default", "node.host-a", "other", "node."):
        assert (faults(kind, {}, name) == []) == (name in names_of), name


def test_3_3_readers_accept_empty_sides_and_their_absence() -> None:
    both = made("Profile", rule(source={}, destination={})).spec
    assert both == made("Profile", rule()).spec
    assert json.loads(encode(made("Profile", rule(source={}, destination={}))))["spec"]["ingress"] == [
        {"action": "Allow", "source": {}, "destination": {}}
    ]


def test_3_4_a_network_set_has_no_namespace_label() -> None:
    label = {"projectcalico.org/namespace": "x"}
    for kind in ("NetworkSet", "GlobalNetworkSet"):
        assert faults(kind, {}, labels=label) == [
            "metadata.labels.projectcalico.org/namespace: is given by the namespace, not by a person"
        ]
