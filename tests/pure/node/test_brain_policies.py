"""Policies reach the host's table through the brain."""

from __future__ import annotations

from typing import Any

import msgspec

from tortie.dataplane.render import base
from tortie.dataplane.render.rules import port_set
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
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


def test_an_unreadable_selector_counts_as_absent_and_is_listed() -> None:
    policy = made(GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec(selector="a = b"), "bad")
    found = brain(policy)
    assert "expected ==" in found.unreadable[policy.key]
    assert found.table.problems(ENDPOINT.key) == []
