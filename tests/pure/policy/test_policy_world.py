"""Questions without a cluster: the traps of reference 9.1 (16 to 23, 45 to 54), and the matrix against pairs."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tortie.base.errors import Invalid, NotFound
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.kinds.global_network_set import GLOBAL_NETWORK_SET, GlobalNetworkSetSpec
from tortie.model.kinds.host_endpoint import HOST_ENDPOINT, HostEndpointSpec
from tortie.model.kinds.network_policy import NETWORK_POLICY, NetworkPolicySpec
from tortie.model.kinds.profile import PROFILE, ProfileSpec
from tortie.model.kinds.staged_global_network_policy import (
    STAGED_GLOBAL_NETWORK_POLICY,
    StagedGlobalNetworkPolicySpec,
)
from tortie.model.kinds.tier import TIER, TierSpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, EndpointPort, WorkloadEndpointSpec
from tortie.model.resource import Metadata, Resource
from tortie.model.rule import EntityRule, HttpMatch, Rule, ServiceMatch
from tortie.policy import Packet, Service, Step, World, matrix
from tortie.policy.world import Party

ALLOW, DENY, PASS = Rule(action="Allow"), Rule(action="Deny"), Rule(action="Pass")


def workload(name: str, address: str, space: str = "ns", **labels: str) -> Resource[Any]:
    spec = WorkloadEndpointSpec(
        node="h1", orchestrator="cni", workload=name, interface_name=f"cali{name}", profiles=("open",),
        ip_networks=(f"{address}/32",), ports=(EndpointPort(name="http", protocol="TCP", port=8080),),
    )  # fmt: skip
    meta = Metadata(name=f"h1-cni-{name}-eth0", namespace=space, labels=labels)
    return Resource(kind=WORKLOAD_ENDPOINT, metadata=meta, spec=spec)


def named(kind: Any, spec: Any, name: str, space: str | None = None, **labels: str) -> Resource[Any]:
    return Resource(kind=kind, metadata=Metadata(name=name, namespace=space, labels=labels), spec=spec)


def policy(name: str, *rules: Rule, space: str | None = None, **head: Any) -> Resource[Any]:
    """For what comes into `b`."""
    fields = {"selector": "app == 'b'", "types": ("Ingress",), "ingress": rules, **head}
    if space:
        return named(NETWORK_POLICY, NetworkPolicySpec(**fields), name, space)
    return named(GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec(**fields), name)


def staged(name: str, *rules: Rule, **head: Any) -> Resource[Any]:
    spec = StagedGlobalNetworkPolicySpec(selector="app == 'b'", types=("Ingress",), ingress=rules, **head)
    return named(STAGED_GLOBAL_NETWORK_POLICY, spec, name)


def world(*resources: Resource[Any]) -> World:
    return World(
        [
            workload("a", "10.0.0.1", app="a"),
            workload("b", "10.0.0.2", app="b"),
            workload("c", "10.0.0.3", "other", app="c"),
            named(PROFILE, ProfileSpec(ingress=(ALLOW,), egress=(ALLOW,)), "open"),
            *resources,
        ]
    )


def source(**fields: Any) -> Rule:
    return Rule(action="Allow", source=EntityRule(**fields))


TIER_ONE = named(TIER, TierSpec(order=1), "one")
CASES: dict[str, tuple[list[Resource[Any]], str, str, bool]] = {
    "no policy: profiles decide": ([], "a", "tcp/80", True),
    "a policy without rules closes its direction": ([policy("p")], "a", "tcp/80", False),
    "only the directions of its types": ([policy("p", types=("Egress",))], "a", "tcp/80", False),
    "allow is final, later tiers do not count": (
        [TIER_ONE, policy("p", ALLOW, tier="one"), policy("q", DENY)], "a", "tcp/80", True),
    "pass goes to the next tier": ([TIER_ONE, policy("p", PASS, tier="one"), policy("q", DENY)], "a", "tcp/80", False),
    "pass behind the last tier goes to the profiles": ([policy("p", PASS)], "a", "tcp/80", True),
    "log decides nothing": ([policy("p", Rule(action="Log"), ALLOW)], "a", "tcp/80", True),
    "no order is last": ([policy("a", DENY), policy("b", ALLOW, order=5)], "a", "tcp/80", True),
    "ties by name": ([policy("b", DENY, order=5), policy("a", ALLOW, order=5)], "a", "tcp/80", True),
    "a namespaced policy stands in the same order": (
        [policy("b", DENY, order=5), policy("a", ALLOW, order=5, space="ns")], "a", "tcp/80", True),
    "a tier that only has staged policies is passed": ([staged("s", DENY)], "a", "tcp/80", True),
    "a tier that passes": (
        [named(TIER, TierSpec(order=1, default_action="Pass"), "one"), policy("p", tier="one")], "a", "tcp/80", True),
    "a missing tier is last and closes": ([policy("p", tier="gone"), policy("q", PASS)], "a", "tcp/80", False),
    "rule selectors of a namespaced policy stay in it": (
        [policy("p", source(selector="app in {'a', 'c'}"), space="ns")], "c", "tcp/80", False),
    "nets do not": ([policy("p", source(nets=("10.0.0.0/24",)), space="ns")], "c", "tcp/80", True),
    "notSelector limits the other side to the namespace": (
        [policy("p", source(not_selector="app == 'x'"), space="ns")], "c", "tcp/80", False),
    "notSelector itself is of all namespaces": (
        [policy("p", source(not_selector="app == 'c'", namespace_selector="all()"), space="ns")], "c", "tcp/80", False),
    "a missing label is not equal": ([policy("p", source(selector="colour != 'red'"))], "a", "tcp/80", True),
    "a selector never matches outside addresses": (
        [policy("p", source(selector="!has(x)"))], "192.0.2.1", "tcp/80", False),
    "a notSelector does": ([policy("p", source(not_selector="has(x)"))], "192.0.2.1", "tcp/80", True),
    "a named port, no protocol: TCP": (
        [policy("p", Rule(action="Allow", destination=EntityRule(ports=("http",))))], "a", "tcp/8080", True),
    "a named port is no other port": (
        [policy("p", Rule(action="Allow", destination=EntityRule(ports=("http",))))], "a", "tcp/80", False),
    "a network set": (
        [policy("p", source(selector="set == 'x'")),
         named(GLOBAL_NETWORK_SET, GlobalNetworkSetSpec(nets=("192.0.2.0/24",)), "s", set="x")],
        "192.0.2.1", "tcp/80", True),
    "a workload policy is not for the host only": ([policy("p", ALLOW, apply_on_forward=True)], "a", "tcp/80", True),
    "preDNAT is not for workloads": (
        [policy("p", DENY, pre_dnat=True, apply_on_forward=True)], "a", "tcp/80", True),
    "services cannot be judged: closed": (
        [policy("p", source(services=ServiceMatch(name="x")))], "a", "tcp/80", False),
    "http cannot be judged: closed": (
        [policy("p", Rule(action="Allow", http=HttpMatch(methods=("GET",))), ALLOW)], "a", "tcp/80", False),
}  # fmt: skip


@pytest.mark.parametrize("title", CASES)
def test_into_b(title: str) -> None:
    resources, sender, service, allowed = CASES[title]
    if title.startswith("only the directions"):
        found = world(*resources)
        assert found.verdict("a", "b", service).allowed
        assert not found.verdict("b", "a", service).allowed
    else:
        assert world(*resources).verdict(sender, "b", service).allowed is allowed


def test_the_verdict_names_the_rule_and_what_was_passed_on_the_way() -> None:
    found = world(
        TIER_ONE, policy("p", source(selector="app == 'x'"), PASS, tier="one"), staged("s", ALLOW, order=1), policy("q")
    ).verdict("a", "b", "tcp/80")
    assert found.leaves is not None
    assert found.leaves.steps == (Step("profile", "open", "allow", 0),)
    assert found.enters is not None
    assert (found.enters.allowed, found.enters.by, found.enters.rule) == (False, "the end of tier default", None)
    assert found.enters.steps == (
        Step("policy", "GlobalNetworkPolicy/p", "pass", 1),
        Step("policy", "StagedGlobalNetworkPolicy/s", "allow", 0, staged=True),
        Step("policy", "GlobalNetworkPolicy/q", "no match"),
        Step("tier", "default", "deny"),
    )


def test_who_is_meant() -> None:
    found = world(workload("a", "10.0.0.9", "second"))
    assert found.find("10.0.0.2").key is not None
    assert found.find("192.0.2.1") == Party("192.0.2.1")
    assert found.find("ns/h1-cni-a-eth0").address == "10.0.0.1"
    with pytest.raises(Invalid, match="more than one endpoint: ns/h1-cni-a-eth0, second/h1-cni-a-eth0"):
        found.find("a")
    for nobody in ("", "nobody"):
        with pytest.raises(NotFound, match="no endpoint is called"):
            found.find(nobody)


def test_instances_with_names_that_nobody_types_are_told_apart_by_their_addresses() -> None:
    def instance(host: str, address: str) -> Resource[Any]:
        spec = WorkloadEndpointSpec(
            node=host, orchestrator="libnetwork", workload="libnetwork", endpoint="f" * 64, ip_networks=(address,)
        )
        notes = {"org.tortie/task-name": "frontend"}
        meta = Metadata(name=f"{host}-libnetwork-libnetwork-{'f' * 64}", namespace="libnetwork", annotations=notes)
        return Resource(kind=WORKLOAD_ENDPOINT, metadata=meta, spec=spec)

    found = World([instance("h1", "10.0.0.7/32"), instance("h2", "10.0.0.8/32")])
    with pytest.raises(Invalid, match=r"'frontend' is more than one endpoint: 10.0.0.7 \(h1\), 10.0.0.8 \(h2\)\n"):
        found.find("frontend")
    assert found.find("10.0.0.8").key is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tcp",
        "tcp/",
        "tcp/0",
        "tcp/65536",
        "tcp/web",
        "tcp/٣",
        "icmp/",
        "icmp/256",
        "icmp/8/",
        "icmp/8/x",
        "47/1",
        "carrier/1",
        "256",
        "0",
        "-1",
        "1e2",
    ],
)
def test_no_service(text: str) -> None:
    with pytest.raises(Invalid):
        Service.parse(text)


@pytest.mark.parametrize(
    "text", ["tcp/1", "udp/65535", "sctp/9", "udplite/5", "icmp", "icmp/0", "icmp/3/1", "icmpv6", "47"]
)
def test_a_service_reads_back_what_it_says(text: str) -> None:
    assert str(Service.parse(text)) == text
    assert Service.parse(text.upper()) == Service.parse(text)


def test_a_service_by_its_number() -> None:
    assert str(Service.parse("6/80")) == "tcp/80"
    assert Service.parse("icmp/8") == Service.parse("icmp")


def host_world(*resources: Resource[Any]) -> World:
    spec = HostEndpointSpec(node="h1", interface_name="*", expected_ips=("10.0.9.1",))
    return world(named(HOST_ENDPOINT, spec, "h1-all", app="b"), *resources)


def to_host(port: int, protocol: int = 6) -> Packet:
    return Packet("10.0.0.1", "10.0.9.1", protocol, 40000, port)


def test_a_host_endpoint_is_closed_but_for_failsafe_ports_and_open_for_what_it_forwards() -> None:
    found = host_world()
    assert [found.host("h1", "ingress", to_host(port)).allowed for port in (22, 80, 2379)] == [True, False, True]
    assert not found.host("h1", "ingress", to_host(22, 17)).allowed
    assert found.host("h2", "ingress", to_host(80)).allowed, "a host without a host endpoint is not policed"
    resolved = next(iter(found.engine.local_hosts().values()))
    assert found.engine.evaluator().forwarded(resolved, "ingress", to_host(80)).allowed


def test_policies_of_a_host_endpoint() -> None:
    found = host_world(policy("p", Rule(action="Allow", protocol="TCP", destination=EntityRule(ports=(80,)))))
    assert [found.host("h1", "ingress", to_host(port)).allowed for port in (80, 81)] == [True, False]
    found = host_world(policy("p", ALLOW, do_not_track=True, apply_on_forward=True))
    assert found.host("h1", "ingress", to_host(80)).by == "policy GlobalNetworkPolicy/p ingress"
    found = host_world(policy("p", DENY, apply_on_forward=True))
    resolved = next(iter(found.engine.local_hosts().values()))
    assert not found.engine.evaluator().forwarded(resolved, "ingress", to_host(80)).allowed
    assert found.engine.evaluator().forwarded(resolved, "egress", to_host(80)).allowed


def test_a_world_is_as_before_when_a_resource_is_refused_or_removed() -> None:
    found = world(policy("p", ALLOW))
    with pytest.raises(Invalid, match="global"):
        found.put(policy("p", DENY, selector="global()"))
    assert found.verdict("a", "b", "tcp/80").enters == world(policy("p", ALLOW)).verdict("a", "b", "tcp/80").enters
    found.drop(policy("p"))
    assert found.verdict("a", "b", "tcp/80").enters == world().verdict("a", "b", "tcp/80").enters


def test_the_matrix_is_what_every_pair_says() -> None:
    pick = random.Random(7)
    selectors = ("app == 'a'", "has(x)", "app != 'b'", "all()")
    for _ in range(25):
        rules = [
            Rule(
                action=pick.choice(("Allow", "Deny", "Pass")),
                protocol="TCP",
                source=EntityRule(selector=pick.choice(selectors), not_nets=pick.choice(((), ("10.1.0.0/30",)))),
                destination=EntityRule(ports=pick.choice(((80,), ("http",), ()))),
            )
            for _ in range(6)
        ]
        policies = [policy(f"p{n}", *rules[n : n + 2], selector=pick.choice(selectors)) for n in range(4)]
        labels = [{"app": pick.choice("abc")} | ({"x": ""} if pick.random() < 0.5 else {}) for _ in range(12)]
        found = world(*policies, *(workload(f"w{n}", f"10.1.0.{n}", **labels[n]) for n in range(1, 12)))
        services = (Service.parse("tcp/80"), Service.parse("tcp/8080"), Service.parse("udp/53"))
        table, ends = matrix(found, services), found.endpoints()
        for service in services:
            for one, value in ends.items():
                for two, other in ends.items():
                    if one != two:
                        talk = found.converse(Party(value.addresses[0], one), Party(other.addresses[0], two), service)
                        assert table.may(one, two, service) is talk.allowed, (one, two, service, talk)
