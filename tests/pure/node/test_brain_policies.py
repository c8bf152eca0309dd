"""Policies reach the host's table through the brain."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tortie.dataplane.render import base
from tortie.dataplane.render.rules import port_set
from tortie.model.eras import OLDEST_FIRST, Era, written
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.kinds.network_policy import NETWORK_POLICY
from tortie.model.kinds.profile import PROFILE, ProfileSpec
from tortie.model.kinds.staged_global_network_policy import (
    STAGED_GLOBAL_NETWORK_POLICY,
    StagedGlobalNetworkPolicySpec,
)
from tortie.model.kinds.tier import BUILT_IN, TIER
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, EndpointPort, WorkloadEndpointSpec
from tortie.model.resource import Metadata, Resource, encode
from tortie.model.rule import EntityRule, Rule
from tortie.node.brain import Brain
from tortie.policy.values import NamedPort
from tortie.policy.verdict import Packet
from tortie.store.port import Event

DENY = Rule(action="Deny")


def made(kind: Any, spec: Any, name: str, space: str | None = None) -> Resource[Any]:
    return Resource(kind=kind, metadata=Metadata(name=name, namespace=space), spec=spec)


ENDPOINT = made(
    WORKLOAD_ENDPOINT,
    WorkloadEndpointSpec(
        node="h1", orchestrator="cni", interface_name="cali1", profiles=("p",), ip_networks=("10.0.0.1/32",)
    ),
    "e",
    "ns",
)
OPEN = made(PROFILE, ProfileSpec(ingress=(Rule(action="Allow"),), egress=(Rule(action="Allow"),)), "p")


def brain(*resources: Resource[Any]) -> Brain:
    found = Brain("h1", "10.9.0.1/24")
    found.replace([Event(r.key, encode(r), 1) for r in (ENDPOINT, OPEN, *resources)])
    return found


def ways_in(found: Brain) -> tuple[str, ...]:
    """The rules that a packet to the endpoint meets, chain by chain."""
    rules = found.table.ledger.rules
    (verdict,) = found.table.ledger.elements(base.TO).values()
    chains, met = [verdict.removeprefix("goto ")], list[str]()
    while chains:
        written = rules[chains.pop(0)].rules
        met += written
        chains += [rule.removeprefix("jump ") for rule in written if rule.startswith("jump ")]
    return tuple(met)


def test_a_policy_stands_before_the_profiles_until_it_is_gone_and_a_staged_one_only_counts() -> None:
    policy = made(GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec(selector="all()", ingress=(DENY,)), "deny")
    found = brain(policy, made(TIER, BUILT_IN["default"], "default"))
    assert found.table.problems(ENDPOINT.key) == []
    met = ways_in(found)
    assert met.index("counter drop") < met.index("counter accept")
    found.learn(Event(policy.key, None, 2))
    assert ways_in(found) == ("ct state invalid counter drop", met[2], "counter drop", "counter accept")
    staged = made(STAGED_GLOBAL_NETWORK_POLICY, StagedGlobalNetworkPolicySpec(selector="all()", ingress=(DENY,)), "x")
    found.learn(Event(staged.key, encode(staged), 3))
    assert "counter return" in ways_in(found)
    assert ways_in(found).count("counter drop") == 1


def test_a_named_port_is_looked_up_among_the_ports_of_that_name() -> None:
    rule = Rule(action="Allow", protocol="TCP", destination=EntityRule(ports=("http",)))
    found = brain(made(PROFILE, ProfileSpec(ingress=(rule,)), "p"))
    assert found.table.problems(ENDPOINT.key) == []
    name = port_set(NamedPort("http", 6), 4)
    (line,) = [rule for rule in ways_in(found) if "@" in rule]
    assert line == f"meta nfproto ipv4 meta l4proto 6 ip daddr . meta l4proto . th dport @{name} counter accept"
    spec = msgspec.structs.replace(ENDPOINT.spec, ports=(EndpointPort(name="http", protocol="TCP", port=8080),))
    found.learn(Event(ENDPOINT.key, encode(made(WORKLOAD_ENDPOINT, spec, "e", "ns")), 2))
    assert dict(found.table.ledger.elements(name)) == {"10.0.0.1 . 6 . 8080": ""}


def closed(found: Brain, key: str = ENDPOINT.key) -> list[str]:
    """Why the endpoint's lists close it, before anything is rendered."""
    resolved = found.engine.local()[key]
    rules = [found.engine.rules_of_policy(name) for name in resolved.policies()]
    return [problem for listed in rules if listed is not None for problem in listed.problems]


