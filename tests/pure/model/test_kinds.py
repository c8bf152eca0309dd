"""Every kind: its stored form, what survives a round trip, and the faults that are found."""

from __future__ import annotations

import json
import pkgutil
from typing import Any

import msgspec
import pytest

from tortie.base.errors import Invalid
from tortie.model import kinds
from tortie.model.codec import KEPT, from_builtins
from tortie.model.kinds import KINDS
from tortie.model.resource import Kind, Metadata, Resource, decode, encode, problems

POLICY: dict[str, Any] = {
    "tier": "default",
    "order": 200,
    "selector": "role == 'db'",
    "types": ["Ingress"],
    "ingress": [
        {
            "action": "Allow",
            "protocol": "TCP",
            "source": {"selector": "role == 'web'", "namespaceSelector": "global()"},
            "destination": {"ports": [3306, "4000:4010"]},
            "http": {"methods": ["GET"], "paths": [{"prefix": "/a"}]},
            "metadata": {"annotations": {"why": "because"}},
        },
        {"action": "Allow", "source": {"services": {"name": "a", "namespace": "b"}}},
        {"action": "Pass", "source": {"serviceAccounts": {"names": ["a"], "selector": "has(b)"}}},
        {"action": "Log", "source": {}, "destination": {}},
    ],
}
GLOBAL_POLICY: dict[str, Any] = {**POLICY, "namespaceSelector": "all()", "applyOnForward": True, "preDNAT": True}

FILTER: dict[str, Any] = {"action": "Accept", "cidr": "10.0.0.0/8", "matchOperator": "In"}

EXAMPLES: dict[str, dict[str, Any]] = {
    "BGPPeer": {"nodeSelector": "rack == '1'", "peerIP": "192.0.2.1", "asNumber": 65001},
    "BGPFilter": {
        "exportV4": [
            {
                **FILTER,
                "prefixLength": {"min": 9, "max": 24},
                "communities": {"values": ["65000:1"]},
                "asPathPrefix": [65001],
                "operations": [{"setPriority": {"value": 1}}],
            }
        ],
        "importV6": [{"action": "Reject", "interface": "eth0", "peerType": "eBGP", "source": "RemotePeers"}],
    },
    "IPAMConfiguration": {"strictAffinity": True, "maxBlocksPerHost": 20, "kubeVirtVMAddressPersistence": "Enabled"},
    "IPAMConfig": {"strictAffinity": False, "autoAllocateBlocks": True},
    "BlockAffinity": {"state": "confirmed", "node": "host-a", "cidr": "10.65.0.0/26", "deleted": "false"},
    "CalicoNodeStatus": {"node": "host-a", "classes": ["Agent", "BGP"], "updatePeriodSeconds": 10},
    "LiveMigration": {},
    "KubeControllersConfiguration": {
        "logSeverityScreen": "Info",
        "etcdV3CompactionPeriod": "10m",
        "controllers": {
            "node": {"leakGracePeriod": "15m", "hostEndpoint": {"autoCreate": "Enabled"}},
            "policy": {"reconcilerPeriod": "5m"},
            "loadBalancer": {"assignIPs": "AllServices"},
            "migration": {"policyNameMigrator": "Disabled"},
        },
    },
    "StagedKubernetesNetworkPolicy": {
        "stagedAction": "Set",
        "podSelector": {"matchLabels": {"a": "b"}},
        "ingress": [{"from": [{"podSelector": {}}]}],
        "policyTypes": ["Ingress"],
    },
    "NetworkPolicy": POLICY,
    "GlobalNetworkPolicy": GLOBAL_POLICY,
    "StagedNetworkPolicy": {**POLICY, "stagedAction": "Set"},
    "StagedGlobalNetworkPolicy": {**GLOBAL_POLICY, "stagedAction": "Learn"},
    "Tier": {"order": 100.5, "defaultAction": "Pass"},
    "NetworkSet": {"nets": ["198.51.100.0/24", "203.0.113.9"]},
    "GlobalNetworkSet": {"nets": ["198.51.100.0/24", "fd00::/8"]},
    "HostEndpoint": {
        "node": "host-a",
        "interfaceName": "*",
        "expectedIPs": ["192.0.2.11"],
        "profiles": ["projectcalico-default-allow"],
        "ports": [{"name": "http", "protocol": "TCP", "port": 80}],
    },
    "BGPConfiguration": {"logSeverityScreen": "Info", "nodeToNodeMeshEnabled": True, "asNumber": 64512},
    "ClusterInformation": {
        "clusterGUID": "3f2a9c1d5b7e4f60a1b2c3d4e5f60718",
        "clusterType": "bgp",
        "calicoVersion": "v3.31.7",
        "datastoreReady": True,
    },
    "FelixConfiguration": {
        "bpfLogLevel": "",
        "defaultEndpointToHostAction": "Return",
        "failsafeInboundHostPorts": [{"protocol": "tcp", "port": 22, "net": "0.0.0.0/0"}],
        "floatingIPs": "Disabled",
        "vxlanVNI": 4096,
    },
    "IPPool": {
        "cidr": "10.65.0.0/16",
        "vxlanMode": "Never",
        "ipipMode": "CrossSubnet",
        "natOutgoing": True,
        "disabled": False,
        "blockSize": 30,
        "nodeSelector": "all()",
        "allowedUses": ["Workload", "Tunnel"],
        "assignmentMode": "Automatic",
    },
    "IPReservation": {"reservedCIDRs": ["10.65.0.0/30", "10.65.0.9"]},
    "Node": {
        "bgp": {"asNumber": 64512, "ipv4Address": "192.0.2.11/24", "ipv4IPIPTunnelAddr": "10.65.0.0"},
        "ipv4VXLANTunnelAddr": "10.65.0.1",
        "orchRefs": [{"nodeName": "a", "orchestrator": "k8s"}],
        "addresses": [{"address": "192.0.2.11/24", "type": "CalicoNodeIP"}],
    },
    "Profile": {
        "ingress": [
            {
                "action": "Allow",
                "protocol": "TCP",
                "source": {"selector": "has(web-net)"},
                "destination": {"ports": [80, "90:91"]},
            }
        ],
        "egress": [{"action": "Allow"}],
        "labelsToApply": {"web-net": ""},
    },
    "WorkloadEndpoint": {
        "orchestrator": "cni",
        "node": "host-a",
        "containerID": "6f1c2d3e",
        "endpoint": "eth0",
        "ipNetworks": ["10.65.0.3/32"],
        "profiles": ["web-net"],
        "interfaceName": "cali6f1c2d3e",
        "mac": "3a:1f:00:00:00:07",
    },
}


