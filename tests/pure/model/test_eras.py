"""Names of policies by era (reference 5.3), names of endpoints (5.4), and stored values byte for byte (5.6)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.model import eras
from tortie.model.eras import Era, OneEach, choose_era, era_of, faults, one_each, shown, stored_names, written
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


@pytest.mark.parametrize("kind", sorted(eras.POLICIES))
def test_5_3_the_rule_is_for_every_kind_of_policy(kind: str) -> None:
    """`NetworkPolicy, GlobalNetworkPolicy, Staged*`; Kubernetes' own are never renamed."""
    space = {"namespace": "shop"} if KINDS[kind].namespaced else {}
    found = decode(KINDS[kind], json.dumps({"metadata": {"name": "default.x", **space}, "spec": {}}).encode())
    assert shown(found).name == "x"
    assert written(shown(found), "prefixed").name == "default.x"


@pytest.mark.parametrize(
    ("stored", "version", "era"),
    [
        ([], "", "plain"),
        ([], "v3.29.4", "prefixed"),
        ([], "v3.30.0", "annotated"),
        ([], "v3.31.7", "annotated"),
        ([], "3.32.1", "plain"),
        ([], "v4.0", "plain"),
        ([], "v2.6.1", "plain"),
        ([], "master", "plain"),
        ([policy("x", "", '{"name":"x"}')], "v3.29.4", "plain"),
        ([policy("x", "", '{"name":"x"}'), policy("default.y")], "v3.32.1", "prefixed"),
        ([policy("default.x", "", '{"name":"x"}')], "", "annotated"),
        ([policy("x")], "v3.30.1", "annotated"),
    ],
)
def test_5_3_the_era_is_that_of_the_oldest_peer(stored: list[Resource[Any]], version: str, era: Era) -> None:
    assert choose_era(stored, version) == era


def test_5_3_one_era_in_a_store_and_never_a_mixture() -> None:
    plain, old = policy("x", "", '{"name":"x"}'), policy("default.y")
    assert faults([plain], "plain") == faults([old], "prefixed") == faults([old], None) == faults([], None) == []
    assert faults([old, policy("default.z")], "plain") == [
        "names of the era prefixed, while the era plain is written: GlobalNetworkPolicy y and 1 more"
    ]
    assert len(faults([plain, old], None)) == 2
    assert faults([plain, policy("default.x")], "plain")[0] == "GlobalNetworkPolicy x is stored 2 times: x, default.x"


KEYS = st.sampled_from(["x", "default.x", "y", "default.y", "security.x"])
VALUES_AT = st.sampled_from([None, ("default", None), ("default", "x"), ("security", "x"), ("default", "y")])


@given(st.lists(st.tuples(KEYS, VALUES_AT), max_size=12))
def test_5_3_what_is_told_is_what_a_listing_shows(steps: list[tuple[str, tuple[str, str | None] | None]]) -> None:
    """Key by key in any order, a follower ends where one who lists the store begins."""
    each, store, told = (
        OneEach[Resource[Any]](lambda policy: policy),
        dict[str, Resource[Any]](),
        dict[str, Resource[Any]](),
    )
    for key, value in steps:
        found = None if value is None else policy(key, value[0], json.dumps({"name": value[1]}) if value[1] else None)
        if found is None:
            store.pop(key, None)
        else:
            store[key] = found
        for own_key, resource in each.learn(key, found).items():
            if resource is None:
                told.pop(own_key, None)
            else:
                told[own_key] = resource
    assert told == {resource.key: resource for resource in one_each(store.values())}


def test_5_2_what_only_a_store_can_say_is_never_stored() -> None:
    """Trap 25: resourceVersion is the revision of the key, whoever wrote it into the value."""
    value = b'{"metadata":{"name":"x","resourceVersion":"7","selfLink":"/a","ownerReferences":[{"uid":"u"}]},"spec":{}}'
    found = decode(KINDS["Tier"], value, revision=9)
    assert json.loads(encode(found))["metadata"] == {"name": "x", "ownerReferences": [{"uid": "u"}]}
