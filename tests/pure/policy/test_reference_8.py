"""calico-model.md chapter 8: what the policy says of a flow. Each test names its section."""

from __future__ import annotations

from typing import Any

import pytest
from tests.pure.policy.small import (
    ALLOW,
    DENY,
    PASS,
    endpoint,
    gnp,
    host,
    into_b,
    made,
    np,
    packet,
    profile,
    sgnp,
    small,
    source,
    target,
    tier,
)  # fmt: skip

from tortie.model.resource import Resource
from tortie.policy import Packet

LOG: dict[str, Any] = {"action": "Log"}


def order_of(*resources: Resource[Any]) -> list[str]:
    """Tiers and policies that b meets on ingress, as they are walked."""
    world = small(*resources)
    found = next(value for key, value in world.endpoints().items() if key.endswith("/b"))
    return [f"{t.name}:{','.join(p.id.rpartition('/')[2] for p in t.policies)}" for t in found.ingress_tiers]


def test_8_1_1_tiers_by_order_then_name_an_absent_order_last_a_missing_tier_behind_all() -> None:
    names = ("lost", "none", "b2", "a2", "one")
    tiers = (tier("one", 1), tier("b2", 2), tier("a2", 2), tier("none"))
    policies = [gnp(f"p-{name}", PASS, tier=name) for name in names]
    assert order_of(*tiers, *policies) == ["one:p-one", "a2:p-a2", "b2:p-b2", "none:p-none", "lost:p-lost"]


def test_8_1_1_a_missing_tier_is_applied_and_ends_with_a_deny() -> None:
    assert into_b(gnp("p", ALLOW, tier="lost"))
    assert not into_b(gnp("p", tier="lost"))
    assert into_b(gnp("p", PASS, tier="lost"))


def test_8_1_2_by_order_as_a_number_absent_last_ties_by_name_then_namespace_then_kind() -> None:
    found = order_of(
        gnp("z", PASS, order=-0.5), gnp("y", PASS, order=0), gnp("x", PASS, order=2.25), gnp("w", PASS, order=10),
        gnp("b", PASS), np("a", PASS), gnp("a", PASS), sgnp("a", PASS),
    )  # fmt: skip
    assert found == ["default:z,y,x,w,a,a,a,b"]
    world = small(np("a", PASS), gnp("a", PASS), sgnp("a", PASS))
    kinds = [p.id for p in next(v for k, v in world.endpoints().items() if k.endswith("/b")).ingress_tiers[0].policies]
    # `a//GlobalNetworkPolicy` and `a//Staged...` stand before `a/ns/NetworkPolicy`.
    assert kinds == ["GlobalNetworkPolicy/a", "StagedGlobalNetworkPolicy/a", "NetworkPolicy/ns/a"]


def test_8_1_2_no_stored_types_are_both() -> None:
    closed = made("GlobalNetworkPolicy", "p", {"selector": "app == 'b'"})
    world = small(closed)
    assert not world.verdict("a", "b", "tcp/80").allowed
    assert not world.verdict("b", "a", "tcp/80").allowed


@pytest.mark.parametrize(("types", "into", "out_of"), [(["Ingress"], False, True), (["Egress"], True, False)])
def test_8_1_only_the_directions_in_types_are_isolated(types: list[str], into: bool, out_of: bool) -> None:
    world = small(made("GlobalNetworkPolicy", "p", {"selector": "app == 'b'", "types": types}))
    assert world.verdict("a", "b", "tcp/80").allowed is into
    assert world.verdict("b", "a", "tcp/80").allowed is out_of


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        ([ALLOW, DENY], True),
        ([DENY, ALLOW], False),
        ([LOG, ALLOW], True),
        ([LOG], False),
        ([source(selector="app == 'x'"), DENY], False),
        ([source("Deny", selector="app == 'x'"), ALLOW], True),
        ([], False),
    ],
)
def test_8_1_3_rules_from_top_to_bottom_log_goes_on_nothing_matched_is_the_end_of_the_tier(
    rules: list[dict[str, Any]], allowed: bool
) -> None:
    assert into_b(gnp("p", *rules)) is allowed


