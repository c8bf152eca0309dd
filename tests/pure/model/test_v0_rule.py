"""Rules of the 0.x era: words and flat JSON to the v3 form and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tortie.base.errors import Invalid
from tortie.model.rule import EntityRule, Icmp, Rule
from tortie.model.v0.profile import fresh_profile, tags
from tortie.model.v0.wire import from_wire, tag_of_selector, to_wire
from tortie.model.v0.words import (
    BAD_CIDR,
    BAD_ICMP,
    BAD_PORTS,
    BAD_TAG,
    BAD_VERSIONS,
    NotARule,
    rule_of_words,
    rule_text,
)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("allow", Rule(action="Allow")),
        ("deny", Rule(action="Deny")),
        ("allow from tag web", Rule(action="Allow", source=EntityRule(selector="web == ''"))),
        (
            "allow tcp from tag management-ui to ports 9000",
            Rule(
                action="Allow",
                protocol="TCP",
                source=EntityRule(selector="management-ui == ''"),
                destination=EntityRule(ports=(9000,)),
            ),
        ),
        (
            "deny udp from ports 1:2,3 tag a cidr 10.1.0.0/16 to ports 4-5 tag b cidr 10.2.0.0/16",
            Rule(
                action="Deny",
                protocol="UDP",
                source=EntityRule(ports=("1:2", 3), selector="a == ''", nets=("10.1.0.0/16",)),
                destination=EntityRule(ports=("4:5",), selector="b == ''", nets=("10.2.0.0/16",)),
            ),
        ),
        (
            "allow icmp type 8 code 0 to cidr 10.1.2.3/16",
            Rule(
                action="Allow",
                protocol="ICMP",
                icmp=Icmp(type=8, code=0),
                destination=EntityRule(nets=("10.1.0.0/16",)),
            ),
        ),
        ("allow icmp type 0", Rule(action="Allow", protocol="ICMP", icmp=Icmp(type=0))),
        (
            "allow icmpv6 from cidr fd00::1",
            Rule(action="Allow", protocol="ICMPv6", source=EntityRule(nets=("fd00::1/128",))),
        ),
        (
            "allow from tag to to tag from",
            Rule(action="Allow", source=EntityRule(selector="to == ''"), destination=EntityRule(selector="from == ''")),
        ),
        ("allow tcp to ports 0,65535", Rule(action="Allow", protocol="TCP", destination=EntityRule(ports=(0, 65535)))),
    ],
)
def test_words_become_a_rule(text: str, rule: Rule) -> None:
    assert rule_of_words(text.split()) == rule
    assert rule_of_words(rule_text(rule).split()) == rule


@pytest.mark.parametrize(
    "text",
    [
        "",
        "permit",
        "Allow",
        "allow tcp tag web",
        "allow to tag a from tag b",
        "allow tcp from tag a ports 80",
        "allow from ports 80",
        "allow icmp from ports 80",
        "allow from 192.168.0.0/16",
        "allow tcp from",
        "allow tcp to ports",
        "allow icmp type",
        "allow icmp code 3",
        "allow tcp type 3",
        "allow from cidr 10.0.0.0/8 tag web",
        "allow sctp",
        "allow from selector has(web)",
        "allow from tag web extra",
        "allow from to tag web",
    ],
)
def test_words_out_of_order_are_no_rule(text: str) -> None:
    with pytest.raises(NotARule):
        rule_of_words(text.split())


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("allow from tag we/b", (BAD_TAG,)),
        ("allow from cidr 10.0.0.0/33", (BAD_CIDR,)),
        ("allow from cidr web", (BAD_CIDR,)),
        ("allow from cidr 10.0.0.0/8 to cidr fd00::/8", (BAD_VERSIONS,)),
        ("allow icmp from cidr fd00::/8", (BAD_VERSIONS,)),
        ("allow icmpv6 to cidr 10.0.0.0/8", (BAD_VERSIONS,)),
        ("allow icmp type 255", (BAD_ICMP,)),
        ("allow icmp type x code y", (BAD_ICMP,)),
        ("allow icmp type -1", (BAD_ICMP,)),
        ("allow tcp to ports 65536", (BAD_PORTS, "Port (65536) out-of-range.")),
        ("allow tcp to ports 90-80", (BAD_PORTS, "Port range minimum (90) > maximum (80).")),
        ("allow tcp to ports 1:99999", (BAD_PORTS, "Port maximum (99999) out-of-range.")),
        (
            "allow tcp to ports 80,,x",
            (
                BAD_PORTS,
                "Ports: '' are invalid; expecting a comma-separated list of ports and port ranges.",
                "Ports: 'x' are invalid; expecting a comma-separated list of ports and port ranges.",
            ),
        ),
        ("allow tcp from tag $ cidr x to ports ²", (BAD_TAG, BAD_CIDR, BAD_PORTS)),
    ],
)
def test_all_wrong_values_are_told_at_once(text: str, problems: tuple[str, ...]) -> None:
    with pytest.raises(Invalid) as caught:
        rule_of_words(text.split())
    assert caught.value.problems[: len(problems)] == problems


PORT = st.integers(0, 65535) | st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(
    lambda pair: f"{min(pair)}:{max(pair)}"
)
TAG = st.from_regex(r"[A-Za-z0-9_.-]{1,12}", fullmatch=True)
NET = st.tuples(st.integers(0, 255), st.integers(8, 16)).map(
    lambda pair: f"10.{pair[0] & (0xFF << (16 - pair[1])) & 0xFF}.0.0/{pair[1]}"
)


@st.composite
def wire_rules(draw: st.DrawFn) -> dict[str, Any]:
    wire: dict[str, Any] = {"action": draw(st.sampled_from(["allow", "deny"]))}
    protocol = draw(st.sampled_from([None, "tcp", "udp", "icmp"]))
    if protocol:
        wire["protocol"] = protocol
    if protocol == "icmp" and draw(st.booleans()):
        wire["icmp_type"] = draw(st.integers(0, 254))
        if draw(st.booleans()):
            wire["icmp_code"] = draw(st.integers(0, 254))
    for name in ("src_", "dst_"):
        if draw(st.booleans()):
            wire[f"{name}tag"] = draw(TAG)
        if draw(st.booleans()):
            wire[f"{name}net"] = draw(NET)
        if protocol in ("tcp", "udp") and draw(st.booleans()):
            wire[f"{name}ports"] = draw(st.lists(PORT, min_size=1, max_size=4))
    return wire


@settings(deadline=None)
@given(wire_rules())
def test_every_rule_of_the_era_survives_all_three_forms(wire: dict[str, Any]) -> None:
    rule = from_wire(wire)
    assert to_wire(rule) == wire
    assert rule_of_words(rule_text(rule).split(" ")) == rule


WORDS = ["allow", "deny", "tcp", "udp", "icmp", "from", "to", "ports", "tag", "cidr"]
WORDS += ["type", "code", "80", "1:2", "web", "10.0.0.0/8"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=9))
def test_any_words_are_read_or_refused(words: list[str]) -> None:
    try:
        rule = rule_of_words(words)
    except Invalid:
        return
    assert rule_text(rule).split() == words


@pytest.mark.parametrize(
    ("wire", "problem"),
    [
        ({}, "action None is none of"),
        ({"action": "maybe"}, "action 'maybe' is none of"),
        ({"action": "allow", "source": "x"}, "unknown key 'source'"),
        ({"action": "allow", "protocol": "gre"}, "protocol 'gre' is none of"),
        ({"action": "allow", "protocol": True}, "protocol True is none of"),
        ({"action": "allow", "dst_ports": [80]}, "Ports are not valid with protocol 'None'"),
        ({"action": "allow", "protocol": "icmp", "dst_ports": [80]}, "Ports are not valid with protocol 'icmp'"),
        ({"action": "allow", "protocol": "tcp", "dst_ports": 80}, "dst_ports is not a list"),
        ({"action": "allow", "protocol": "tcp", "dst_ports": [True]}, "Ports: 'True' are invalid"),
        ({"action": "allow", "protocol": "tcp", "dst_ports": [{}]}, "are invalid"),
        ({"action": "allow", "src_tag": 7}, "src_tag is not a text"),
        ({"action": "allow", "src_tag": "a b"}, "src_tag: expected operator"),
        ({"action": "allow", "src_selector": "a =="}, "src_selector: expected string"),
        ({"action": "allow", "src_net": "10.0.0.0/99"}, "Invalid CIDR specified"),
        ({"action": "allow", "src_nets": [1]}, "Invalid CIDR specified"),
        ({"action": "allow", "icmp_type": 8}, "icmp_type needs protocol"),
        ({"action": "allow", "protocol": "icmp", "icmp_code": 1}, "Invalid ICMP type"),
        ({"action": "allow", "ip_version": 5}, "ip_version 5 is neither"),
    ],
)
def test_a_flat_rule_with_a_fault_is_refused(wire: dict[str, Any], problem: str) -> None:
    with pytest.raises(Invalid, match=problem):
        from_wire(wire)


def test_a_tag_has_two_spellings_as_a_selector() -> None:
    assert tag_of_selector("web == ''") == tag_of_selector('web == ""') == tag_of_selector("has(web)") == "web"
    assert tag_of_selector("web == 'x'") is None
    assert tag_of_selector("!has(web)") is None
    assert tag_of_selector("web ==") is None


def test_what_the_grammar_cannot_say_is_shown_and_not_hidden() -> None:
    rule = Rule(
        action="Pass",
        ip_version=4,
        not_protocol="TCP",
        source=EntityRule(selector="a == 'b'", not_nets=("10.0.0.0/8", "10.1.0.0/16")),
    )
    assert (
        rule_text(rule)
        == "next-tier ip_version 4 !protocol tcp from selector \"a == 'b'\" !cidr 10.0.0.0/8,10.1.0.0/16"
    )
    assert from_wire(to_wire(rule)) == rule
    namespaced = Rule(action="Allow", source=EntityRule(namespace_selector="all()"))
    assert rule_text(namespaced) == "allow (the rule uses namespaceSelector, which this grammar has no words for)"


def test_a_fresh_profile_lets_its_own_members_in() -> None:
    profile = fresh_profile("web")
    assert tags(profile.spec) == ["web"]
    assert [rule_text(rule) for rule in profile.spec.ingress] == ["allow from tag web"]
    assert [rule_text(rule) for rule in profile.spec.egress] == ["allow"]
