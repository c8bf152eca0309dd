"""Where the fuzzers begin: small inputs of each language, sound ones and the classic unsound ones."""

from __future__ import annotations

from typing import Any

from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.model.resource import Metadata, Resource

SELECTORS = (
    b"", b"all()", b"has(a) && !(b == 'c' || d != \"e\")", b"a in {'x','y',} || b not in {}", b"a notin{'x'}",
    b"a contains 'x' && b starts with 'y' || c endswith \"z\"", b"global( )", b"in in {'a'}", b"!!has(a)",
    b"((((a==''))))", b"a == 'b", b"a = b", b"\xff\xfe", b"a\n== 'b'", b"a == 'x\ny'", b"k == '\xc3\xa9'",
)  # fmt: skip
FILES = (
    b"apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: a, namespace: b}\nspec:\n"
    b"  ingress:\n  - action: Allow\n    protocol: TCP\n    destination: {ports: [80, '1:2', http]}\n",
    b"apiVersion: v1\nkind: policy\nmetadata: {name: a}\nspec:\n  ingress:\n  - action: allow\n    source: {tag: x}\n",
    b"- apiVersion: v1\n  kind: profile\n  metadata: {name: a, tags: [b]}\n  spec: {}\n",
    b'{"apiVersion":"v1","kind":"ipPool","metadata":{"cidr":"10.0.0.0/8"},"spec":{"nat-outgoing":true}}',
    b"apiVersion: v1\nkind: List\nitems: []\n---\n---\n{}\n",
    b"kind: NetworkPolicyList\napiVersion: projectcalico.org/v3\nitems: null\n",
    b"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec: {podSelector: {}}\n",
    b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n",
    b"a: &a\n  b: *a\n",
    b"a: 1\na: 2\n",
    b'{"a":1,"a":2}',
    b"[" * 3000,
    b"{a: " * 300,
    b"\x00\x01\x02\xff",
    b"\xef\xbb\xbfkind: x\n",
    b"!!python/object/apply:os.system ['true']\n",
    b"? [a, b]\n: c\n",
    b"a: 2026-01-01\nb: 0x1F\nc: 1e999\nd: .nan\n",
    b"<<: {a: b}\n<<: [1]\n",
    b'{"kind":"\\ud800","a":NaN,"b":-1e999}',
    b"a: !!binary 'x'\nb: !!set {c}\nd: !!timestamp 9999-99-99\n",
)
TEMPLATES = (
    b"{{range .items}}{{.metadata.name}}{{end}}",
    b"{{$x := .spec.cidr}}{{if eq $x \"a\"}}b{{else if $x}}c{{else}}d{{end}}",
    b"{{with .metadata}}{{.name | printf \"%s-%q-%d\"}}{{end}}", b"{{index .spec.nets 0}}", b"{{len .items}}",
    b"{{- /* c */ -}} {{ printf \"%5.2s\" .kind }}", b"{{join .spec.nets \",\"}}{{joinAndTruncate .spec.nets \",\" 5}}",
    b"{{range $i, $e := .items}}{{$i}}{{$e}}{{else}}none{{end}}", b"{{", b"{{end}}", b"{{.ObjectMeta.Name}}{{.}}",
    b"{{(index .items 0).kind}}", b"{{and 1 2}}{{or nil \"x\"}}{{not true}}{{lt 1 2}}{{print .}}{{println 1 2}}",
)  # fmt: skip
PLACES = (
    b"http://10.0.0.1:2379,http://[fd00::1]:2379", b"etcds://a:1,b?ca=/x&cert=/y&key=/z&login=/l", b"user:pw@host:1",
    b"https://a:2379\nb:2379\nhttps\netcdv3", b"[::1", b"a:\xd9\xa3", b"tcp/80", b"icmp", b"sctp/http",
    b"apiVersion: v1\nkind: calicoApiConfig\nmetadata:\nspec:\n  etcdEndpoints: http://a:1\n",
    b"apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nmetadata:\nspec:\n  etcdEndpoints: 1\n",
)  # fmt: skip
EXPORTS = (
    b'{"format":"tortie-store/v1","revision":3}\n{"key":"/a","value":"x"}\n{"key":"/b","base64":"AA=="}\n{"keys":2}\n',
    b'{"format":"tortie-store/v1","revision":3}\n{"keys":0}\n',
    b"",
    b"\n\n",
)
REPLIES = (
    b'{"header":{"revision":"5"},"kvs":[{"key":"YQ==","value":"Yg==","mod_revision":"3"}],"more":true}',
    b'{"result":{"header":{"revision":"5"},"events":[{"type":"DELETE","kv":{"key":"YQ=="},"prev_kv":{"key":"YQ=="}}]}}',
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab\ncd\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab\nc",
    b'{"error":"etcdserver: mvcc: required revision has been compacted","code":11}',
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nab",
)
IPAM_KEYS = (
    "/calico/ipam/v2/config",
    "/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-26",
    "/calico/ipam/v2/assignment/ipv4/block/x",
    "/calico/ipam/v2/host/host-a/ipv4/block/10.0.0.0-26",
    "/calico/ipam/v2/host/host-b/ipv4/block/10.0.0.0-26",
    "/calico/ipam/v2/handle/x",
    "/calico/resources/v3/projectcalico.org/profiles/",
    "/calico/resources/v3/projectcalico.org/networkpolicies/x",
    "/calico/elsewhere",
)
ENDS = ("x/h1-cni-a-eth0", "b", "host:h1", "10.0.0.1", "192.0.2.1", "fd00::2", "10.0.9.1")
DOCUMENT: dict[str, Any] = {
    "kind": "List", "items": [{"kind": "a", "metadata": {"name": "n", "labels": {"k": "v"}}}, {"kind": None}],
    "metadata": {"name": "m", "resourceVersion": "3"}, "spec": {"cidr": "10.0.0.0/8", "nets": ["a", "b"], "order": 1.5},
}  # fmt: skip


