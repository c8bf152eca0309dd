"""Rules as people write them, and what cannot be enforced."""

from __future__ import annotations

import pytest

from tortie.base.errors import Invalid
from tortie.model.codec import from_builtins
from tortie.model.kinds.profile import ProfileSpec
from tortie.model.rule import EntityRule, Icmp, Rule
from tortie.policy.compile import compile_profile, compile_rule


def test_ports_are_sorted_and_joined() -> None:
    rule = Rule(action="Allow", protocol="TCP", destination=EntityRule(ports=("90:100", 80, 81, 95)))
    assert compile_rule(rule).destination.ports == ((80, 81), (90, 100))


def test_8_2_ports_with_a_gap_of_one_are_not_joined() -> None:
    rule = Rule(action="Allow", protocol="TCP", destination=EntityRule(ports=(80, 82, "84:90", 91)))
    assert compile_rule(rule).destination.ports == ((80, 80), (82, 82), (84, 91))


def test_nets_that_hold_others_are_kept_once() -> None:
    rule = Rule(action="Allow", source=EntityRule(nets=("10.1.0.0/16", "10.0.0.0/8", "10.0.0.1")))
    assert compile_rule(rule).source.nets == ("10.0.0.0/8",)


def test_an_icmp_type_of_zero_is_one() -> None:
    rule = Rule(action="Allow", protocol="ICMP", icmp=Icmp(type=0, code=0))
    compiled = compile_rule(rule).icmp
    assert compiled is not None
    assert (compiled.type, compiled.code) == (0, 0)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Rule(action="Allow", destination=EntityRule(ports=(80,))), "need a protocol"),
        (Rule(action="Allow", protocol="ICMP", destination=EntityRule(ports=(80,))), "need a protocol"),
        (Rule(action="Allow", protocol="ICMP", destination=EntityRule(ports=("web",))), "need a protocol"),
        (Rule(action="Allow", protocol="TCP", destination=EntityRule(ports=("a b",))), "no name"),
        (Rule(action="Allow", protocol="TCP", destination=EntityRule(ports=("9:3",))), "low before high"),
        (Rule(action="Allow", protocol="TCP", destination=EntityRule(ports=(65536,))), "65535"),
        (Rule(action="Allow", protocol="TCP", destination=EntityRule(ports=("1:2:3",))), "1:2:3"),
        (Rule(action="Allow", protocol="carrier"), "unknown protocol 'carrier'"),
        (Rule(action="Allow", protocol=256), "256"),
        (Rule(action="Allow", source=EntityRule(nets=("10.0.0.0/33",))), "10.0.0.0/33"),
        (Rule(action="Allow", source=EntityRule(selector="a = 'b'")), "expected"),
        (Rule(action="Allow", source=EntityRule(selector="global()")), "namespaceSelector"),
        (Rule(action="Allow", protocol="ICMP", icmp=Icmp(code=1)), "needs a type"),
        (Rule(action="Allow", protocol="ICMP", icmp=Icmp(type=255)), "255"),
        (Rule(action="Allow", icmp=Icmp(type=8)), "needs the protocol"),
        (Rule(action="Allow", not_icmp=Icmp(type=8)), "needs the protocol"),
        (Rule(action="Allow", protocol="TCP", not_icmp=Icmp(type=8)), "needs the protocol"),
        (Rule(action="Allow", protocol="ICMP", ip_version=6), "does not exist in IPv6"),
        (Rule(action="Allow", protocol=58, ip_version=4), "does not exist in IPv4"),
        (Rule(action="Allow", source=EntityRule(nets=("fe80::1%eth0",))), "zone"),
    ],
)
def test_what_cannot_be_enforced_is_named(rule: Rule, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        compile_rule(rule)
    compiled = compile_profile(ProfileSpec(egress=(Rule(action="Allow"), rule)))
    assert [p.startswith("egress rule 1: ") for p in compiled.problems] == [True]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"action": "Allow", "http": {"methods": ["GET"]}}, "http"),
        ({"action": "Allow", "source": {"serviceAccounts": {"uids": ["web"]}}}, "serviceAccounts: uids"),
        ({"action": "Allow", "destination": {"services": {"name": "db"}}}, "services"),
        ({"action": "Allow", "protocol": "ICMP", "icmp": {"type": 8, "codes": [0]}}, "codes"),
        ({"action": "Deny", "source": {"selectr": "has(a)"}}, "selectr"),
    ],
)
def test_a_condition_that_is_not_understood_closes_and_never_widens(raw: dict[str, object], words: str) -> None:
    spec = from_builtins(ProfileSpec, {"ingress": [raw], "egress": [{"action": "Allow"}]})
    compiled = compile_profile(spec)
    assert compiled.ingress == ()
    assert words in compiled.problems[0]


def test_a_rules_metadata_is_no_condition() -> None:
    spec = from_builtins(ProfileSpec, {"ingress": [{"action": "Allow", "metadata": {"annotations": {"a": "b"}}}]})
    assert compile_profile(spec).problems == ()


def test_a_condition_of_the_model_that_the_compiler_does_not_know_closes() -> None:
    class Newer(EntityRule, frozen=True, kw_only=True):
        domains: tuple[str, ...] = ()

    compile_rule(Rule(action="Allow", source=Newer()))
    with pytest.raises(Invalid, match="domains"):
        compile_rule(Rule(action="Allow", source=Newer(domains=("example.org",))))