def test_8_1_3_nothing_matched_goes_to_the_next_policy_pass_to_the_next_tier() -> None:
    nobody = source(selector="app == 'x'")
    assert into_b(gnp("a", nobody), gnp("b", ALLOW))
    assert not into_b(gnp("a", PASS), gnp("b", ALLOW), profile("open"))
    one = tier("one", 1)
    assert into_b(one, gnp("a", PASS, tier="one"), gnp("b", DENY, tier="one"), gnp("c", ALLOW))


def test_8_1_3_allow_is_final() -> None:
    assert into_b(tier("one", 1), gnp("a", ALLOW, tier="one"), gnp("b", DENY), profile("open", DENY))


def test_8_1_3_deny_is_final() -> None:
    assert not into_b(tier("one", 1), gnp("a", DENY, tier="one"), gnp("b", ALLOW))


def test_8_1_4_the_end_of_a_tier_drops_unless_it_passes_or_every_matching_policy_is_staged() -> None:
    nobody = source(selector="app == 'x'")
    assert not into_b(gnp("p", nobody))
    assert into_b(tier("one", 1, "Pass"), gnp("p", nobody, tier="one"))
    assert into_b(sgnp("p", nobody))
    assert not into_b(sgnp("p", nobody), gnp("q", nobody))
    assert into_b(gnp("p", DENY, selector="app == 'a'"), sgnp("q", DENY)), "another endpoint's policy does not count"


def test_8_1_5_profiles_in_the_endpoints_order() -> None:
    two = endpoint("b", "10.0.0.2", profiles=["one", "two"])
    assert into_b(two, profile("one", ALLOW), profile("two", DENY))
    assert not into_b(two, profile("one", DENY), profile("two", ALLOW))
    assert into_b(two, profile("one"), profile("two", ALLOW))
    assert into_b(two, profile("one", PASS, DENY), profile("two", ALLOW)), "Pass ends that profile only"
    assert not into_b(two, profile("one", PASS), profile("two", PASS)), "nothing matched: drop"


def test_8_1_5_without_a_profile_or_with_one_that_does_not_exist_it_drops() -> None:
    assert not into_b(endpoint("b", "10.0.0.2", profiles=[]))
    assert not into_b(endpoint("b", "10.0.0.2", profiles=["gone"]))
    assert not into_b(endpoint("b", "10.0.0.2", profiles=["gone", "open"])), "an absent profile closes"


def test_8_1_profiles_are_never_reached_behind_a_tier_that_denies_unless_a_pass_is_hit() -> None:
    assert not into_b(gnp("p", source(selector="app == 'x'")), profile("open", ALLOW))
    assert into_b(gnp("p", PASS), profile("open", ALLOW))
    assert not into_b(gnp("p", PASS), profile("open"))


def test_8_1_both_ends_are_enforced_also_on_one_host_and_strangers_get_one_side() -> None:
    closed = gnp("p", way="Egress", selector="app == 'a'")
    talk = small(closed).verdict("a", "b", "tcp/80")
    assert talk.leaves is not None
    assert talk.enters is not None
    assert (talk.allowed, talk.leaves.allowed, talk.enters.allowed) == (False, False, True)
    inwards, outwards = small(closed).verdict("192.0.2.1", "b", "tcp/80"), small().verdict("b", "192.0.2.1", "tcp/80")
    assert (inwards.leaves, outwards.enters) == (None, None)


@pytest.mark.parametrize(
    ("port", "protocol"),
    [(4789, 17), (0, 4)],
)
def test_8_2_tunnelled_packets_of_a_workload_are_dropped_before_its_policy(port: int, protocol: int) -> None:
    world = small()
    found = next(value for key, value in world.endpoints().items() if key.endswith("/a"))
    asked = Packet("10.0.0.1", "10.0.0.2", protocol, 40000, port)
    assert world.engine.evaluator().egress(found, asked).by == "encapsulated packets from workloads"
    assert world.engine.evaluator().ingress(found, asked).allowed, "only on the way out"