SINGLE = {
    "BGPConfiguration",
    "ClusterInformation",
    "FelixConfiguration",
    "IPAMConfig",
    "IPAMConfiguration",
    "KubeControllersConfiguration",
}


ENDPOINT = "host--a-cni-6f1c2d3e-eth0"


def stored(kind: Kind[Any], spec: dict[str, Any], **metadata: Any) -> bytes:
    namespace = {"namespace": "default"} if kind.namespaced else {}
    own = ENDPOINT if kind.name == "WorkloadEndpoint" else "x"
    return json.dumps(
        {
            "kind": kind.name,
            "apiVersion": "projectcalico.org/v3",
            "metadata": {"name": "default" if kind.name in SINGLE else own, **namespace, **metadata},
            "spec": spec,
        }
    ).encode()


def faults(kind: str, spec: dict[str, Any], **metadata: Any) -> list[str]:
    return [str(problem) for problem in problems(decode(KINDS[kind], stored(KINDS[kind], spec, **metadata)))]


def test_every_file_in_kinds_is_listed() -> None:
    files = {module.name for module in pkgutil.iter_modules(kinds.__path__)}
    assert files == {kind.spec.__module__.rpartition(".")[2] for kind in KINDS.values()}
    assert EXAMPLES.keys() == KINDS.keys()


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_is_sound_and_comes_back_as_it_was(name: str) -> None:
    kind = KINDS[name]
    resource = decode(kind, stored(kind, EXAMPLES[name]), 7)
    assert resource.revision == 7
    assert problems(resource) == []
    assert json.loads(encode(resource)) == json.loads(stored(kind, EXAMPLES[name]))
    assert b"resourceVersion" not in encode(resource)
    assert kind.parse_key(resource.key) == (resource.metadata.namespace, resource.name)


