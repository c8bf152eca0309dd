"""calico-model.md 3.1 and 3.3: what a rule may say, with the bounds on both sides."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tortie.base.errors import Invalid
from tortie.model.codec import from_builtins, to_builtins
from tortie.model.kinds import KINDS
from tortie.model.resource import Resource, decode, encode, problems
from tortie.model.rule import Rule
from tortie.policy.compile import compile_rule

TCP: dict[str, Any] = {"action": "Allow", "protocol": "TCP"}


def policy(*rules: dict[str, Any], way: str = "ingress") -> Resource[Any]:
    value = {"metadata": {"name": "p"}, "spec": {way: rules}}
    return decode(KINDS["GlobalNetworkPolicy"], json.dumps(value).encode())


def faults(rule: dict[str, Any], way: str = "ingress") -> list[str]:
    return [str(problem) for problem in problems(policy(rule, way=way))]


SOUND: tuple[dict[str, Any], ...] = (
    *({"action": action} for action in ("Allow", "Deny", "Log", "Pass")),
    {"action": "Allow", "ipVersion": 4},
    {"action": "Allow", "ipVersion": 6},
    *({"action": "Allow", "protocol": name} for name in ("TCP", "UDP", "ICMP", "ICMPv6", "SCTP", "UDPLite", 1, 255)),
    {"action": "Allow", "notProtocol": "UDP"},
    {"action": "Allow", "protocol": "ICMP", "icmp": {"type": 0}},
    {"action": "Allow", "protocol": "ICMP", "icmp": {"type": 0, "code": 0}},
    {"action": "Allow", "protocol": "ICMP", "icmp": {"type": 254, "code": 255}},
    {"action": "Allow", "protocol": "ICMPv6", "notICMP": {"type": 128}},
    {**TCP, "destination": {"ports": [1, 65535, "1:65535", "http", "a.b-c_d"]}},
    {**TCP, "destination": {"ports": list(range(1, 51))}},
    {"action": "Allow", "destination": {"ports": ["http"]}},
    {"action": "Allow", "source": {"nets": ["10.0.0.0/8", "192.0.2.1/32"], "notNets": ["10.1.0.0/16"]}},
    {"action": "Allow", "source": {"nets": ["fd00::/8"]}, "ipVersion": 6},
    {"action": "Allow", "source": {}, "destination": {}},
    {"action": "Allow", "source": {"services": {"name": "a", "namespace": "b"}}},
    {**TCP, "http": {"methods": ["GET"], "paths": [{"exact": "/a"}, {"prefix": "/b"}]}},
    {"action": "Allow", "metadata": {"annotations": {"a": "b"}}},
)
UNSOUND: tuple[tuple[dict[str, Any], str], ...] = (
    ({"action": "Allow", "protocol": "tcp"}, "protocol"),
    ({"action": "Allow", "protocol": 0}, "protocol"),
    ({"action": "Allow", "protocol": 256}, "protocol"),
    ({"action": "Allow", "protocol": "ICMP", "icmp": {"type": 255}}, "icmp.type"),
    ({"action": "Allow", "protocol": "ICMP", "icmp": {"type": 8, "code": 256}}, "icmp.code"),
    ({"action": "Allow", "protocol": "ICMP", "icmp": {"code": 0}}, "icmp.code: needs a type"),
    ({"action": "Allow", "icmp": {"type": 8}}, "icmp: needs protocol ICMP or ICMPv6"),
    ({**TCP, "icmp": {"type": 8}}, "icmp: needs protocol ICMP or ICMPv6"),
    ({**TCP, "destination": {"ports": [-1]}}, "destination.ports"),
    ({**TCP, "destination": {"ports": [65536]}}, "destination.ports"),
    ({**TCP, "destination": {"ports": ["2:1"]}}, "destination.ports"),
    ({**TCP, "destination": {"ports": ["a b"]}}, "destination.ports"),
    ({**TCP, "destination": {"ports": list(range(1, 52))}}, "destination.ports: has more than 50 ports"),
    ({"action": "Allow", "destination": {"ports": [80]}}, "destination.ports: numeric ports need protocol"),
    ({"action": "Allow", "protocol": "ICMP", "destination": {"ports": [80]}}, "ports need protocol"),
    ({"action": "Allow", "source": {"nets": ["10.0.0.1"]}}, "source.nets: '10.0.0.1' has no /length"),
    ({"action": "Allow", "source": {"nets": ["10.0.0.1/8"]}}, "source.nets: 10.0.0.1/8 has host bits set"),
    (
        {"action": "Allow", "source": {"nets": [f"10.0.{n}.0/24" for n in range(256)] + ["10.1.0.0/24"]}},
        "more than 256",
    ),
    ({"action": "Allow", "source": {"notNets": ["0.0.0.0/0"]}}, "would leave nothing"),
    ({"action": "Allow", "source": {"notNets": ["::/0"]}}, "would leave nothing"),
    ({"action": "Allow", "source": {"nets": ["10.0.0.0/8", "fd00::/8"]}}, "mixes IPv4 and IPv6"),
    ({"action": "Allow", "source": {"nets": ["10.0.0.0/8"]}, "ipVersion": 6}, "mixes IPv4 and IPv6"),
    ({"action": "Allow", "source": {"nets": ["10.0.0.0/8"]}, "destination": {"notNets": ["fd00::/8"]}}, "mixes IPv4"),
    ({"action": "Allow", "source": {"selector": "a = 'b'"}}, "source.selector: expected =="),
    ({"action": "Allow", "source": {"selector": "a == '" + "x" * 1024 + "'"}}, "source.selector"),
    ({"action": "Allow", "source": {"selector": "global()"}}, "source.selector: global()"),
    ({"action": "Allow", "source": {"serviceAccounts": {"names": ["A b"]}}}, "source.serviceAccounts.names"),
    ({"action": "Allow", "source": {"services": {"name": "a"}}}, "services.namespace"),
    ({"action": "Deny", "http": {"methods": ["GET"]}}, "http: is for rules with action Allow"),
)


@pytest.mark.parametrize("rule", SOUND, ids=str)
def test_3_3_sound_rules(rule: dict[str, Any]) -> None:
    assert faults(rule) == []


@pytest.mark.parametrize(("rule", "words"), UNSOUND, ids=str)
def test_3_3_faults_are_named_with_their_field(rule: dict[str, Any], words: str) -> None:
    found = faults(rule)
    assert len(found) == 1, found
    assert found[0].startswith("spec.ingress[0]")
    assert words in found[0]


@pytest.mark.parametrize("raw", [{}, {"action": "allow"}, {"action": "Allow", "ipVersion": 5}, {"action": None}])
def test_3_3_what_is_no_rule_is_not_read(raw: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match="GlobalNetworkPolicy: "):
        policy(raw)


@pytest.mark.parametrize("rule", SOUND, ids=str)
def test_3_3_what_is_sound_can_be_enforced_or_says_why_not(rule: dict[str, Any]) -> None:
    found = from_builtins(Rule, rule)
    if {"http", "services"} & {*rule, *rule.get("source", {})}:
        with pytest.raises(Invalid, match="cannot be enforced"):
            compile_rule(found)
    else:
        compile_rule(found)


def test_3_3_services_are_for_the_far_side_of_each_direction_and_stand_alone() -> None:
    there = {"name": "a", "namespace": "b"}
    assert faults({"action": "Allow", "destination": {"services": there}}, "egress") == []
    assert len(faults({"action": "Allow", "source": {"services": there}}, "egress")) == 1
    assert len(faults({"action": "Allow", "destination": {"services": there}})) == 1
    for other in ({"nets": ["10.0.0.0/8"]}, {"selector": "all()"}, {"namespaceSelector": "all()"}):
        assert "cannot stand beside" in faults({"action": "Allow", "source": {"services": there, **other}})[0]
    beside = {**TCP, "destination": {"services": there, "ports": [80]}}
    assert "cannot stand beside ports" in faults(beside, "egress")[0]


def test_3_3_empty_sides_are_read_in_both_forms_and_left_out_when_written() -> None:
    one, two = (from_builtins(Rule, raw) for raw in ({"action": "Allow"}, {"action": "Allow", "source": {}}))
    assert one == two
    assert to_builtins(one) == {"action": "Allow"}


def test_3_1_the_words_of_a_fault_and_all_of_them_at_once() -> None:
    found = policy({"action": "Allow", "protocol": 0}, {"action": "Allow", "icmp": {"type": 8}})
    assert [problem.field for problem in problems(found)] == ["spec.ingress[0].protocol", "spec.ingress[1].icmp"]


def test_5_2_the_revision_is_not_in_the_stored_value_and_a_null_time_is_read() -> None:
    value = b'{"metadata":{"name":"p","creationTimestamp":null},"spec":{"order":1},"newer":[1]}'
    found = decode(KINDS["GlobalNetworkPolicy"], value, revision=9)
    assert found.revision == 9
    assert json.loads(encode(found))["metadata"] == {"name": "p"}
    assert json.loads(encode(found))["newer"] == [1], "a field that nobody knows stays"


def test_9_1_35_no_key_of_ours_is_one_of_the_first_era() -> None:
    assert all(kind.prefix.startswith("/calico/resources/v3/projectcalico.org/") for kind in KINDS.values())