def test_8_2_a_source_that_is_not_the_endpoints_own_is_dropped() -> None:
    world = small()
    found = next(value for key, value in world.endpoints().items() if key.endswith("/a"))
    asked = Packet("10.0.0.9", "10.0.0.2", 6, 40000, 80)
    assert world.engine.evaluator().egress(found, asked).by == "10.0.0.9 is not an address of calia"


@pytest.mark.parametrize(
    ("action", "services", "port", "protocol", "allowed"),
    [
        ("Drop", False, 80, 6, False),
        ("Return", False, 80, 6, True),
        ("Accept", False, 80, 6, True),
        ("Drop", True, 53, 17, True),
        ("Drop", True, 53, 6, False),
        ("Drop", False, 53, 17, False),
    ],
)
def test_8_2_a_workload_and_its_own_host(action: Any, services: bool, port: int, protocol: int, allowed: bool) -> None:
    world = small()
    found = next(value for key, value in world.endpoints().items() if key.endswith("/a"))
    asked = packet(port, protocol)
    said = world.engine.evaluator().to_host(found, asked, action=action, host_services=services)
    assert said.allowed is allowed


def test_8_2_the_workloads_egress_policy_comes_before_the_action_to_the_host() -> None:
    world = small(gnp("p", way="Egress", selector="app == 'a'"))
    found = next(value for key, value in world.endpoints().items() if key.endswith("/a"))
    said = world.engine.evaluator().to_host(found, packet(), action="Accept", host_services=True)
    assert (said.allowed, said.by) == (False, "the end of tier default")


def test_8_2_fields_are_anded_and_the_values_of_a_list_ored() -> None:
    both = {"action": "Allow", "protocol": "TCP", "source": {"selector": "app == 'a'", "nets": ["10.0.0.0/24"]},
            "destination": {"ports": [80, "90:99"]}}  # fmt: skip
    assert into_b(gnp("p", both))
    assert into_b(gnp("p", both), service="tcp/95")
    assert not into_b(gnp("p", both), service="tcp/81")
    assert not into_b(gnp("p", both), service="udp/80")
    assert not into_b(gnp("p", both), sender="c")
    assert not into_b(gnp("p", both), sender="10.0.0.9"), "in the network, but nobody's"


@pytest.mark.parametrize(
    ("rule", "four", "six"),
    [
        ({}, True, True),
        ({"ipVersion": 4}, True, False),
        ({"ipVersion": 6}, False, True),
        ({"source": {"nets": ["10.0.0.0/8"]}}, True, False),
        ({"source": {"nets": ["fd00::/8"]}}, False, True),
        ({"source": {"nets": ["10.0.0.0/8", "fd00::/8"]}}, True, True),
        ({"source": {"notNets": ["192.0.2.0/24"]}}, True, False),
        ({"source": {"notNets": ["2001:db8::/32"]}}, False, True),
        ({"source": {"notNets": ["10.0.0.0/8", "2001:db8::/32"]}}, False, True),
        ({"source": {"nets": ["10.0.0.0/8"]}, "destination": {"notNets": ["fd00:1::/64"]}}, False, False),
        ({"source": {"nets": ["10.0.0.0/8", "fd00::/8"]}, "destination": {"nets": ["10.0.0.0/8"]}}, True, False),
        ({"ipVersion": 6, "source": {"notNets": ["192.0.2.0/24"]}}, False, False),
    ],
)
def test_8_2_a_rule_is_not_for_a_family_that_empties_one_of_its_fields(
    rule: dict[str, Any], four: bool, six: bool
) -> None:
    world = small(gnp("p", {"action": "Allow", **rule}))
    found = next(value for key, value in world.endpoints().items() if key.endswith("/b"))
    asked = [Packet(f"{net}1", f"{net}2", 6, 40000, 80) for net in ("10.0.0.", "fd00::")]
    assert [world.engine.evaluator().ingress(found, one).allowed for one in asked] == [four, six]


