"""Kubernetes objects as Calico resources (reference 7.2)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tortie.base.errors import Invalid
from tortie.model.codec import to_builtins
from tortie.model.kubernetes import account_profile, namespace_profile, network_policy

K8S = "projectcalico.org/orchestrator == 'k8s'"


def converted(**spec: Any) -> dict[str, Any]:
    document = {"kind": "NetworkPolicy", "metadata": {"name": "x", "namespace": "shop"}, "spec": spec}
    return to_builtins(network_policy(document).spec)


def test_a_whole_policy() -> None:
    expressions = [
        {"key": "a", "operator": "In", "values": ["x", "y"]},
        {"key": "b", "operator": "NotIn", "values": ["z"]},
        {"key": "c", "operator": "Exists"},
        {"key": "d", "operator": "DoesNotExist"},
    ]
    found = converted(
        podSelector={"matchLabels": {"role": "db", "app": "s"}, "matchExpressions": expressions},
        policyTypes=["Ingress", "Egress"],
        ingress=[
            {
                "from": [
                    {"podSelector": {"matchLabels": {"role": "web"}}},
                    {"namespaceSelector": {}},
                    {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
                ],
                "ports": [{"port": 81}, {"port": 80}, {"port": "http"}, {"protocol": "UDP", "port": 53, "endPort": 60}],
            }
        ],
        egress=[{}],
    )
    assert found["selector"] == (
        f"{K8S} && app == 's' && role == 'db' && a in {{ 'x', 'y' }} && b not in {{ 'z' }} && has(c) && ! has(d)"
    )
    assert (found["tier"], found["order"], list(found["types"])) == ("default", 1000, ["Ingress", "Egress"])
    assert [(rule["protocol"], rule["destination"]["ports"]) for rule in found["ingress"]] == [
        *[("TCP", ("80:81", "http"))] * 3,
        *[("UDP", ("53:60",))] * 3,
    ]
    assert [rule["source"] for rule in found["ingress"][:3]] == [
        {"selector": f"{K8S} && role == 'web'"},
        {"selector": K8S, "namespaceSelector": "all()"},
        {"nets": ("10.0.0.0/8",), "notNets": ("10.1.0.0/16",)},
    ]
    assert list(found["egress"]) == [{"action": "Allow"}]


def test_without_types_it_is_about_ingress_only() -> None:
    found = converted(egress=[{}])
    assert list(found["types"]) == ["Ingress"]
    assert found["selector"] == K8S


def test_a_port_entry_without_a_number_is_every_port_of_its_protocol() -> None:
    assert list(converted(ingress=[{"ports": [{"protocol": "UDP"}, {"protocol": "UDP", "port": 1}]}])["ingress"]) == [
        {"action": "Allow", "protocol": "UDP"}
    ]


@pytest.mark.parametrize(
    "spec",
    [
        {"ingress": [{"from": [{}]}]},
        {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]}]},
        {"ingress": [{"from": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]}]},
        {"ingress": [{"ports": [{"protocol": "icmp"}]}]},
        {"ingress": [{"ports": [{"port": 9, "endPort": 8}]}]},
        {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Gt"}]}},
        {"policyTypes": ["x"]},
    ],
)
def test_what_cannot_be_converted_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        converted(**spec)


def test_profiles() -> None:
    namespace = namespace_profile({"metadata": {"name": "shop", "labels": {"team": "a"}}})
    assert namespace.name == "kns.shop"
    assert namespace.spec.labels_to_apply == {
        "pcns.team": "a",
        "pcns.projectcalico.org/name": "shop",
        "pcns.kubernetes.io/metadata.name": "shop",
    }
    assert [rule.action for rule in (*namespace.spec.ingress, *namespace.spec.egress)] == ["Allow", "Allow"]
    account = account_profile({"metadata": {"name": "web", "namespace": "shop"}})
    assert (account.name, account.spec.ingress) == ("ksa.shop.web", ())
    with pytest.raises(Invalid):
        namespace_profile({"metadata": {}})


@settings(max_examples=50)
@given(
    st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)
def test_nothing_but_invalid_is_raised(found: Any) -> None:
    for document in (
        found,
        {"metadata": {"name": "x"}, "spec": found},
        {"metadata": {"name": "x"}, "spec": {"ingress": found}},
    ):
        try:
            network_policy(document)
        except Invalid:
            continue
