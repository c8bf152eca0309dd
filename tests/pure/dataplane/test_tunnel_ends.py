"""What a rule says about a host's address holds for the ends of its tunnels: sets that come and go with the hosts."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.fake_table import FakeTable

from tortie.dataplane.render.rules import Listed, ends_of, selector_set
from tortie.dataplane.render.table import HostTable
from tortie.model.rule import EntityRule, Rule
from tortie.policy.compile import compile_rule
from tortie.policy.nets import within
from tortie.policy.values import EndpointChanged, ProfileChanged, Resolved, RuleLists

HOSTS = ["10.9.0.1", "10.9.0.2", "10.9.1.1"]
NETS = [
    ("10.9.0.1/32",),
    ("10.9.0.0/24",),
    ("10.9.0.2/32", "10.9.1.0/24"),
    ("10.0.0.0/8",),
    ("172.16.0.0/12",),
    ("fd00::/8",),
]
CHAIN = {name: Listed("profile", name, "ingress").chain for name in "pqr"}


def rules(nets: tuple[str, ...], *, without: bool = False) -> RuleLists:
    source = EntityRule(not_nets=nets) if without else EntityRule(nets=nets)
    return RuleLists((compile_rule(Rule(action="Allow", source=source)),), ())


def settle(table: HostTable, kernel: FakeTable) -> None:
    plan = table.ledger.plan()
    kernel.carry_out(plan, table.ledger)
    table.ledger.settled(plan)


STEPS = st.one_of(
    st.tuples(
        st.just("hosts"), st.dictionaries(st.sampled_from(HOSTS), st.sampled_from(["192.168.0.1", "192.168.9.9"]))
    ),
    st.tuples(st.sampled_from("pqr"), st.none() | st.tuples(st.sampled_from(NETS), st.booleans())),
)


@given(st.lists(STEPS, max_size=12))
def test_sets_are_there_while_a_host_with_a_tunnel_is_in_networks_that_are_asked_for(
    steps: list[tuple[str, object]],
) -> None:
    table, kernel = HostTable(), FakeTable()
    for name in "pqr":
        table.learn(EndpointChanged(name, Resolved(f"cali{name}", (f"10.65.0.{ord(name)}",), (name,))))
    hosts: dict[str, str] = {}
    asked: dict[str, tuple[str, ...]] = {}
    for what, value in steps:
        if what == "hosts":
            assert isinstance(value, dict)
            hosts = value
            table.set_tunnel_ends({host: frozenset({end}) for host, end in hosts.items()})
        else:
            asked.pop(what, None)
            if isinstance(value, tuple):
                asked[what] = value[0]
            table.learn(ProfileChanged(what, rules(value[0], without=value[1]) if isinstance(value, tuple) else None))
        settle(table, kernel)
        wanted = {nets: {end for host, end in hosts.items() if within(host, nets)} for nets in asked.values()}
        found = {selector_set(ends_of(nets), 4): ends for nets, ends in wanted.items() if ends}
        live = {name: set(elements) for name, elements in kernel.elements.items() if name in {*found, *_ends_sets()}}
        assert live == found
        for name, nets in asked.items():
            assert (selector_set(ends_of(nets), 4) in kernel.chains[CHAIN[name]][1]) == bool(wanted[nets])


def _ends_sets() -> set[str]:
    return {selector_set(ends_of(nets), version) for nets in NETS for version in (4, 6)}


@pytest.mark.parametrize("without", [False, True])
def test_a_rule_asks_the_ends_beside_its_networks_or_leaves_both_out(without: bool) -> None:
    table = HostTable()
    table.learn(EndpointChanged("e", Resolved("calia", ("10.65.0.1",), ("p",))))
    table.learn(ProfileChanged("p", rules(("10.9.0.1/32",), without=without)))
    alone = table.ledger.rules[CHAIN["p"]].rules
    table.set_tunnel_ends({"10.9.0.1": frozenset({"192.168.0.1"})})
    ends, both = f"@{selector_set(ends_of(('10.9.0.1/32',)), 4)}", table.ledger.rules[CHAIN["p"]].rules
    if without:
        assert len(both) == len(alone)
        assert f"ip saddr != 10.9.0.1/32 ip saddr != {ends}" in both[0]
    else:
        assert both[: len(alone)] == alone
        assert both[len(alone) :] == tuple(line.replace("10.9.0.1/32", ends) for line in alone)
    table.set_tunnel_ends({})
    assert table.ledger.rules[CHAIN["p"]].rules == alone


def test_a_destination_is_a_host_by_its_own_address_only() -> None:
    table = HostTable()
    rule = compile_rule(Rule(action="Allow", destination=EntityRule(nets=("10.9.0.1/32",))))
    table.learn(EndpointChanged("e", Resolved("calia", ("10.65.0.1",), ("p",))))
    table.learn(ProfileChanged("p", RuleLists((), (rule,))))
    before = dict(table.ledger.rules)
    table.set_tunnel_ends({"10.9.0.1": frozenset({"192.168.0.1"})})
    assert table.ledger.rules == before


def test_a_host_more_is_one_element_and_no_rule() -> None:
    table, kernel = HostTable(), FakeTable()
    table.learn(EndpointChanged("e", Resolved("calia", ("10.65.0.1",), ("p",))))
    table.learn(ProfileChanged("p", rules(("10.9.0.0/16",))))
    ends = {f"10.9.0.{n}": frozenset({f"192.168.0.{n}"}) for n in range(1, 50)}
    table.set_tunnel_ends(ends)
    settle(table, kernel)
    for host, address in random.Random(1).sample(sorted(ends.items()), 3):
        table.set_tunnel_ends({other: end for other, end in ends.items() if other != host})
        plan = table.ledger.plan()
        assert (len(plan.prepare), len(plan.commit)) == (0, 1), address
        table.set_tunnel_ends(ends)
        assert not table.ledger.plan()