@pytest.mark.parametrize(
    ("icmp", "not_icmp", "allowed"),
    [
        ({"type": 8, "code": 0}, None, True),
        ({"type": 8}, None, True),
        ({"type": 8, "code": 1}, None, False),
        ({"type": 0}, None, False),
        (None, {"type": 8, "code": 0}, False),
        (None, {"type": 8}, False),
        (None, {"type": 8, "code": 1}, True),
        (None, {"type": 3, "code": 0}, True),
    ],
)
def test_8_2_a_negated_icmp_type_and_code_excludes_only_what_has_both(icmp: Any, not_icmp: Any, allowed: bool) -> None:
    rule = {"action": "Allow", "protocol": "ICMP", "icmp": icmp, "notICMP": not_icmp}
    assert into_b(gnp("p", rule), service="icmp") is allowed


def test_8_2_any_number_of_ports() -> None:
    rule = target("TCP", ports=[*range(1, 79, 2), 80])
    assert [into_b(gnp("p", rule), service=f"tcp/{port}") for port in (77, 78, 79, 80)] == [True, False, False, True]


def test_8_2_a_selector_knows_endpoints_and_sets_only_a_not_selector_excludes_only_them() -> None:
    assert not into_b(gnp("p", source(selector="!has(colour)")), sender="192.0.2.1")
    assert into_b(gnp("p", source(notSelector="has(colour)")), sender="192.0.2.1")
    known = made("GlobalNetworkSet", "s", {"nets": ["192.0.2.0/24"]}, labels={"colour": "red"})
    assert into_b(known, gnp("p", source(selector="colour == 'red'")), sender="192.0.2.1")
    assert not into_b(known, gnp("p", source(notSelector="has(colour)")), sender="192.0.2.1")


def test_8_2_named_ports_are_those_of_matching_endpoints_and_network_sets_have_none() -> None:
    web = [{"name": "web", "protocol": "TCP", "port": 8080}]
    rule = target("TCP", ports=["web"])
    assert into_b(endpoint("b", "10.0.0.2", ports=web), gnp("p", rule), service="tcp/8080")
    assert not into_b(endpoint("b", "10.0.0.2", ports=web), gnp("p", rule), service="tcp/80")
    assert not into_b(endpoint("b", "10.0.0.2", ports=web), gnp("p", target("UDP", ports=["web"])), service="udp/8080")
    assert not into_b(endpoint("a", "10.0.0.1", ports=web), gnp("p", rule), service="tcp/8080"), "another's name"
    excluded = target("TCP", notPorts=["web"])
    assert not into_b(endpoint("b", "10.0.0.2", ports=web), gnp("p", excluded), service="tcp/8080")
    assert into_b(endpoint("b", "10.0.0.2", ports=web), gnp("p", excluded), service="tcp/80")


def test_8_2_a_host_endpoint_known_by_its_interface_only_has_no_address_for_selectors() -> None:
    rule = gnp("p", source(selector="side == 'host'"))
    with_address = {"node": "h1", "interfaceName": "eth0", "expectedIPs": ["10.0.9.1"]}
    named = made("HostEndpoint", "h", with_address, labels={"side": "host"})
    assert into_b(rule, named, sender="10.0.9.1")
    unnamed = made("HostEndpoint", "h", {"node": "h1", "interfaceName": "eth0"}, labels={"side": "host"})
    assert not into_b(rule, unnamed, sender="10.0.9.1")


def test_8_2_an_http_match_is_not_enforced_here_and_closes() -> None:
    assert not into_b(gnp("p", {"action": "Allow", "http": {"methods": ["GET"]}}, ALLOW))


