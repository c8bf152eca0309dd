"""Names of policies by era (reference 5.3), names of endpoints (5.4), and stored values byte for byte (5.6)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from tortie.model.eras import Era, era_of, shown, stored_names, written
from tortie.model.kinds import KINDS
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, check_name, name_of
from tortie.model.resource import Resource, decode, encode, problems

VALUES = [
    '{"kind":"NetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{"name":"db-in","namespace":"shop",'
    '"uid":"0b7d3f0e-8f0c-4a57-9a8f-5d3a1c2e4f60","creationTimestamp":"2026-05-01T10:00:00Z",'
    '"labels":{"projectcalico.org/tier":"default"},"annotations":{"projectcalico.org/metadata":"{\\"name\\":\\"db-in\\"}"}},'
    '"spec":{"tier":"default","order":200,"selector":"role == \'db\'","types":["Ingress"],'
    '"ingress":[{"action":"Allow","protocol":"TCP","source":{"selector":"role == \'web\'"},'
    '"destination":{"ports":[3306,"4000:4010"]}},{"action":"Log","source":{},"destination":{}}]}}',
    '{"kind":"GlobalNetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{"name":"edge-drop"},'
    '"spec":{"tier":"security","order":10,"selector":"has(edge)","types":["Ingress"],"applyOnForward":true,'
    '"preDNAT":true,"ingress":[{"action":"Deny","source":{"selector":"feed == \'bad\'"},"destination":{}}]}}',
    '{"kind":"Tier","apiVersion":"projectcalico.org/v3","metadata":{"name":"security"},'
    '"spec":{"order":100,"defaultAction":"Pass"}}',
    '{"kind":"Profile","apiVersion":"projectcalico.org/v3","metadata":{"name":"web-net"},'
    '"spec":{"ingress":[{"action":"Allow","source":{"selector":"has(web-net)"},"destination":{}}],'
    '"egress":[{"action":"Allow","source":{},"destination":{}}],"labelsToApply":{"web-net":""}}}',
    '{"kind":"IPPool","apiVersion":"projectcalico.org/v3","metadata":{"name":"pool-a"},'
    '"spec":{"cidr":"10.65.0.0/16","vxlanMode":"Never","ipipMode":"CrossSubnet","natOutgoing":true,"blockSize":30,'
    '"nodeSelector":"all()","allowedUses":["Workload","Tunnel"],"assignmentMode":"Automatic"}}',
    '{"kind":"Node","apiVersion":"projectcalico.org/v3","metadata":{"name":"host-a"},'
    '"spec":{"bgp":{"asNumber":64512,"ipv4Address":"192.0.2.11/24","ipv4IPIPTunnelAddr":"10.65.0.0"},'
    '"addresses":[{"address":"192.0.2.11/24","type":"CalicoNodeIP"}]},"status":{}}',
    '{"kind":"WorkloadEndpoint","apiVersion":"projectcalico.org/v3",'
    '"metadata":{"name":"host--a-cni-6f1c2d3e-eth0","namespace":"default",'
    '"labels":{"role":"web","projectcalico.org/namespace":"default","projectcalico.org/orchestrator":"cni"}},'
    '"spec":{"orchestrator":"cni","node":"host-a","containerID":"6f1c2d3e","endpoint":"eth0",'
    '"ipNetworks":["10.65.0.3/32"],"profiles":["web-net"],"interfaceName":"cali6f1c2d3e","mac":"3a:1f:00:00:00:07"}}',
    '{"kind":"HostEndpoint","apiVersion":"projectcalico.org/v3","metadata":{"name":"host-a-eth0",'
    '"labels":{"edge":"true"}},"spec":{"node":"host-a","interfaceName":"eth0","expectedIPs":["192.0.2.11"],'
    '"profiles":["projectcalico-default-allow"]}}',
    '{"kind":"GlobalNetworkSet","apiVersion":"projectcalico.org/v3","metadata":{"name":"bad-feed",'
    '"labels":{"feed":"bad"}},"spec":{"nets":["198.51.100.0/24","203.0.113.9/32"]}}',
    '{"kind":"FelixConfiguration","apiVersion":"projectcalico.org/v3","metadata":{"name":"node.host-a"},'
    '"spec":{"defaultEndpointToHostAction":"Return","bpfLogLevel":"","floatingIPs":"Disabled"}}',
    '{"kind":"BGPConfiguration","apiVersion":"projectcalico.org/v3","metadata":{"name":"default"},'
    '"spec":{"logSeverityScreen":"Info","nodeToNodeMeshEnabled":true,"asNumber":64512}}',
    '{"kind":"BGPPeer","apiVersion":"projectcalico.org/v3","metadata":{"name":"tor-1"},'
    '"spec":{"nodeSelector":"rack == \'1\'","peerIP":"192.0.2.1","asNumber":65001}}',
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: json.loads(value)["kind"])
def test_stored_values(value: str) -> None:
    """Byte for byte but for the order of Felix's many settings."""
    resource = decode(KINDS[json.loads(value)["kind"]], value.encode())
    assert problems(resource) == []
    if resource.kind.name == "FelixConfiguration":
        assert json.loads(encode(resource)) == json.loads(value)
    else:
        assert encode(resource).decode() == value


