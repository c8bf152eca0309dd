"""Chapter 7 of the reference: what the old forms (7.1) and Kubernetes objects (7.2) become, sentence by sentence."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tortie.base.errors import Invalid
from tortie.model.codec import to_builtins
from tortie.model.kubernetes import namespace_profile, network_policy
from tortie.model.resource import Resource
from tortie.model.v1 import names
from tortie.model.v1.forms import from_v1, to_v1


def v1(kind: str, metadata: dict[str, Any], *, later: bool = False, **spec: Any) -> Resource[Any]:
    document = {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec}
    return from_v1(document, later=later)


def marked(name: str, original: str) -> str:
    return f"{name}-{hashlib.sha1(original.encode()).hexdigest()[:8]}"


# 7.1


@pytest.mark.parametrize(
    ("original", "made"),
    [
        ("db-1.x", "db-1.x"),
        ("DB", marked("db", "DB")),
        ("team/db", marked("team.db", "team/db")),
        ("a_b", marked("a-b", "a_b")),
        ("a.-.b", marked("a.b", "a.-.b")),
        ("a--b", "a--b"),
        ("-a.", marked("a", "-a.")),
    ],
)
def test_7_1_names_with_the_hash_of_what_was_changed(original: str, made: str) -> None:
    assert names.v3_name(original) == made


def test_7_1_policy_names_have_no_dots_and_node_names_no_hash() -> None:
    assert names.policy_name("a.b") == marked("a-b", "a.b")
    assert names.node_name("Host_A.example") == "host-a.example"


def test_7_1_a_policy_is_global_and_its_words_are_those_of_v3() -> None:
    rules = [
        {"action": "allow", "protocol": "icmpv6"},
        {"action": "deny", "protocol": "udplite"},
        {"action": "log"},
        {"action": "pass"},
        {"action": "next-tier"},
    ]
    made = v1("policy", {"name": "p"}, ingress=rules)
    assert (made.kind.name, made.spec.tier, made.spec.types) == (
        "GlobalNetworkPolicy",
        "default",
        ("Ingress", "Egress"),
    )
    assert [(rule.action, rule.protocol) for rule in made.spec.ingress] == [
        ("Allow", "ICMPv6"),
        ("Deny", "UDPLite"),
        ("Log", None),
        ("Pass", None),
        ("Pass", None),
    ]


@pytest.mark.parametrize("flag", ["doNotTrack", "preDNAT"])
def test_7_1_do_not_track_and_pre_dnat_are_about_what_is_forwarded(flag: str) -> None:
    assert v1("policy", {"name": "p"}, later=True, **{flag: True}).spec.apply_on_forward
    assert not v1("policy", {"name": "p"}, later=True).spec.apply_on_forward


def test_7_1_types_that_a_later_file_names_are_kept() -> None:
    later = {"types": ["Ingress"], "applyOnForward": True}
    made = v1("policy", {"name": "p", "annotations": {"a": "b"}}, later=True, **later)
    assert (made.spec.types, made.spec.apply_on_forward) == (("Ingress",), True)
    assert v1("policy", {"name": "p"}, later=True, preDNAT=True).spec.types == ("Ingress",)
    with pytest.raises(Invalid, match=r"unknown field spec\.types"):
        v1("policy", {"name": "p"}, types=["Ingress"])


@pytest.mark.parametrize(
    ("side", "selector", "excluded"),
    [
        ({"tag": "t"}, "t == ''", ""),
        ({"tag": "t", "selector": "a == 'b'"}, "(a == 'b') && t == ''", ""),
        ({"notTag": "t"}, "", "t == ''"),
        ({"notTag": "t", "notSelector": "a == 'b'"}, "", "(a == 'b') || t == ''"),
        ({"selector": "calico/k8s_ns == 'x'"}, 'projectcalico.org/namespace == "x"', ""),
        ({"notSelector": "has(calico/k8s_ns)"}, "", "has(projectcalico.org/namespace)"),
    ],
)
def test_7_1_tags_and_the_namespace_label_in_rules(side: dict[str, Any], selector: str, excluded: str) -> None:
    (rule,) = v1("policy", {"name": "p"}, ingress=[{"action": "allow", "source": side}]).spec.ingress
    assert (rule.source.selector, rule.source.not_selector) == (selector, excluded)


def test_7_1_the_namespace_label_in_the_selector_of_a_policy() -> None:
    made = v1("policy", {"name": "p"}, selector="calico/k8s_ns in {'a', 'b'} && role == 'calico/k8s_ns'")
    assert made.spec.selector == '(projectcalico.org/namespace in {"a", "b"} && role == "calico/k8s_ns")'
    with pytest.raises(Invalid, match=r"spec\.selector"):
        v1("policy", {"name": "p"}, selector="calico/k8s_ns ==")


def test_7_1_net_joins_nets() -> None:
    side = {"net": "10.0.0.0/8", "nets": ["11.0.0.0/8"], "notNet": "10.1.0.0/16", "notNets": ["11.1.0.0/16"]}
    (rule,) = v1("policy", {"name": "p"}, ingress=[{"action": "allow", "source": side}]).spec.ingress
    assert rule.source.nets == ("10.0.0.0/8", "11.0.0.0/8")
    assert rule.source.not_nets == ("10.1.0.0/16", "11.1.0.0/16")


def test_7_1_profiles_apply_their_labels_and_tags() -> None:
    made = v1("profile", {"name": "k8s_ns.shop", "tags": ["web"], "labels": {"a": "b"}})
    assert (made.name, made.spec.labels_to_apply) == ("kns.shop", {"web": "", "a": "b"})
    assert v1("profile", {"name": "p", "tags": ["web"], "labels": {"web": ""}}).spec.labels_to_apply == {"web": ""}
    with pytest.raises(Invalid, match="also a label"):
        v1("profile", {"name": "p", "tags": ["web"], "labels": {"web": "x"}})


@pytest.mark.parametrize(
    ("kind", "metadata", "spec", "name"),
    [
        ("hostEndpoint", {"name": "eth0", "node": "a"}, {"interfaceName": "eth0"}, "a.eth0"),
        ("bgpPeer", {"scope": "global", "peerIP": "10.0.0.1"}, {"asNumber": 1}, "10-0-0-1"),
        ("bgpPeer", {"scope": "node", "node": "a", "peerIP": "10.0.0.1"}, {"asNumber": 1}, "a.10-0-0-1"),
        (
            "bgpPeer",
            {"scope": "global", "peerIP": "fd00::1"},
            {"asNumber": 1},
            "fd00-0000-0000-0000-0000-0000-0000-0001",
        ),
        ("ipPool", {"cidr": "10.65.0.0/16"}, {}, "10-65-0-0-16"),
        ("ipPool", {"cidr": "fd00::/64"}, {}, "fd00-64"),
        ("node", {"name": "Host_A"}, {}, "host-a"),
        (
            "workloadEndpoint",
            {"name": "eth0", "workload": "shop.web-0", "orchestrator": "k8s", "node": "a"},
            {},
            "a-k8s-web--0-eth0",
        ),
        (
            "workloadEndpoint",
            {"name": "e", "workload": "w", "orchestrator": "mesos", "node": "a", "activeInstanceID": "c1"},
            {},
            "a-mesos-w-e",
        ),
    ],
)
def test_7_1_names_of_the_other_kinds(kind: str, metadata: dict[str, Any], spec: dict[str, Any], name: str) -> None:
    made = v1(kind, metadata, **spec)
    assert made.name == name
    back = to_v1(made)["metadata"]
    assert {key: back.get(key) for key in metadata} == metadata


def test_7_1_workload_endpoints_lie_in_the_namespace_of_their_pod() -> None:
    pod = v1("workloadEndpoint", {"name": "eth0", "workload": "shop.web-0", "orchestrator": "k8s", "node": "a"})
    assert (pod.metadata.namespace, pod.spec.pod) == ("shop", "web-0")
    metadata = {"name": "e", "workload": "w", "orchestrator": "mesos", "node": "a", "activeInstanceID": "c1"}
    other = v1("workloadEndpoint", metadata)
    assert (other.metadata.namespace, other.spec.container_id) == ("default", "c1")


@pytest.mark.parametrize(
    ("ipip", "mode"),
    [
        (None, "Never"),
        ({"enabled": False, "mode": "always"}, "Never"),
        ({"enabled": True}, "Always"),
        ({"enabled": True, "mode": "always"}, "Always"),
        ({"enabled": True, "mode": "cross-subnet"}, "CrossSubnet"),
    ],
)
def test_7_1_modes_of_a_pool(ipip: dict[str, Any] | None, mode: str) -> None:
    spec: dict[str, Any] = {"nat-outgoing": True, **({"ipip": ipip} if ipip else {})}
    made = v1("ipPool", {"cidr": "10.65.0.0/16"}, **spec)
    assert (made.spec.ipip_mode, made.spec.nat_outgoing) == (mode, True)


# 7.2

K8S = "projectcalico.org/orchestrator == 'k8s'"


def policy(**spec: Any) -> Any:
    return network_policy({"metadata": {"name": "x", "namespace": "shop"}, "spec": spec}).spec


def test_7_2_order_tier_name_and_types() -> None:
    made = network_policy({"metadata": {"name": "x", "namespace": "shop"}, "spec": {"egress": [{}]}})
    assert (made.name, made.metadata.namespace) == ("x", "shop")
    assert (made.spec.tier, made.spec.order, made.spec.types) == ("default", 1000, ("Ingress",))


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ({}, K8S),
        ({"matchLabels": {"b": "2", "a": "1"}}, f"{K8S} && a == '1' && b == '2'"),
        ({"matchExpressions": [{"key": "k", "operator": "In", "values": ["a", "b"]}]}, f"{K8S} && k in {{ 'a', 'b' }}"),
        ({"matchExpressions": [{"key": "k", "operator": "NotIn", "values": ["a"]}]}, f"{K8S} && k not in {{ 'a' }}"),
        ({"matchExpressions": [{"key": "k", "operator": "Exists"}]}, f"{K8S} && has(k)"),
        ({"matchExpressions": [{"key": "k", "operator": "DoesNotExist"}]}, f"{K8S} && ! has(k)"),
    ],
)
def test_7_2_selectors(selector: dict[str, Any], text: str) -> None:
    assert policy(podSelector=selector).selector == text


@pytest.mark.parametrize(
    ("peers", "sides"),
    [
        (None, [{}]),
        ([], [{}]),
        ([{"podSelector": {}}], [{"selector": K8S}]),
        ([{"namespaceSelector": {}}], [{"selector": K8S, "namespaceSelector": "all()"}]),
        (
            [{"namespaceSelector": {"matchLabels": {"a": "b"}}, "podSelector": {"matchLabels": {"c": "d"}}}],
            [{"selector": f"{K8S} && c == 'd'", "namespaceSelector": "a == 'b'"}],
        ),
        (
            [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}],
            [{"nets": ("10.0.0.0/8",), "notNets": ("10.1.0.0/16",)}],
        ),
    ],
)
def test_7_2_peers(peers: Any, sides: list[dict[str, Any]]) -> None:
    """Trap 23: with a namespaceSelector alone the orchestrator's term stands there too."""
    found = policy(ingress=[{} if peers is None else {"from": peers}]).ingress
    assert [to_builtins(rule.source) for rule in found] == sides
    assert {rule.action for rule in found} == {"Allow"}


