"""The kinds of policy, tiers, sets and host endpoints: faults, and what is filled in on a write (reference 3.2-3.4)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tortie.model.kinds import KINDS
from tortie.model.resource import Resource, decode, encode, problems, with_defaults, worded


def resource(kind: str, spec: dict[str, Any], name: str = "x", **metadata: Any) -> Resource[Any]:
    namespace = {"namespace": "shop"} if KINDS[kind].namespaced else {}
    return decode(KINDS[kind], json.dumps({"metadata": {"name": name, **namespace, **metadata}, "spec": spec}).encode())


def faults(kind: str, spec: dict[str, Any], name: str = "x", **metadata: Any) -> list[str]:
    return [str(problem) for problem in problems(resource(kind, spec, name, **metadata))]


ALLOW = [{"action": "Allow"}]


@pytest.mark.parametrize(
    ("spec", "types"),
    [
        ({}, ["Ingress"]),
        ({"ingress": ALLOW}, ["Ingress"]),
        ({"egress": ALLOW}, ["Egress"]),
        ({"ingress": ALLOW, "egress": ALLOW}, ["Ingress", "Egress"]),
        ({"ingress": ALLOW, "types": ["Egress"]}, ["Egress"]),
    ],
)
@pytest.mark.parametrize("kind", ["NetworkPolicy", "GlobalNetworkPolicy", "StagedNetworkPolicy"])
def test_types_and_tier_are_stored(kind: str, spec: dict[str, Any], types: list[str]) -> None:
    filled = with_defaults(resource(kind, spec, labels={"a": "b"}))
    written = json.loads(encode(filled))
    assert written["spec"]["types"] == types
    assert written["spec"]["tier"] == "default"
    assert written["metadata"]["labels"] == {"a": "b", "projectcalico.org/tier": "default"}
    assert problems(filled) == []
    assert with_defaults(filled) == filled


def test_a_staged_delete_says_nothing_else() -> None:
    filled = with_defaults(resource("StagedNetworkPolicy", {"stagedAction": "Delete"}))
    assert filled.spec.types == ()
    assert problems(filled) == []
    assert with_defaults(resource("StagedNetworkPolicy", {})).spec.staged_action == "Set"
    assert faults("StagedGlobalNetworkPolicy", {"stagedAction": "Delete", "order": 1, "selector": "all()"}) == [
        "spec.stagedAction: with Delete nothing else may be set: order, selector"
    ]


@pytest.mark.parametrize(
    ("kind", "spec", "wanted"),
    [
        (
            "GlobalNetworkPolicy",
            {"doNotTrack": True, "preDNAT": True, "egress": ALLOW, "types": ["Egress"]},
            ["spec.preDNAT", "spec.egress", "spec.types", "spec.applyOnForward"],
        ),
        ("GlobalNetworkPolicy", {"selector": "a == 'b' && global()"}, ["spec.selector: global() can only be used"]),
        ("GlobalNetworkPolicy", {"namespaceSelector": "!global()"}, ["spec.namespaceSelector: global() can only"]),
        ("GlobalNetworkPolicy", {"selector": "a == 'global()'"}, []),
        ("NetworkPolicy", {"ingress": [{"action": "Allow", "source": {"namespaceSelector": "global()"}}]}, []),
        ("NetworkPolicy", {"types": ["Ingress", "Ingress"]}, ["spec.types: names one type twice"]),
        ("NetworkPolicy", {"tier": "A b", "performanceHints": ["x"]}, ["spec.tier", "spec.performanceHints"]),
        (
            "GlobalNetworkPolicy",
            {
                "ingress": [
                    {"action": "Allow", "source": {"notNets": ["0.0.0.0/0"]}},
                    {"action": "Allow", "destination": {"services": {"name": "a", "namespace": "b"}}},
                    {"action": "Allow", "source": {"services": {"name": "a"}, "nets": ["10.0.0.0/8"]}},
                    {"action": "Deny", "protocol": "UDP", "http": {"methods": ["GET", "GET"]}},
                    {"action": "Allow", "http": {"paths": [{"exact": "/a", "prefix": "/b"}, {"exact": "a?"}]}},
                ],
                "egress": [{"action": "Allow", "http": {}}],
            },
            [
                "spec.ingress[0].source.notNets: 0.0.0.0/0 would leave nothing",
                "spec.ingress[1].destination.services: services are for the source",
                "spec.ingress[2].source.services.namespace: is needed",
                "spec.ingress[2].source.services: services cannot stand beside nets",
                "spec.ingress[3].http: is for rules with action Allow",
                "spec.ingress[3].http: needs protocol TCP",
                "spec.ingress[3].http.methods: names one method twice",
                "spec.ingress[4].http.paths: each needs exactly one",
                "spec.ingress[4].http.paths: 'a?' is no path",
                "spec.egress[0].http: is for ingress rules only",
            ],
        ),
        ("HostEndpoint", {}, ["spec.node: is missing", "spec.interfaceName: no interface or expected IPs"]),
        (
            "HostEndpoint",
            {"node": "a", "expectedIPs": ["10.0.0.0/8"], "ports": [{"name": "a b", "protocol": "TCP", "port": 0}]},
            ["spec.expectedIPs", "spec.ports.name", "spec.ports.port: 0 is not between 1 and 65535"],
        ),
        ("NetworkSet", {"nets": ["10.0.0.1/8"]}, ["spec.nets: 10.0.0.1/8 has host bits set"]),
    ],
)
def test_faults(kind: str, spec: dict[str, Any], wanted: list[str]) -> None:
    found = faults(kind, spec)
    assert len(found) == len(wanted), found
    for text, beginning in zip(found, wanted, strict=True):
        assert text.startswith(beginning)


@pytest.mark.parametrize(
    ("kind", "name", "sound"),
    [
        ("NetworkPolicy", "db-in", True),
        ("NetworkPolicy", "default.db-in", True),
        ("NetworkPolicy", "knp.default.a.b", True),
        ("NetworkPolicy", "a.b.c", False),
        ("GlobalNetworkPolicy", "a.b.c", False),
        ("GlobalNetworkPolicy", "security.a", False),
        ("Tier", "a.b", False),
        ("Tier", "a" * 63, True),
        ("Tier", "a" * 64, False),
    ],
)
def test_names(kind: str, name: str, sound: bool) -> None:
    assert (faults(kind, {}, name) == []) is sound


def test_built_in_tiers_stay_as_they_are() -> None:
    assert with_defaults(resource("Tier", {}, "default")).spec.order == 1_000_000
    assert with_defaults(resource("Tier", {}, "kube-admin")).spec.default_action == "Pass"
    assert with_defaults(resource("Tier", {}, "mine")).spec.default_action == "Deny"
    assert faults("Tier", {"order": 1, "defaultAction": "Pass"}, "default") == [
        "spec.order: default tier order must be 1000000",
        "spec.defaultAction: default tier default action must be Deny",
    ]


def test_a_set_does_not_choose_its_namespace() -> None:
    label = "projectcalico.org/namespace"
    assert faults("GlobalNetworkSet", {}, labels={label: "x"})[0].startswith(f"metadata.labels.{label}:")


def test_the_words_of_the_original_have_the_value() -> None:
    found = resource(
        "NetworkPolicy",
        {"selector": "a =", "ingress": [{"action": "Allow", "protocol": 0}]},
        labels={"a.b/c": "d e"},
    )
    label, selector, protocol = worded(found)
    assert label == "error with field metadata.labels.a.b/c = 'd e' (Reason: 'd e' is no label value)"
    assert selector.startswith("error with field spec.selector = 'a =' (Reason: ")
    assert protocol == "error with field spec.ingress[0].protocol = '0' (Reason: protocol 0 is not between 1 and 255)"