def policy(name: str, tier: str = "", note: str | None = None) -> Resource[Any]:
    annotations = {"projectcalico.org/metadata": note} if note is not None else {}
    raw = {"metadata": {"name": name, "annotations": annotations}, "spec": {"tier": tier}}
    return decode(KINDS["GlobalNetworkPolicy"], json.dumps(raw).encode())


@pytest.mark.parametrize(
    ("stored", "name", "era"),
    [
        (policy("default.x"), "x", "prefixed"),
        (policy("default.x", "default", '{"name":"x"}'), "x", "annotated"),
        (policy("x", "default", '{"name":"x"}'), "x", "plain"),
        (policy("x"), "x", None),
        (policy("security.x", "security"), "security.x", "prefixed"),
        (policy("knp.default.x"), "knp.default.x", None),
        (policy("default.x", "default", "{"), "x", "prefixed"),
        (policy("default.x", "default", '{"name":7}'), "x", "prefixed"),
    ],
)
def test_every_era_is_read(stored: Resource[Any], name: str, era: Era | None) -> None:
    assert shown(stored).name == name
    assert shown(stored).metadata.annotations == {}
    assert era_of(stored) == era


@pytest.mark.parametrize("era", ["prefixed", "annotated", "plain"])
@pytest.mark.parametrize(("name", "tier"), [("x", "default"), ("security.x", "security"), ("knp.default.x", "default")])
def test_what_is_written_is_shown_and_found(era: Era, name: str, tier: str) -> None:
    own = policy(name, tier)
    there = written(own, era)
    assert shown(there) == own
    assert there.name in stored_names(name, tier)


def test_other_kinds_have_no_eras() -> None:
    profile = decode(KINDS["Profile"], b'{"metadata":{"name":"default.x"}}')
    assert shown(profile) is profile
    assert written(profile) is profile


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ({"orchestrator": "cni", "containerID": "6f1c"}, "host--a-cni-6f1c-eth0"),
        ({"orchestrator": "k8s", "pod": "web-0"}, "host--a-k8s-web--0-eth0"),
        ({"orchestrator": "libnetwork", "containerID": "6f1c"}, "host--a-libnetwork-libnetwork-eth0"),
        ({"orchestrator": "mesos", "workload": "w"}, "host--a-mesos-w-eth0"),
    ],
)
def test_the_name_of_an_endpoint(spec: dict[str, Any], name: str) -> None:
    whole = {"metadata": {"name": name}, "spec": {"node": "host-a", "endpoint": "eth0", **spec}}
    found = decode(WORKLOAD_ENDPOINT, json.dumps(whole).encode())
    assert name_of(found.spec) == name
    assert list(check_name(found)) == []
    other = replace(found, metadata=msgspec.structs.replace(found.metadata, name="other"))
    assert f"expected name {name}" in str(*check_name(other))