def workload(name: str, host_address: str) -> Resource[WorkloadEndpointSpec]:
    spec = WorkloadEndpointSpec(
        node="h", orchestrator="cni", workload=name, interface_name=f"cali{name}", profiles=("open",),
        ip_networks=(f"{host_address}/32",),
    )  # fmt: skip
    return Resource(kind=WORKLOAD_ENDPOINT, metadata=Metadata(name=name, namespace="x", labels={"a": "b"}), spec=spec)


def _v3(kind: str, name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    head = {"apiVersion": "projectcalico.org/v3", "kind": kind}
    return {**head, "metadata": {"name": name, **metadata}, "spec": spec}


_WHERE = {"node": "h1", "orchestrator": "cni", "endpoint": "eth0", "profiles": ["open"]}
MANIFESTS: tuple[dict[str, Any], ...] = (
    _v3(
        "WorkloadEndpoint",
        "h1-cni-a-eth0",
        {**_WHERE, "containerID": "a", "interfaceName": "calia", "ipNetworks": ["10.0.0.1/32"]},
        namespace="x",
        labels={"app": "a"},
    ),
    _v3(
        "WorkloadEndpoint",
        "h1-cni-b-eth0",
        {
            **_WHERE,
            "containerID": "b",
            "interfaceName": "calib",
            "ipNetworks": ["10.0.0.2/32", "fd00::2/128"],
            "ports": [{"name": "http", "protocol": "TCP", "port": 80}],
        },
        namespace="x",
        labels={"app": "b"},
    ),
    _v3(
        "Profile",
        "open",
        {"ingress": [{"action": "Allow"}], "egress": [{"action": "Allow"}], "labelsToApply": {"t": ""}},
    ),
    _v3(
        "GlobalNetworkPolicy",
        "g",
        {
            "selector": "app == 'b'",
            "order": 5,
            "types": ["Ingress"],
            "ingress": [
                {
                    "action": "Allow",
                    "protocol": "TCP",
                    "source": {"selector": "app == 'a'"},
                    "destination": {"ports": [80, "http"]},
                }
            ],
        },
    ),
    _v3(
        "NetworkPolicy",
        "n",
        {
            "tier": "t",
            "selector": "app == 'a'",
            "egress": [
                {"action": "Deny", "protocol": "UDP", "destination": {"notNets": ["10.0.0.0/8"], "ports": ["53:54"]}},
                {"action": "Pass"},
            ],
        },
        namespace="x",
    ),
    _v3("Tier", "t", {"order": 1, "defaultAction": "Pass"}),
    _v3("StagedGlobalNetworkPolicy", "s", {"selector": "all()", "ingress": [{"action": "Deny"}]}),
    _v3("HostEndpoint", "h", {"node": "h1", "interfaceName": "*", "expectedIPs": ["10.0.9.1"]}, labels={"app": "b"}),
    _v3("GlobalNetworkSet", "s", {"nets": ["192.0.2.0/24"]}, labels={"feed": "bad"}),
    {
        "apiVersion": "v1",
        "kind": "policy",
        "metadata": {"name": "old"},
        "spec": {
            "selector": "app == 'b'",
            "ingress": [{"action": "allow", "protocol": "icmp", "source": {"tag": "t"}}],
        },
    },
    {"apiVersion": "v1", "kind": "profile", "metadata": {"name": "old", "tags": ["t"]}, "spec": {}},
    {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "k", "namespace": "x"},
        "spec": {
            "podSelector": {},
            "ingress": [{"from": [{"namespaceSelector": {}}], "ports": [{"port": 80, "endPort": 90}]}],
        },
    },
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "x", "labels": {"app": "a"}},
        "spec": {"containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 80}]}]},
    },
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x", "labels": {"team": "red"}}},
    {
        "apiVersion": "tortie/v1",
        "kind": "Assertion",
        "metadata": {"name": "only"},
        "spec": {
            "from": "app == 'a'",
            "to": ["app == 'b'", "host:h1"],
            "ports": ["tcp/80"],
            "expect": "allow",
            "exclusive": True,
        },
    },
)