@pytest.mark.parametrize(
    ("ports", "wanted"),
    [
        ([], [(None, ())]),
        ([{"port": 81}, {"port": 80}], [("TCP", ("80:81",))]),
        ([{"port": 80}, {"protocol": "UDP", "port": 53}], [("TCP", (80,)), ("UDP", (53,))]),
        ([{"port": 80, "endPort": 90}, {"port": 85}], [("TCP", ("80:90",))]),
        ([{"port": "http"}], [("TCP", ("http",))]),
        ([{"protocol": "SCTP"}, {"protocol": "SCTP", "port": 1}], [("SCTP", ())]),
    ],
)
def test_7_2_ports(ports: list[dict[str, Any]], wanted: list[tuple[Any, Any]]) -> None:
    found = policy(ingress=[{"ports": ports}]).ingress
    assert [(rule.protocol, rule.destination.ports) for rule in found] == wanted


def test_7_2_one_rule_for_each_protocol_and_peer() -> None:
    ports = [{"port": 53, "protocol": "UDP"}, {"port": 53}]
    peers = [{"podSelector": {"matchLabels": {"a": name}}} for name in ("x", "y")]
    found = policy(egress=[{"to": peers, "ports": ports}], policyTypes=["Egress"]).egress
    assert [(rule.protocol, rule.destination.selector[-3:-1] + rule.destination.selector[-1]) for rule in found] == [
        ("TCP", "'x'"),
        ("TCP", "'y'"),
        ("UDP", "'x'"),
        ("UDP", "'y'"),
    ]


def test_7_2_isolation_and_open() -> None:
    assert policy(policyTypes=["Ingress"], ingress=[]).ingress == ()
    (rule,) = policy(ingress=[{}]).ingress
    assert to_builtins(rule) == {"action": "Allow"}


def test_7_2_a_namespace_gives_its_labels() -> None:
    labels = namespace_profile({"metadata": {"name": "shop", "labels": {"team": "a"}}}).spec.labels_to_apply
    assert {key: labels[key] for key in ("pcns.team", "pcns.projectcalico.org/name")} == {
        "pcns.team": "a",
        "pcns.projectcalico.org/name": "shop",
    }