def test_8_3_labels_change_live_inherited_ones_too() -> None:
    world = small(gnp("p", source(selector="team == 'red'")))

    def allowed() -> bool:
        return world.verdict("a", "b", "tcp/80").allowed

    assert not allowed()
    world.put(endpoint("a", "10.0.0.1", labels={"team": "red"}))
    assert allowed()
    world.put(endpoint("a", "10.0.0.1"))
    assert not allowed()
    world.put(profile("open", ALLOW, labelsToApply={"team": "red"}))
    assert allowed()
    world.put(endpoint("a", "10.0.0.1", labels={"team": "blue"}))
    assert not allowed(), "the endpoint's own label wins"


def test_8_3_a_label_moves_an_endpoint_in_and_out_of_a_policy() -> None:
    world = small(gnp("p", DENY, selector="quarantine == 'yes'"))
    assert world.verdict("a", "b", "tcp/80").allowed
    world.put(endpoint("b", "10.0.0.2", labels={"quarantine": "yes"}))
    assert not world.verdict("a", "b", "tcp/80").allowed
    world.put(endpoint("b", "10.0.0.2"))
    assert world.verdict("a", "b", "tcp/80").allowed


@pytest.mark.parametrize("rule", [ALLOW, DENY, PASS, {"action": "Allow", "http": {"methods": ["GET"]}}])
def test_8_4_a_staged_policy_is_never_enforced_whatever_it_holds(rule: dict[str, Any]) -> None:
    assert into_b(sgnp("s", rule, order=1))
    assert not into_b(sgnp("s", rule, order=1), gnp("p", DENY, order=2))
    assert into_b(sgnp("s", rule, order=1), gnp("p", ALLOW, order=2))


HOST_CASES = {
    # (policy for the direction, what host traffic and forwarded traffic get)
    "nothing: host traffic closed, forwarded open": ([], False, True),
    "normal": ([gnp("p", ALLOW)], True, True),
    "normal that denies does not meet forwarded": ([gnp("p", DENY)], False, True),
    "applyOnForward allows": ([gnp("p", ALLOW, applyOnForward=True)], True, True),
    "applyOnForward denies": ([gnp("p", DENY, applyOnForward=True)], False, False),
    "applyOnForward that matches nothing: default deny": ([gnp("p", applyOnForward=True)], False, False),
    "untracked allows both": ([gnp("p", ALLOW, doNotTrack=True, applyOnForward=True)], True, True),
    "untracked denies both": ([gnp("p", DENY, doNotTrack=True, applyOnForward=True)], False, False),
    "untracked without a match has no end": (
        [gnp("p", doNotTrack=True, applyOnForward=True), gnp("q", ALLOW)], True, True),
    "preDNAT allows both": ([gnp("p", ALLOW, preDNAT=True, applyOnForward=True)], True, True),
    "preDNAT denies both": ([gnp("p", DENY, preDNAT=True, applyOnForward=True)], False, False),
    "what untracked allows, preDNAT does not see": (
        [gnp("p", ALLOW, doNotTrack=True, applyOnForward=True), gnp("q", DENY, preDNAT=True, applyOnForward=True)],
        True, True),
    "what preDNAT allows, normal does not see": (
        [gnp("p", ALLOW, preDNAT=True, applyOnForward=True), gnp("q", DENY, applyOnForward=True)], True, True),
}  # fmt: skip


@pytest.mark.parametrize("title", HOST_CASES)
def test_8_5_into_a_host_and_through_it(title: str) -> None:
    policies, mine, passing = HOST_CASES[title]
    world, found = host(*policies)
    evaluator = world.engine.evaluator()
    assert evaluator.host_traffic(found, "ingress", packet()).allowed is mine
    assert evaluator.forwarded(found, "ingress", packet()).allowed is passing


def test_8_5_out_of_a_host_pre_dnat_is_for_ingress_only() -> None:
    world, found = host(gnp("p", DENY, preDNAT=True, applyOnForward=True, types=["Ingress", "Egress"], egress=[DENY]),
                        gnp("q", ALLOW, way="Egress"))  # fmt: skip
    evaluator = world.engine.evaluator()
    assert evaluator.host_traffic(found, "egress", packet()).allowed
    assert evaluator.forwarded(found, "egress", packet()).allowed