SPEAKERS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("host-a", "Node", {"bgp": {"ipv4Address": "192.0.2.1/24", "asNumber": "1.10", "routeReflectorClusterID": ""}}),
    ("host-b", "Node", {"bgp": {"ipv4Address": "192.0.2.2/24", "routeReflectorClusterID": "192.0.2.2"}}),
    (
        "default",
        "BGPConfiguration",
        {
            "asNumber": 64512,
            "ignoredInterfaces": ["docker0"],
            "communities": [{"name": "c", "value": "1:2"}],
            "prefixAdvertisements": [{"cidr": "10.0.0.0/8", "communities": ["c", "1:2:3"]}],
            "listenPort": 1179,
        },
    ),
    (
        "a",
        "BGPPeer",
        {
            "peerIP": "192.0.2.9:1179",
            "asNumber": 65001,
            "filters": ["f"],
            "reachableBy": "192.0.2.1",
            "maxRestartTime": "90s",
            "keepaliveTime": "30s",
            "ttlSecurity": 2,
            "numAllowedLocalASNumbers": 1,
        },
    ),
    ("b", "BGPPeer", {"nodeSelector": "all()", "peerSelector": "has(x)", "nextHopMode": "Self"}),
    (
        "f",
        "BGPFilter",
        {
            "importV4": [
                {
                    "action": "Accept",
                    "cidr": "10.0.0.0/8",
                    "matchOperator": "In",
                    "prefixLength": {"min": 8, "max": 24},
                    "interface": "eth0",
                    "communities": {"values": ["1:2"]},
                    "asPathPrefix": [65001],
                    "operations": [
                        {"addCommunity": {"value": "1:2"}},
                        {"prependASPath": {"prefix": [1, 2]}},
                    ],
                }
            ],
            "exportV6": [{"action": "Reject", "source": "RemotePeers", "peerType": "eBGP"}],
        },
    ),
)