MAPS = ("labelsToApply", "annotations", "podSelector", "operations")


def _with_strangers(value: Any) -> Any:
    """The same JSON with a field that nobody knows in every object but maps of labels."""
    if isinstance(value, list):
        return [_with_strangers(item) for item in value]
    if not isinstance(value, dict):
        return value
    grown = {key: item if key in MAPS else _with_strangers(item) for key, item in value.items()}
    return {**grown, "stranger": {"a": [1, None, "x"]}}


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_fields_that_nobody_knows_survive_everywhere(name: str) -> None:
    kind = KINDS[name]
    grown = _with_strangers(json.loads(stored(kind, EXAMPLES[name])))
    resource = decode(kind, json.dumps(grown).encode())
    assert json.loads(encode(resource)) == grown
    assert decode(kind, encode(resource)) == resource


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_a_null_counts_as_absent(name: str) -> None:
    kind = KINDS[name]
    fields = msgspec.structs.fields(kind.spec)
    names = [field.encode_name for field in fields if not field.required and field.encode_name != KEPT]
    spec = {**dict.fromkeys(names), **{key: EXAMPLES[name][key] for key in ("cidr",) if name == "IPPool"}}
    resource = decode(kind, stored(kind, spec, labels=None, creationTimestamp=None))
    assert resource.metadata.labels == {}
    assert resource.spec == from_builtins(kind.spec, {key: value for key, value in spec.items() if value is not None})


@pytest.mark.parametrize("value", [b"", b"[]", b"null", b"{", b'{"metadata":7}', b'{"metadata":{}}', b'{"spec":[]}'])
def test_what_is_no_resource_is_refused(value: bytes) -> None:
    with pytest.raises(Invalid, match=r"^Profile: "):
        decode(KINDS["Profile"], value)


def test_a_field_of_the_wrong_type_is_named() -> None:
    with pytest.raises(Invalid, match=r"labelsToApply"):
        decode(KINDS["Profile"], stored(KINDS["Profile"], {"labelsToApply": {"a": 1}}))