def test_8_5_forward_policy_of_one_direction_leaves_the_other_open() -> None:
    world, found = host(gnp("p", applyOnForward=True))
    evaluator = world.engine.evaluator()
    assert not evaluator.forwarded(found, "ingress", packet()).allowed
    assert evaluator.forwarded(found, "egress", packet()).allowed


def test_8_5_staged_policies_only_leave_forwarded_traffic_open() -> None:
    world, found = host(sgnp("p", DENY, applyOnForward=True))
    assert world.engine.evaluator().forwarded(found, "ingress", packet()).allowed


def test_8_5_profiles_are_for_host_traffic_and_not_for_forwarded() -> None:
    world, found = host(profile("open", ALLOW), profiles=["open"])
    assert world.engine.evaluator().host_traffic(found, "ingress", packet()).allowed
    world, found = host(gnp("p", PASS, applyOnForward=True), profiles=["open"])
    assert not world.engine.evaluator().forwarded(found, "ingress", packet()).allowed


def test_8_5_policies_of_hosts_only_are_nothing_to_workloads_and_apply_on_forward_changes_nothing_there() -> None:
    assert into_b(gnp("p", DENY, doNotTrack=True, applyOnForward=True))
    assert into_b(gnp("p", DENY, preDNAT=True, applyOnForward=True))
    assert not into_b(gnp("p", DENY, applyOnForward=True))
    assert not into_b(gnp("p", DENY))


def test_8_5_an_interface_without_a_host_endpoint_is_not_touched() -> None:
    assert small().host("h1", "ingress", packet()).by == "no host endpoint"
    assert small().host("h1", "ingress", packet()).allowed


INBOUND = [(6, 22), (17, 68), (6, 179), (6, 2379), (6, 2380), (6, 5473), (6, 6443), (6, 6666), (6, 6667)]
OUTBOUND = [(17, 53), (17, 67), (6, 179), (6, 2379), (6, 2380), (6, 5473), (6, 6443), (6, 6666), (6, 6667)]


def test_8_6_failsafe_ports_of_today_both_ways() -> None:
    world, found = host(gnp("p", DENY, types=["Ingress", "Egress"], egress=[DENY]))
    evaluator = world.engine.evaluator()
    every = [(protocol, port) for protocol in (6, 17) for port in range(1, 7000)]
    for direction, wanted in (("ingress", INBOUND), ("egress", OUTBOUND)):
        way: Any = direction
        passed = [(p, n) for p, n in every if evaluator.host_traffic(found, way, packet(n, p)).allowed]
        assert sorted(passed) == sorted(wanted)


def test_8_6_failsafes_are_not_for_forwarded_traffic_and_come_before_untracked_policy() -> None:
    world, found = host(gnp("p", DENY, doNotTrack=True, applyOnForward=True))
    evaluator = world.engine.evaluator()
    assert evaluator.host_traffic(found, "ingress", packet(22)).allowed
    assert not evaluator.forwarded(found, "ingress", packet(22)).allowed


def test_8_6_another_list_replaces_the_usual_one_and_may_name_a_network() -> None:
    world, found = host()
    evaluator = world.engine.evaluator()
    assert not evaluator.host_traffic(found, "ingress", packet(22), ()).allowed
    near = ((6, 22, "10.0.0.0/24"),)
    assert evaluator.host_traffic(found, "ingress", packet(22), near).allowed
    assert not evaluator.host_traffic(found, "ingress", packet(22, sender="192.0.2.1"), near).allowed


def test_8_3_a_policy_that_comes_under_another_name_at_the_same_key_takes_its_old_name_along() -> None:
    engine = small().engine
    for name, rule in (("one", ALLOW), ("two", DENY)):
        engine.set_policy("/policies/p", gnp(name, rule))
    found = next(value for key, value in engine.local().items() if key.endswith("/b"))
    assert found.policies() == {"GlobalNetworkPolicy/two"}
    engine.set_policy("/policies/p", None)
    assert all(not value.policies() for value in engine.local().values())
