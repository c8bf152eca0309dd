"""calico-model.md 9.1: the traps about selectors, labels and policy that no other test states in so many words."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from tests.pure.policy.small import ALLOW, endpoint, gnp, into_b, made, profile, small, source

from tortie.ipam.cluster import ownership
from tortie.model.ipam import affinities_prefix, affinity_key, block_key, blocks_prefix
from tortie.model.kubernetes import network_policy
from tortie.model.selector import parse
from tortie.model.v0.profile import fresh_profile


def test_trap_6_a_fresh_profile_is_open_to_its_own_tag_and_outwards_and_one_without_rules_is_closed() -> None:
    members = [endpoint(name, address, profiles=["web"]) for name, address in (("a", "10.0.0.1"), ("b", "10.0.0.2"))]
    world = small(*members, fresh_profile("web"))
    assert world.verdict("a", "b", "tcp/80").allowed
    assert not world.verdict("c", "b", "tcp/80").allowed
    assert world.verdict("a", "c", "tcp/80").allowed
    closed = small(*members, made("Profile", "web", {"labelsToApply": {"web": ""}}))
    assert not closed.verdict("a", "b", "tcp/80").allowed
    assert not closed.verdict("a", "192.0.2.1", "tcp/80").allowed


def test_trap_16_not_equal_and_not_in_are_true_without_the_label() -> None:
    assert into_b(gnp("p", source(selector="colour != 'red'")))
    assert into_b(gnp("p", source(selector="colour not in {'red'}")))
    assert not into_b(gnp("p", source(selector="has(colour) && colour != 'red'")))


@pytest.mark.parametrize("text", ["a == 'x' ", '\ta\t==\t"x"', "a in {'x',}", "in == 'x' || a == 'x'"])
def test_trap_17_blanks_quotes_trailing_commas_and_keywords_as_labels(text: str) -> None:
    assert parse(text).matches({"a": "x"})


def test_trap_18_a_negation_binds_to_the_first_comparison_only() -> None:
    found = parse("!a == 'x' && b == 'y'")
    assert found.matches({"b": "y"})
    assert not found.matches({"a": "x", "b": "y"})
    assert not found.matches({}), "not the negation of both"
    assert found.canonical == '(!a == "x" && b == "y")'


@pytest.mark.parametrize(
    ("entity", "allowed"),
    [
        ({"namespaceSelector": "all()"}, False),
        ({"namespaceSelector": "global()"}, True),
        ({"selector": "all()"}, True),
        ({"namespaceSelector": "!global()"}, False),
    ],
)
def test_trap_19_all_in_a_namespace_selector_leaves_out_hosts_elsewhere_it_does_not(
    entity: dict[str, str], allowed: bool
) -> None:
    there = made("HostEndpoint", "h", {"node": "h1", "interfaceName": "eth0", "expectedIPs": ["10.0.9.1"]})
    assert into_b(gnp("p", source(**entity)), there, sender="10.0.9.1") is allowed


def test_trap_21_outside_addresses_have_no_labels_to_lack() -> None:
    assert not into_b(gnp("p", source(selector="!has(x)")), sender="192.0.2.1")
    assert into_b(gnp("p", source(notSelector="has(x)")), sender="192.0.2.1")


def test_trap_22_the_first_profile_beats_later_ones_and_own_labels_both() -> None:
    profiles = profile("one", labelsToApply={"k": "1"}), profile("two", labelsToApply={"k": "2", "l": "2"})
    found = endpoint("a", "10.0.0.1", profiles=["one", "two"])
    assert into_b(gnp("p", source(selector="k == '1' && l == '2'")), found, *profiles)


def test_trap_23_a_kubernetes_peer_with_a_namespace_selector_only_still_means_pods() -> None:
    peer: dict[str, Any] = {"from": [{"namespaceSelector": {}}]}
    spec = {"podSelector": {"matchLabels": {"app": "b"}}, "ingress": [peer]}
    converted = network_policy({"metadata": {"name": "p", "namespace": "ns"}, "spec": spec})
    pod, other = (endpoint("b", "10.0.0.2", orchestrator=name) for name in ("k8s", "cni"))
    assert converted.spec.ingress[0].source.namespace_selector == "all()"
    assert into_b(converted, pod, endpoint("c", "10.0.0.3", space="other", orchestrator="k8s"), sender="c")
    assert not into_b(converted, pod, sender="c"), "not of the orchestrator"
    assert into_b(converted, other, sender="c"), "nor is the policy about others than pods"
    hosts = made("HostEndpoint", "h", {"node": "h1", "interfaceName": "eth0", "expectedIPs": ["10.0.9.1"]})
    assert not into_b(converted, pod, hosts, sender="10.0.9.1")


def test_trap_26_a_prefix_of_one_node_is_not_one_of_another_that_begins_alike() -> None:
    assert not affinities_prefix("host-10", 4).startswith(affinities_prefix("host-1", 4))
    assert not blocks_prefix(4).startswith(blocks_prefix(6))


def test_trap_28_an_endpoint_without_an_address_is_nobody() -> None:
    nobody = endpoint("a", labels={"x": "y"})
    assert small(nobody).endpoints().keys() == {key for key in small().endpoints() if not key.endswith("/a")}


@pytest.mark.parametrize(
    ("deleted", "state", "owned"), [("false", "confirmed", 1), ("true", "confirmed", 0), ("false", "pending", 0)]
)
def test_traps_33_and_39_deleted_blocks_and_pending_claims_own_nothing(deleted: str, state: str, owned: int) -> None:
    cidr = ip_network("10.0.0.0/30")
    block = (
        '{"cidr":"10.0.0.0/30","affinity":"host:a","allocations":[null,null,null,null],"unallocated":[0,1,2,3],'
        f'"deleted":{deleted}}}'
    )
    claim = f'{{"state":"{state}"}}'
    assert len(ownership({block_key(cidr): block.encode(), affinity_key("a", cidr): claim.encode()}).owners) == owned


def test_trap_46_and_47_allow_is_final_and_only_the_types_isolate() -> None:
    assert into_b(gnp("p", ALLOW, tier="default"), gnp("q", {"action": "Deny"}, tier="gone"))
    world = small(gnp("p", way="Egress"))
    assert world.verdict("a", "b", "tcp/80").allowed
    assert not world.verdict("b", "a", "tcp/80").allowed
