"""The table of a host: what each change of policy makes of it, and that every way leads to the same table."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pure.policy.test_engine import STEPS
from tests.support.fake_table import FakeTable

from tortie.dataplane.render import base, rules
from tortie.dataplane.render.settings import Settings
from tortie.dataplane.render.stacks import Stack
from tortie.dataplane.render.table import HostTable
from tortie.dataplane.steps import Members
from tortie.model.kinds.profile import ProfileSpec
from tortie.model.resource import Resource
from tortie.model.rule import EntityRule, Icmp, Rule
from tortie.policy.compile import compile_rule
from tortie.policy.engine import PolicyEngine
from tortie.policy.values import EndpointChanged, MembersChanged, ProfileChanged, Resolved, RuleLists, SelectorGone

MANNER = rules.Manner()


def chain_of(profile: str) -> str:
    return rules.Listed("profile", profile, "ingress").chain


def contents(table: HostTable) -> tuple[Mapping[str, str], Mapping[str, str], Mapping[str, Mapping[str, str]]]:
    ledger = table.ledger
    live = {name: dict(ledger.elements(name)) for name, d in ledger.defs.items() if d.content is None}
    return {n: d.shape for n, d in ledger.defs.items()}, {n: c.mark for n, c in ledger.rules.items()}, live


def step(engine: PolicyEngine, table: HostTable, kind: str, key: str, value: object) -> None:
    if kind == "endpoint":
        assert value is None or isinstance(value, Resource)
        changes = engine.set_endpoint(key, value)
    else:
        assert value is None or isinstance(value, ProfileSpec)
        changes = engine.set_profile(key, value)
    for change in changes:
        table.learn(change)


@settings(max_examples=100, deadline=None)
@given(st.lists(STEPS, max_size=15), st.integers(1, 4), st.randoms(use_true_random=False))
def test_applying_as_it_comes_or_all_at_once_ends_in_the_same_table(
    steps: Sequence[tuple[str, str, object]], batch: int, shuffled: random.Random
) -> None:
    engine, table, kernel = PolicyEngine("here"), HostTable(), FakeTable()
    for index, (kind, key, value) in enumerate(steps):
        step(engine, table, kind, key, value)
        if index % batch == 0:
            plan = table.ledger.plan()
            kernel.carry_out(plan, table.ledger)
            table.ledger.settled(plan)
    plan = table.ledger.plan()
    kernel.carry_out(plan, table.ledger)
    table.ledger.settled(plan)
    assert not table.ledger.plan()
    have = kernel.have()
    assert (have.sets, have.chains) == contents(table)[:2]
    # The last word on each key, in any order, gives the same table.
    last = {(kind, key): value for kind, key, value in steps}
    order = list(last.items())
    shuffled.shuffle(order)
    other_engine, other = PolicyEngine("here"), HostTable()
    for (kind, key), value in order:
        step(other_engine, other, kind, key, value)
    assert contents(other) == contents(table)
    other.ledger.learn(have)
    assert not other.ledger.plan()


def endpoint(interface: str = "calia", *profiles: str, address: str = "10.0.0.1") -> Resolved:
    return Resolved(interface, (address,), profiles or ("p",))


def allow(text: str = "") -> RuleLists:
    rule = Rule(action="Allow", source=EntityRule(selector=text))
    return RuleLists((compile_rule(rule),), (compile_rule(Rule(action="Allow")),))


def test_a_member_more_is_one_element_and_no_rule() -> None:
    table, kernel = HostTable(), FakeTable()
    selector = compile_rule(Rule(action="Allow", source=EntityRule(selector="has(a)"))).source.selector or ""
    table.learn(MembersChanged(selector, frozenset({"10.0.0.2"}), frozenset()))
    table.learn(ProfileChanged("p", allow("has(a)")))
    table.learn(EndpointChanged("e", endpoint()))
    plan = table.ledger.plan()
    kernel.carry_out(plan, table.ledger)
    table.ledger.settled(plan)
    table.learn(MembersChanged(selector, frozenset({"10.0.0.3"}), frozenset({"10.0.0.2"})))
    plan = table.ledger.plan()
    assert not plan.prepare
    changed = {(c.put, *c.items) for c in plan.commit if isinstance(c, Members)}
    assert changed == {(True, ("10.0.0.3", "")), (False, ("10.0.0.2", ""))}
    assert len(plan.commit) == len(changed)


def test_an_endpoint_more_with_the_same_profiles_shares_the_stack() -> None:
    table = HostTable()
    table.learn(ProfileChanged("p", allow()))
    table.learn(EndpointChanged("e1", endpoint()))
    chains = dict(table.ledger.rules)
    table.learn(EndpointChanged("e2", endpoint("calib", address="10.0.0.2")))
    assert table.ledger.rules == chains
    assert table.ledger.elements(base.TO)['"calib"'] == table.ledger.elements(base.TO)['"calia"']


def test_an_absent_profile_closes() -> None:
    table = HostTable()
    table.learn(EndpointChanged("e", endpoint()))
    assert table.ledger.rules[chain_of("p")].rules == ("counter drop",)
    assert table.problems("e") == []
    assert table.notes("e") == ["profile p does not exist: it closes"]


def test_what_cannot_be_enforced_closes_the_endpoint_in_both_directions() -> None:
    table = HostTable()
    table.learn(ProfileChanged("p", RuleLists(problems=("ingress rule 0: no",))))
    table.learn(EndpointChanged("e", endpoint()))
    assert table.ledger.elements(base.TO) == {'"calia"': "drop"}
    assert table.ledger.elements(base.FROM) == {'"calia"': "drop"}
    assert table.problems("e") == ["profile p: ingress rule 0: no"]


def test_a_foreign_or_impossible_interface_is_not_put_into_the_table() -> None:
    table = HostTable()
    for name in ("eth0", "cali-much-too-long", 'cali"; x', ""):
        table.learn(EndpointChanged("e", endpoint(name)))
        assert table.ledger.elements(base.TO) == {}
        assert table.problems("e")


def test_of_two_endpoints_with_one_address_the_first_by_key_may_use_it() -> None:
    table = HostTable()
    table.learn(EndpointChanged("e2", endpoint("calib")))
    table.learn(EndpointChanged("e1", endpoint("calia")))
    assert list(table.ledger.elements(base.SOURCES4)) == ['"calia" . 10.0.0.1']
    assert table.claims.addresses() == {"10.0.0.1": "calia"}
    table.learn(EndpointChanged("e1", None))
    assert list(table.ledger.elements(base.SOURCES4)) == ['"calib" . 10.0.0.1']


def test_an_endpoint_takes_over_the_interface_of_one_that_goes() -> None:
    table = HostTable()
    table.learn(EndpointChanged("e1", endpoint("calia")))
    table.learn(EndpointChanged("e2", endpoint("calia", address="10.0.0.2")))
    assert table.problems("e2") == ["interface calia belongs to e1"]
    table.learn(EndpointChanged("e1", None))
    assert table.problems("e2") == []
    assert list(table.ledger.elements(base.SOURCES4)) == ['"calia" . 10.0.0.2']
    assert list(table.ledger.elements(base.TO)) == ['"calia"']


def test_no_list_of_more_than_one_item_is_written_into_a_rule() -> None:
    rule = Rule(
        action="Allow",
        protocol="TCP",
        source=EntityRule(nets=("10.0.0.0/8", "172.16.0.0/12"), not_nets=("10.1.0.0/16", "10.3.0.0/16")),
        destination=EntityRule(ports=(80, 443), not_ports=("1:5", 9)),
    )
    written = rules.write_rules(RuleLists((compile_rule(rule),)), rules.Listed("profile", "p", "ingress"), (), MANNER)
    assert "{" not in " ".join(written.rules)
    assert len(written.sets) == 4


def test_a_rule_for_the_other_family_is_not_made_wider_by_leaving_it_out() -> None:
    rule = Rule(action="Allow", ip_version=4, source=EntityRule(nets=("fd00::/8",)))
    listed = rules.Listed("profile", "p", "ingress")
    assert rules.write_rules(RuleLists((compile_rule(rule),)), listed, (), MANNER).rules == ["return"]


def test_a_rule_about_icmp_of_the_other_family_matches_nothing() -> None:
    rule = Rule(action="Allow", protocol="ICMPv6", icmp=Icmp(type=128), source=EntityRule(not_nets=("10.0.0.0/8",)))
    listed = rules.Listed("profile", "p", "ingress")
    assert rules.write_rules(RuleLists((compile_rule(rule),)), listed, (), MANNER).rules == ["return"]


def test_a_selector_that_goes_takes_its_sets_along() -> None:
    table = HostTable()
    before = contents(table)
    table.learn(MembersChanged("has(a)", frozenset({"10.0.0.2"}), frozenset()))
    table.learn(SelectorGone("has(a)"))
    assert contents(table) == before


@pytest.mark.parametrize(
    ("pools", "asked"),
    [((), ""), (("10.0.0.0/8",), "ip saddr 10.0.0.0/8 "), (("10.0.0.0/8", "fd00::/8"), "ip saddr 10.0.0.0/8 "),
     (("10.0.0.0/8", "172.16.0.0/12"), "")],
)  # fmt: skip
def test_sources_are_looked_up_once_and_those_outside_of_the_only_pool_later(
    pools: tuple[str, ...], asked: str
) -> None:
    chains = base.base_chains(Settings(pools=pools))
    first, second = chains["raw_pre"][0].rules
    assert first == f"meta nfproto ipv4 {asked}iifname . ip saddr @src4 ip daddr != 127.0.0.0/8 accept"
    assert second == 'iifname "cali*" goto spoof'
    assert chains["spoof"][0].rules[:2] == [
        "meta nfproto ipv4 ip daddr 127.0.0.0/8 counter drop",
        "meta nfproto ipv4 iifname . ip saddr @src4 accept",
    ]


def test_settings_change_the_way_to_the_host() -> None:
    closed = base.base_chains(Settings())["wl_to_host"][0].rules
    open_ = base.base_chains(Settings(endpoint_to_host="Return", host_services=True))["wl_to_host"][0].rules
    assert not any("vmap" in rule or "53" in rule for rule in closed)
    assert any("vmap" in rule for rule in open_)
    assert any("dport 53" in rule for rule in open_)


def test_a_profile_that_the_kernel_refuses_closes_until_its_rules_change() -> None:
    table = HostTable()
    table.learn(ProfileChanged("p", allow()))
    table.learn(EndpointChanged("e", endpoint()))
    chain = chain_of("p")
    assert table.refuse([chain, "fwd_from"], "nft: no")
    assert table.ledger.elements(base.TO) == {'"calia"': "drop"}
    assert "nft: no" in table.problems("e")[0]
    table.learn(ProfileChanged("p", RuleLists()))
    assert table.problems("e") == []
    assert table.ledger.elements(base.TO)['"calia"'].startswith("goto ")
    assert not table.refuse(["fwd_from"], "nft: no")


def test_a_change_of_rules_and_of_members_is_one_transaction() -> None:
    """Members before rules, or rules before members: either would open for a moment what neither state allows."""
    table, kernel = HostTable(), FakeTable()
    old, new = (compile_rule(Rule(action="Allow", source=EntityRule(selector=f"has({x})"))) for x in "ab")
    sets = [rule.source.selector or "" for rule in (old, new)]
    table.learn(MembersChanged(sets[0], frozenset({"10.0.0.2"}), frozenset()))
    table.learn(ProfileChanged("p", RuleLists((old,))))
    table.learn(EndpointChanged("e", endpoint()))
    plan = table.ledger.plan()
    kernel.carry_out(plan, table.ledger)
    table.ledger.settled(plan)
    table.learn(MembersChanged(sets[1], frozenset({"10.0.0.3"}), frozenset()))
    table.learn(ProfileChanged("p", RuleLists((new,))))
    table.learn(SelectorGone(sets[0]))
    plan = table.ledger.plan()
    kernel.carry_out(plan, table.ledger)
    table.ledger.settled(plan)
    assert (kernel.sets, {n: m for n, (m, _) in kernel.chains.items()}) == contents(table)[:2]


@settings(max_examples=50, deadline=None)
@given(st.lists(STEPS, max_size=10), st.integers(0, 9))
def test_a_rebuild_from_any_state_ends_in_the_same_table(steps: Sequence[tuple[str, str, object]], loaded: int) -> None:
    engine, table, kernel = PolicyEngine("here"), HostTable(), FakeTable()
    for index, (kind, key, value) in enumerate(steps):
        step(engine, table, kind, key, value)
        if index == loaded:
            kernel.carry_out(table.ledger.plan(), table.ledger)
    kernel.carry_out(table.ledger.rebuild(), table.ledger)
    assert (kernel.sets, {n: m for n, (m, _) in kernel.chains.items()}) == contents(table)[:2]
    table.ledger.learn(kernel.have())
    assert not table.ledger.plan()


def test_an_endpoint_without_a_usable_interface_gets_no_address() -> None:
    """Else the store could send an address of its choice out of any interface of the host."""
    table = HostTable()
    table.learn(EndpointChanged("a", endpoint("eth0")))
    assert table.claims.addresses() == {}
    table.learn(EndpointChanged("b", endpoint("calib")))
    assert table.claims.addresses() == {"10.0.0.1": "calib"}
    table.learn(EndpointChanged("c", endpoint("calib", address="10.0.0.3")))
    assert table.claims.addresses() == {"10.0.0.1": "calib"}
    table.learn(EndpointChanged("b", None))
    assert table.claims.addresses() == {"10.0.0.3": "calib"}
    assert table.claims.take_moved() == {"10.0.0.3": None}


def test_every_prefix_of_a_list_is_guarded() -> None:
    chains = base.base_chains(Settings(interface_prefixes=("cali", "tap")))
    for name, side in (("fwd_from", "iifname"), ("fwd_to", "oifname")):
        assert chains[name][0].rules[-2:] == [f'{side} "{p}*" counter drop' for p in ("cali", "tap")]
    table = HostTable(Settings(interface_prefixes=("cali", "tap")))
    table.learn(EndpointChanged("e", endpoint("tap0")))
    assert table.problems("e") == []
    table.set_settings(Settings())
    assert table.ledger.elements(base.TO) == {}
    assert table.claims.addresses() == {}


def test_a_rule_with_a_selector_is_written_for_both_families_once_it_has_members_of_both() -> None:
    """A Deny for IPv4 alone would leave IPv6 to the Allow behind it."""
    table, kernel = HostTable(), FakeTable()
    deny = compile_rule(Rule(action="Deny", source=EntityRule(selector="has(a)")))
    but = compile_rule(Rule(action="Allow", source=EntityRule(not_selector="has(a)")))
    selector = deny.source.selector or ""
    table.learn(MembersChanged(selector, frozenset({"10.0.0.2"}), frozenset()))
    table.learn(ProfileChanged("p", RuleLists((deny, but))))
    table.learn(EndpointChanged("e", endpoint()))
    chain = chain_of("p")
    four, six = (rules.selector_set(selector, version) for version in (4, 6))
    narrow = (
        f"meta nfproto ipv4 ip saddr @{four} counter drop",
        f"meta nfproto ipv4 ip saddr != @{four} counter accept",
        "meta nfproto ipv6 counter accept",
    )
    both = (
        narrow[0],
        f"meta nfproto ipv6 ip6 saddr @{six} counter drop",
        narrow[1],
        f"meta nfproto ipv6 ip6 saddr != @{six} counter accept",
    )
    for added, removed, wanted in (((), (), narrow), (("fd00::2",), (), both), ((), ("fd00::2",), narrow)):
        if added or removed:
            table.learn(MembersChanged(selector, frozenset(added), frozenset(removed)))
        assert table.ledger.rules[chain].rules == wanted
        plan = table.ledger.plan()
        kernel.carry_out(plan, table.ledger)
        table.ledger.settled(plan)
        assert (six in kernel.sets) == (wanted is both)


def lines(action: Any, manner: rules.Manner, **of: Any) -> list[str]:
    listed = rules.Listed("policy", "NetworkPolicy/blue/web", "ingress", **of)
    rule = Rule(action=action, destination=EntityRule(), protocol="TCP")
    return rules.write_rules(RuleLists((compile_rule(rule),)), listed, (), manner).rules


def test_a_refusal_is_an_answer_only_where_the_kernel_can_give_one() -> None:
    manner = rules.Manner(refusal="reject")
    assert lines("Deny", manner) == ["meta l4proto 6 counter reject"]
    for silent in ({"silent": True}, {"hook": "preDNAT"}, {"hook": "untracked"}):
        assert lines("Deny", manner, **silent) == ["meta l4proto 6 counter drop"]
    quiet, loud = Stack("host", "egress", profiles=("p",)), Stack("workload", "egress", profiles=("p",))
    assert quiet.children()[0].chain != loud.children()[0].chain


def test_a_line_of_the_log_begins_as_told() -> None:
    for told, found in (
        ("calico-packet", "calico-packet"),
        ("%k %n %p %% %t", "NetworkPolicy web blue/web % %t"),
        ('a" accept; drop "\n', "a? accept; drop ??"),
        ("x" * 200, "x" * 120),
    ):
        assert lines("Log", rules.Manner(log=told)) == [f'meta l4proto 6 counter log prefix "{found}: " level info']


def test_what_goes_on_unanswered_is_told_of_once() -> None:
    goes_on, begins = lines("Allow", rules.Manner(flows=True))
    assert goes_on == "ct status confirmed meta l4proto 6 counter accept"
    assert begins.startswith("meta l4proto 6 counter log prefix")
