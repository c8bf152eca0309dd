"""Policies reach the host's table through the brain: what cannot be rendered closes, and says why."""

from __future__ import annotations

from typing import Any

from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.kinds.profile import PROFILE, ProfileSpec
from tortie.model.kinds.staged_global_network_policy import (
    STAGED_GLOBAL_NETWORK_POLICY,
    StagedGlobalNetworkPolicySpec,
)
from tortie.model.kinds.tier import BUILT_IN, TIER
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.model.resource import Metadata, Resource, encode
from tortie.model.rule import EntityRule, Rule
from tortie.node.brain import Brain
from tortie.store.port import Event


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


def test_an_enforced_policy_closes_until_it_is_gone_and_a_staged_one_does_not() -> None:
    policy = made(GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec(selector="all()"), "deny")
    found = brain(policy, made(TIER, BUILT_IN["default"], "default"))
    assert found.table.problems(ENDPOINT.key) == ["policies in tiers cannot be enforced"]
    found.learn(Event(policy.key, None, 2))
    assert found.table.problems(ENDPOINT.key) == []
    staged = made(STAGED_GLOBAL_NETWORK_POLICY, StagedGlobalNetworkPolicySpec(selector="all()"), "deny")
    found.learn(Event(staged.key, encode(staged), 3))
    assert found.table.problems(ENDPOINT.key) == []


def test_a_named_port_in_a_profile_closes() -> None:
    rule = Rule(action="Allow", protocol="TCP", destination=EntityRule(ports=("http",)))
    found = brain(made(PROFILE, ProfileSpec(ingress=(rule,)), "p"))
    assert found.table.problems(ENDPOINT.key) == ["profile p: named ports cannot be enforced"]


def test_an_unreadable_selector_counts_as_absent_and_is_listed() -> None:
    policy = made(GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec(selector="a = b"), "bad")
    found = brain(policy)
    assert "expected ==" in found.unreadable[policy.key]
    assert found.table.problems(ENDPOINT.key) == []