@pytest.mark.parametrize(
    ("kind", "spec", "wanted"),
    [
        ("IPPool", {"cidr": "10.0.0.1/16"}, ["spec.cidr: 10.0.0.1/16 has host bits set"]),
        ("IPPool", {"cidr": "10.0.0.0"}, ["spec.cidr: '10.0.0.0' has no /length"]),
        ("IPPool", {"cidr": "10.0.0.0/16", "blockSize": 19}, ["spec.blockSize: /19 is not between /20 and /32"]),
        ("IPPool", {"cidr": "10.0.0.0/27"}, ["spec.cidr: 10.0.0.0/27 is smaller than one /26 block"]),
        ("IPPool", {"cidr": "169.254.0.0/16"}, ["spec.cidr: 169.254.0.0/16 is link-local"]),
        (
            "IPPool",
            {"cidr": "fd00::/64", "blockSize": 122, "ipipMode": "Always", "vxlanMode": "Always", "nodeSelector": "a"},
            [
                "spec.nodeSelector: unexpected end of string looking for op",
                "spec.vxlanMode: cannot be set together with ipipMode",
                "spec.ipipMode: is for IPv4 pools only",
            ],
        ),
        ("IPPool", {"cidr": "10.0.0.0/16", "allowedUses": ["x"]}, ["spec.allowedUses: 'x' is none of"]),
        ("IPReservation", {"reservedCIDRs": ["10.0.0.0/99"]}, ["spec.reservedCIDRs: '10.0.0.0/99' does not appear"]),
        (
            "Node",
            {
                "bgp": {"asNumber": -1, "ipv4Address": "fd00::1", "ipv6Address": "x"},
                "addresses": [{"address": "a", "type": "b"}],
            },
            ["spec.bgp.asNumber", "spec.bgp.ipv4Address: fd00::1 is no IPv4", "spec.bgp.ipv6Address", "spec.addresses"],
        ),
        ("BGPConfiguration", {"asNumber": 2**32}, ["spec.asNumber: 4294967296 is not between"]),
        ("FelixConfiguration", {"interfacePrefix": "cali,ab/c"}, ["spec.interfacePrefix: 'ab/c' is no interface name"]),
        ("ClusterInformation", {"clusterGUID": "x"}, ["spec.clusterGUID: is not 32 hexadecimal digits"]),
        (
            "WorkloadEndpoint",
            {"node": "-a", "ipNetworks": ["10.0.0.0/31", "x"], "interfaceName": "a b", "mac": "z"},
            [
                "spec.node: '-a' begins or ends with '-'",
                "spec.orchestrator: is missing",
                "spec.endpoint: is missing",
                "spec.workload: is missing",
                "spec.ipNetworks: 10.0.0.0/31 is more than one address",
                "spec.ipNetworks: 'x' does not appear",
                "spec.interfaceName",
                "spec.mac: 'z' is no MAC address",
            ],
        ),
        (
            "Profile",
            {
                "ingress": [
                    {"action": "Allow", "protocol": "tcp"},
                    {"action": "Allow", "destination": {"ports": [80]}},
                    {"action": "Allow", "protocol": "TCP", "source": {"ports": ["9:1", 70000, "1:70000", "a b"]}},
                    {"action": "Allow", "source": {"selector": "a =", "nets": ["10.0.0.0"]}},
                    {"action": "Allow", "source": {"nets": ["10.0.0.0/8"]}, "destination": {"nets": ["fd00::/8"]}},
                    {"action": "Allow", "ipVersion": 6, "source": {"notNets": ["10.0.0.0/8"]}},
                    {"action": "Allow", "icmp": {"type": 255}},
                    {"action": "Allow", "protocol": "ICMP", "icmp": {"code": 256}},
                    {"action": "Allow", "protocol": 0},
                ],
                "labelsToApply": {"a b": "", "c": "d e"},
            },
            [
                "spec.ingress[0].protocol: protocol 'tcp' is none of",
                "spec.ingress[1].destination.ports: numeric ports need protocol",
                "spec.ingress[2].source.ports: port range 9:1: the first is greater",
                "spec.ingress[2].source.ports: port 70000 is not between",
                "spec.ingress[2].source.ports: port range 1:70000 is not between",
                "spec.ingress[2].source.ports: 'a b' is neither port, range nor name",
                "spec.ingress[3].source.nets: '10.0.0.0' has no /length",
                "spec.ingress[3].source.selector: expected ==",
                "spec.ingress[4]: mixes IPv4 and IPv6",
                "spec.ingress[5]: mixes IPv4 and IPv6",
                "spec.ingress[6].icmp: needs protocol ICMP",
                "spec.ingress[6].icmp.type: 255 is not between",
                "spec.ingress[7].icmp.code: needs a type",
                "spec.ingress[7].icmp.code: 256 is not between",
                "spec.ingress[8].protocol: protocol 0 is not between",
                "spec.labelsToApply.a b: is no label key",
                "spec.labelsToApply.c: 'd e' is no label value",
            ],
        ),
    ],
)
def test_all_faults_are_found_at_once(kind: str, spec: dict[str, Any], wanted: list[str]) -> None:
    found = faults(kind, spec)
    assert len(found) == len(wanted)
    for text, beginning in zip(found, wanted, strict=True):
        assert text.startswith(beginning)


def test_names_and_labels() -> None:
    assert faults("Node", {}, name="Host_A")[0].startswith("metadata.name: 'Host_A' is no name")
    assert faults("Node", {}, name="a" * 254)
    assert faults("Profile", {}, name="My_Net.1") == []
    assert faults("Profile", {}, name="a/b")
    assert faults("Node", {}, labels={"a b": "", "ok.x/y": "v", "c": "d/e"}) == [
        "metadata.labels.a b: is no label key",
        "metadata.labels.c: 'd/e' is no label value",
    ]
    assert faults("Node", {}, namespace="x") == ["metadata.namespace: a Node has none"]
    endpoint = Resource(
        kind=KINDS["WorkloadEndpoint"],
        metadata=Metadata(name=ENDPOINT),
        spec=decode(KINDS["WorkloadEndpoint"], stored(KINDS["WorkloadEndpoint"], EXAMPLES["WorkloadEndpoint"])).spec,
    )
    assert [problem.field for problem in problems(endpoint)] == ["metadata.namespace"]