def test_an_unreadable_selector_closes_whom_the_policy_may_be_about() -> None:
    policy = made(GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec(selector="a = b"), "bad")
    found = brain(policy)
    assert "expected ==" in found.unreadable[policy.key]
    (problem,) = closed(found)
    assert problem.startswith("GlobalNetworkPolicy/bad cannot be read: ")
    assert found.table.problems(ENDPOINT.key) != []
    found.learn(
        Event(policy.key, encode(made(GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec(selector="!all()"), "bad")), 2)
    )
    assert (closed(found), found.unreadable, found.engine.local()[ENDPOINT.key].policies()) == ([], {}, frozenset())


def value(spec: object) -> bytes:
    return msgspec.json.encode({"metadata": {"name": "bad"}, "spec": spec})


@pytest.mark.parametrize(
    ("kind", "key", "text", "closes"),
    [
        # 3.3: an action of a later release is no action that this program knows.
        (GLOBAL_NETWORK_POLICY, "bad", value({"selector": "all()", "ingress": [{"action": "Audit"}]}), True),
        (GLOBAL_NETWORK_POLICY, "bad", value({"selector": "has(x)", "ingress": [{"action": "Audit"}]}), False),
        (GLOBAL_NETWORK_POLICY, "bad", value({"selector": 7}), True),
        (GLOBAL_NETWORK_POLICY, "bad", b"{", True),
        (GLOBAL_NETWORK_POLICY, "bad", b"[]", True),
        (NETWORK_POLICY, "ns/bad", b"{", True),
        (NETWORK_POLICY, "other/bad", b"{", False),
        (NETWORK_POLICY, "ns/bad", value({"selector": "x ==", "tier": "security"}), True),
        (NETWORK_POLICY, "ns/bad", value({"selector": "has(x)", "types": ["Sideways"]}), False),
        (STAGED_GLOBAL_NETWORK_POLICY, "bad", b"{", False),
    ],
)
def test_a_policy_that_cannot_be_read_closes_no_more_than_it_can_be_about(
    kind: Any, key: str, text: bytes, closes: bool
) -> None:
    found = brain()
    found.learn(Event(kind.prefix + key, text, 2))
    assert list(found.unreadable) == [kind.prefix + key]
    assert bool(closed(found)) == closes
    found.learn(Event(kind.prefix + key, None, 3))
    assert (closed(found), found.unreadable) == ([], {})
    assert found.engine.local() == brain().engine.local()


@pytest.mark.parametrize("era", OLDEST_FIRST)
def test_5_3_policies_of_every_era_are_enforced_once(era: Era) -> None:
    policy = made(GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec(tier="default", selector="all()"), "db")
    old, new = written(policy, era), written(policy, "plain")
    found = brain(old, new)
    assert found.engine.local()[ENDPOINT.key].policies() == {"GlobalNetworkPolicy/db"}
    found.learn(Event(new.key, None, 2))
    assert bool(found.engine.local()[ENDPOINT.key].policies()) == (era != "plain")
    found.learn(Event(old.key, None, 3))
    assert found.engine.local()[ENDPOINT.key].policies() == frozenset()


def test_5_3_of_two_eras_the_newest_counts_whichever_came_first() -> None:
    old = written(
        made(GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec(tier="default", selector="!all()"), "db"), "prefixed"
    )
    new = written(made(GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec(tier="default", selector="all()"), "db"))
    for order in ((old, new), (new, old)):
        found = brain(*order)
        assert found.engine.local()[ENDPOINT.key].policies() == {"GlobalNetworkPolicy/db"}
        found.learn(Event(new.key, None, 2))
        assert found.engine.local()[ENDPOINT.key].policies() == frozenset()


def test_3_2_the_profile_that_allows_everything_is_in_force_without_being_stored() -> None:
    name = "projectcalico-default-allow"
    spec = msgspec.structs.replace(ENDPOINT.spec, profiles=(name,))
    open_one = made(WORKLOAD_ENDPOINT, spec, "e", "ns")
    found = brain(open_one)
    assert (found.table.notes(ENDPOINT.key), found.table.problems(ENDPOINT.key)) == ([], [])
    packet = Packet("10.9.9.9", "10.0.0.1", 6, 1, 80)
    assert found.engine.evaluator().ingress(found.engine.local()[ENDPOINT.key], packet).allowed
    # What somebody writes under its name changes nothing.
    found.learn(Event(PROFILE.key(name), encode(made(PROFILE, ProfileSpec(), name)), 2))
    found.learn(Event(PROFILE.key(name), None, 3))
    assert found.engine.evaluator().ingress(found.engine.local()[ENDPOINT.key], packet).allowed
