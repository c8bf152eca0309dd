"""Networks in sets, one for each length of prefix: what is in them is what was told."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from tortie.dataplane.ledger import Ledger
from tortie.dataplane.render.language import mask
from tortie.dataplane.render.live import LiveSets
from tortie.dataplane.render.rules import Listed, Manner, selector_nets, write_rules
from tortie.model.rule import EntityRule, Rule
from tortie.policy.compile import compile_rule
from tortie.policy.values import MembersChanged, NetsChanged, RuleLists, SelectorGone

SELECTOR = "has(a)"
FOURS = st.builds(
    lambda length, place: str(ip_network((place << 24, length), strict=False)), st.integers(0, 31), st.integers(0, 7)
)
SIXES = st.builds(
    lambda length, place: str(ip_network((place << 120, length), strict=False)), st.integers(0, 127), st.integers(0, 7)
)


def networks(live: LiveSets, ledger: Ledger) -> set[str]:
    """As the kernel would find them."""
    found = set()
    for (selector, version), lengths in live.wide.items():
        for length in lengths:
            found |= {f"{first}/{length}" for first in ledger.elements(selector_nets(selector, version, length))}
    return found


@given(st.lists(st.tuples(st.booleans(), st.sets(FOURS | SIXES, max_size=6)), max_size=12))
def test_what_is_told_is_what_is_looked_up(steps: list[tuple[bool, set[str]]]) -> None:
    ledger, held = Ledger(), set[str]()
    live = LiveSets(ledger)
    for put, nets in steps:
        added, removed = (nets - held, set[str]()) if put else (set[str](), nets & held)
        held = (held | added) - removed
        before = dict(live.wide)
        came = live.learn_nets(NetsChanged(SELECTOR, frozenset(added), frozenset(removed)))
        assert came == (live.wide != before)
        assert networks(live, ledger) == held
        assert len(ledger.defs) == sum(map(len, live.wide.values()))
    live.forget(SELECTOR)
    assert not live.wide
    assert not ledger.defs


def test_a_set_of_networks_is_there_while_it_has_some() -> None:
    ledger = Ledger()
    live = LiveSets(ledger)
    eight, six = selector_nets(SELECTOR, 4, 8), selector_nets(SELECTOR, 6, 8)
    assert live.learn_nets(NetsChanged(SELECTOR, frozenset({"10.0.0.0/8", "fd00::/8"}), frozenset()))
    assert ledger.defs.keys() == {eight, six}
    assert not live.learn_nets(NetsChanged(SELECTOR, frozenset({"11.0.0.0/8"}), frozenset({"10.0.0.0/8"})))
    assert live.learn_nets(NetsChanged(SELECTOR, frozenset({"10.1.0.0/16"}), frozenset()))
    assert live.wide == {(SELECTOR, 4): (8, 16), (SELECTOR, 6): (8,)}
    assert live.learn_nets(NetsChanged(SELECTOR, frozenset(), frozenset({"fd00::/8"})))
    assert six not in ledger.defs


def test_a_rule_asks_each_length_that_is_there_and_no_other() -> None:
    ledger = Ledger()
    live = LiveSets(ledger)
    rule = compile_rule(Rule(action="Allow", source=EntityRule(selector=SELECTOR)))
    refused = compile_rule(Rule(action="Deny", source=EntityRule(not_selector=SELECTOR)))
    selector = rule.source.selector or ""
    live.learn_members(MembersChanged(selector, frozenset({"10.0.0.1"}), frozenset()))
    live.learn_nets(NetsChanged(selector, frozenset({"10.1.0.0/16", "0.0.0.0/0", "fd00::/64"}), frozenset()))
    lists, listed = RuleLists((rule, refused)), Listed("profile", "p", "ingress")
    written = write_rules(lists, listed, ledger.defs.keys(), Manner(), live.wide)
    every, sixteen, six = (selector_nets(selector, *place) for place in ((4, 0), (4, 16), (6, 64)))
    (own,) = ledger.defs.keys() - {every, sixteen, six}
    assert written.rules == [
        f"meta nfproto ipv4 ip saddr @{own} counter accept",
        f"meta nfproto ipv4 ip saddr & 0.0.0.0 @{every} counter accept",
        f"meta nfproto ipv4 ip saddr & 255.255.0.0 @{sixteen} counter accept",
        f"meta nfproto ipv6 ip6 saddr & ffff:ffff:ffff:ffff:: @{six} counter accept",
        f"meta nfproto ipv4 ip saddr != @{own} ip saddr & 0.0.0.0 != @{every} ip saddr & 255.255.0.0 != @{sixteen}"
        " counter drop",
        f"meta nfproto ipv6 ip6 saddr & ffff:ffff:ffff:ffff:: != @{six} counter drop",
    ]
    assert written.uses == {own, every, sixteen, six}
    live.forget(SelectorGone(selector).selector)
    assert not ledger.defs


@given(st.integers(0, 32), st.integers(0, 128))
def test_a_mask_is_what_a_prefix_looks_at(four: int, six: int) -> None:
    assert ip_address(mask(4, four)) == ip_network(f"0.0.0.0/{four}").netmask
    assert ip_address(mask(6, six)) == ip_network(f"::/{six}").netmask
