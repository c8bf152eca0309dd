"""The whole way of a flow and the words about it: hosts, forwarding, special rules (reference 8.2, 8.5, 8.6)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.support.policy_worlds import named, workload
from tests.support.stars_files import files

from tortie.base.errors import Invalid, NotFound
from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION, FelixConfigurationSpec, HostPort
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.kinds.host_endpoint import HOST_ENDPOINT, HostEndpointSpec
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.network_policy import NETWORK_POLICY, NetworkPolicySpec
from tortie.model.kinds.node import NODE, NodeBgp, NodeSpec
from tortie.model.kinds.profile import PROFILE, ProfileSpec
from tortie.model.kinds.tier import TIER, TierSpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, Nat, WorkloadEndpointSpec
from tortie.model.resource import Metadata, Resource
from tortie.model.rule import EntityRule, HttpMatch, Rule, ServiceAccountMatch, ServiceMatch
from tortie.policy.path import Answer, Way
from tortie.policy.reading import Reader, world_of
from tortie.policy.words import WIDTH, Told, owner_words, rule_words
from tortie.policy.world import Service

ALLOW, DENY = Rule(action="Allow"), Rule(action="Deny")
OPEN = named(PROFILE, ProfileSpec(ingress=(ALLOW,), egress=(ALLOW,)), "p0")


def cluster(*more: Resource[Any]) -> Way:
    """Two hosts; a and b on the first, c on the second."""
    nodes = [named(NODE, NodeSpec(bgp=NodeBgp(ipv4_address=f"10.0.9.{n}/24")), f"h{n}") for n in (1, 2)]
    apps = [workload("a", "10.0.0.1", app="a"), workload("b", "10.0.0.2", app="b"), workload("c", "10.0.0.3", "h2")]
    return Way(world_of([OPEN, *nodes, *apps, *more]))


def ask(way: Way, source: str, destination: str, service: str) -> Answer:
    return way.ask(way.end(source), way.end(destination), Service.parse(service))


def felix(**fields: Any) -> Resource[Any]:
    return named(FELIX_CONFIGURATION, FelixConfigurationSpec(**fields), "default")


def star(name: str = "*", node: str = "h1", **fields: Any) -> Resource[Any]:
    return named(HOST_ENDPOINT, HostEndpointSpec(node=node, interface_name=name, **fields), f"{node}-all", host="")


def host_policy(*rules: Rule, **fields: Any) -> Resource[Any]:
    spec = GlobalNetworkPolicySpec(selector="host == ''", types=("Ingress", "Egress"), ingress=rules, **fields)
    return named(GLOBAL_NETWORK_POLICY, spec, "hosts")


def decided(answer: Answer) -> list[tuple[str, str, bool, str]]:
    return [(s.side, s.at, s.verdict.allowed, s.verdict.by) for s in answer.stages]


def test_between_workloads_both_ends_are_asked() -> None:
    assert [stage[:2] for stage in decided(ask(cluster(), "a", "c", "tcp/80"))] == [("leaves", "a"), ("enters", "c")]


def test_a_host_reaches_its_own_workloads_unasked_and_others_as_a_stranger() -> None:
    """8.2"""
    spec = GlobalNetworkPolicySpec(selector="all()", types=("Ingress",), tier="default")
    way = cluster(named(GLOBAL_NETWORK_POLICY, spec, "closed"))
    own = ask(way, "host:h1", "a", "tcp/80")
    assert (own.allowed, own.stages) == (True, ())
    assert "whatever the policy says" in "\n".join(Told(way, own).lines())
    assert not ask(way, "host:h1", "c", "tcp/80").allowed
    assert ask(way, "host:h2", "c", "tcp/80").allowed


@pytest.mark.parametrize(
    ("settings", "service", "allowed", "by"),
    [
        ({}, "tcp/80", False, "defaultEndpointToHostAction Drop"),
        ({"default_endpoint_to_host_action": "Return"}, "tcp/80", True, "defaultEndpointToHostAction Return"),
        ({"host_services": "Enabled"}, "udp/53", True, "hostServices"),
        ({"host_services": "Enabled"}, "tcp/53", False, "defaultEndpointToHostAction Drop"),
        ({"host_services": "Disabled"}, "udp/53", False, "defaultEndpointToHostAction Drop"),
    ],
)
def test_a_workload_and_its_own_host(settings: dict[str, Any], service: str, allowed: bool, by: str) -> None:
    """8.2; hostServices comes before everything else."""
    answer = ask(cluster(felix(**settings)), "a", "host:h1", service)
    assert decided(answer) == [("leaves", "a", allowed, by)]


def test_a_hosts_own_settings_win_one_by_one() -> None:
    own = named(FELIX_CONFIGURATION, FelixConfigurationSpec(host_services="Disabled"), "node.h1")
    way = cluster(felix(host_services="Enabled", default_endpoint_to_host_action="Accept"), own)
    assert ask(way, "a", "host:h1", "udp/53").stages[0].verdict.by == "defaultEndpointToHostAction Accept"
    assert ask(way, "c", "host:h2", "udp/53").stages[0].verdict.by == "hostServices"


def test_host_endpoints_failsafes_and_their_replacement() -> None:
    """8.5, 8.6"""
    way = cluster(star(expected_ips=("10.0.9.1",)))
    assert decided(ask(way, "192.0.2.1", "host:h1", "tcp/22")) == [("enters", "host:h1", True, "failsafe port 22")]
    assert not ask(way, "192.0.2.1", "host:h1", "tcp/80").allowed
    assert ask(way, "192.0.2.1", "10.0.9.2", "tcp/80").allowed, "h2 has no host endpoint"
    listed = (HostPort(protocol="TCP", port=2222, net="192.0.2.0/24"),)
    way = cluster(star(), felix(failsafe_inbound_host_ports=listed, failsafe_outbound_host_ports=()))
    assert not ask(way, "192.0.2.1", "host:h1", "tcp/22").allowed
    assert ask(way, "192.0.2.1", "host:h1", "tcp/2222").allowed
    assert not ask(way, "198.51.100.1", "host:h1", "tcp/2222").allowed
    assert not ask(way, "host:h1", "192.0.2.1", "udp/53").allowed


def test_the_host_endpoint_of_every_interface_meets_all_that_is_forwarded() -> None:
    """8.5"""
    way = cluster(
        star(), host_policy(Rule(action="Deny", protocol="UDP"), ALLOW, apply_on_forward=True, egress=(ALLOW,))
    )
    assert [stage[0] for stage in decided(ask(way, "a", "b", "udp/1"))] == [
        "leaves",
        "forwarded",
        "forwarded",
        "enters",
    ]
    assert not ask(way, "a", "b", "udp/1").allowed
    assert not ask(way, "c", "a", "udp/1").allowed, "into the host that has it"
    assert ask(way, "a", "b", "tcp/1").allowed
    # One of a single interface meets only what goes through that.
    way = cluster(star("eth0"), host_policy(Rule(action="Deny", protocol="UDP"), ALLOW, apply_on_forward=True))
    assert ask(way, "a", "b", "udp/1").allowed
    assert not ask(way, "c", "a", "udp/1").allowed
    # Without a policy about forwarding nothing forwarded is asked about.
    assert [stage[0] for stage in decided(ask(cluster(star()), "a", "b", "udp/1"))] == ["leaves", "enters"]


def test_a_source_that_is_hidden_is_judged_by_the_address_of_its_host() -> None:
    pool = named(IP_POOL, IPPoolSpec(cidr="10.0.0.0/24", nat_outgoing=True), "pool")
    only = host_policy(Rule(action="Allow", source=EntityRule(nets=("10.0.9.1/32",))))
    way = cluster(pool, star(node="h2", expected_ips=("10.0.9.2",)), only)
    answer = ask(way, "a", "host:h2", "tcp/80")
    assert answer.allowed
    assert "beyond h1 the source is 10.0.9.1: the pool has natOutgoing" in list(way.notes(answer))
    assert not ask(cluster(star(node="h2"), only), "a", "host:h2", "tcp/80").allowed


def test_ipv6_and_both() -> None:
    both = workload("d", "10.0.0.4")
    spec = WorkloadEndpointSpec(**{**_fields(both.spec), "ip_networks": ("10.0.0.4/32", "fd00::4/128")})
    six = workload("e", "fd00::5")
    way = cluster(Resource(kind=WORKLOAD_ENDPOINT, metadata=both.metadata, spec=spec), six)
    assert ask(way, "d", "e", "tcp/1").packet.source == "fd00::4"
    assert ask(way, "a", "d", "tcp/1").packet.destination == "10.0.0.4"
    assert ask(way, "d", "FD00:0::5", "icmpv6").packet.destination == "fd00::5"
    with pytest.raises(Invalid, match="no two addresses of one IP version"):
        ask(way, "a", "e", "tcp/1")
    with pytest.raises(Invalid, match="no two addresses of one IP version for icmp"):
        ask(way, "d", "e", "icmp")


def _fields(spec: Any) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in spec.__struct_fields__}


def test_a_floating_address_is_its_workload_where_hosts_know_them() -> None:
    web = workload("d", "10.0.0.4")
    nats = (Nat(internal_ip="10.0.0.4", external_ip="203.0.113.4"),)
    spec = WorkloadEndpointSpec(**{**_fields(web.spec), "ip_nats": nats})
    resource = Resource(kind=WORKLOAD_ENDPOINT, metadata=web.metadata, spec=spec)
    way = cluster(resource, felix(floating_ips="Enabled"))
    answer = ask(way, "192.0.2.1", "203.0.113.4", "tcp/1")
    assert (answer.destination.title, answer.packet.destination) == ("d", "10.0.0.4")
    assert "203.0.113.4 is a floating address of d: rules see 10.0.0.4" in list(way.notes(answer))
    assert cluster(resource).end("203.0.113.4").role == "address"


def test_policy_before_the_routing_decision_meets_a_workload_s_way_to_its_host() -> None:
    shut = host_policy(Rule(action="Deny", protocol="TCP"), pre_dnat=True, apply_on_forward=True, tier="default")
    shut = named(GLOBAL_NETWORK_POLICY, msgspec.structs.replace(shut.spec, types=("Ingress",)), "hosts")
    way = cluster(star(), shut, felix(default_endpoint_to_host_action="Return"))
    assert not ask(way, "a", "host:h1", "tcp/80").allowed
    assert ask(way, "a", "host:h1", "udp/80").allowed
    assert ask(way, "a", "host:h1", "tcp/22").allowed, "a failsafe port"


def test_who_is_meant() -> None:
    notes = {"container": "mesos-77", "task": "stars_web.55", "task-name": "web.stars"}
    annotations = {f"org.tortie/{name}": text for name, text in notes.items()}
    name = "n-libnetwork-libnetwork-0123456789abcdef"
    meta = Metadata(name=name, namespace="libnetwork", annotations=annotations)
    spec = WorkloadEndpointSpec(
        node="h1", orchestrator="libnetwork", workload="libnetwork", endpoint="0123456789abcdef" * 4,
        ip_networks=("10.0.0.7/32",), interface_name="cali0123456789a", profiles=("p0",),
    )  # fmt: skip
    way = cluster(Resource(kind=WORKLOAD_ENDPOINT, metadata=meta, spec=spec))
    for text in ("web", "web.stars", "stars_web.55", "mesos-77", "0123456789ab", "10.0.0.7", f"libnetwork/{name}"):
        assert way.end(text).title == "web.stars", text
    assert way.end("10.0.9.2").node == "h2"
    with pytest.raises(NotFound, match=r"no endpoint is called 'webs'; did you mean web\?"):
        way.end("webs")
    with pytest.raises(NotFound, match=r"h1 is a host: type host:h1"):
        way.end("h1")
    with pytest.raises(NotFound, match=r"no host is called 'h3'\nthere are: h1, h2"):
        way.end("host:h3")
    lonely = Way(world_of([workload("z", "10.0.0.1", "h9")]))
    with pytest.raises(Invalid, match="host h9 has no address"):
        lonely.end("host:h9")


# Words


def stars() -> Way:
    return Way(world_of(Reader().read([("f", files("9b"))]).resources.values()))


def test_an_answer_reads_like_a_colleague_s() -> None:
    way = stars()
    lines = Told(way, ask(way, "client", "backend", "tcp/9001")).lines()
    assert lines == [
        "DENIED  tcp/9001",
        "  from client (192.168.0.1, agent-1)",
        "  to   backend (192.168.1.2, agent-2)",
        "",
        "  leaves client   allowed  profile client, rule 1: allow",
        "  enters backend  DENIED   profile backend: no rule matched",
        "       1  allow from tag backend",
        "          no: source has no tag backend",
        "       2  allow tcp from tag management-ui to ports 9000",
        "          no: source has no tag management-ui",
        "       3  allow tcp from tag frontend to ports 9001",
        "          no: source has no tag frontend",
        "       4  allow tcp from tag frontend to ports 9000",
        "          no: source has no tag frontend",
        "  it would be allowed by:",
        "    calicoctl profile backend rule add inbound allow tcp from tag client to ports 9001",
    ]


def test_the_advice_is_taken() -> None:
    """What the answer advises, typed, allows the flow."""
    from tortie.model.v0.words import rule_of_words

    way = stars()
    for source, destination, service in (
        ("client", "backend", "tcp/9001"), ("192.0.2.1", "client", "udp/5"), ("backend", "client", "icmp"),
    ):  # fmt: skip
        advice = str(Told(way, ask(way, source, destination, service)).advice())
        words = advice.split()
        assert words[:2] == ["calicoctl", "profile"]
        assert words[3:6] == ["rule", "add", "inbound"]
        profile = way.world.held(PROFILE.key(words[2]))
        assert profile is not None
        more = ProfileSpec(
            ingress=(*profile.spec.ingress, rule_of_words(words[6:])),
            egress=profile.spec.egress,
            labels_to_apply=profile.spec.labels_to_apply,
        )
        way.world.put(Resource(kind=PROFILE, metadata=profile.metadata, spec=more))
        assert ask(Way(way.world), source, destination, service).allowed
        way = stars()


def test_tiers_policies_staged_ones_and_profiles_in_words() -> None:
    spec: dict[str, Any] = {"selector": "app == 'b'", "types": ("Ingress",)}
    only = Rule(
        action="Allow", protocol="TCP", source=EntityRule(selector="app == 'x'"), destination=EntityRule(ports=(80,))
    )
    way = cluster(
        named(TIER, TierSpec(order=1), "first"),
        named(
            GLOBAL_NETWORK_POLICY,
            GlobalNetworkPolicySpec(**spec, tier="first", ingress=(only, Rule(action="Pass"))),
            "p",
        ),
        named(NETWORK_POLICY, NetworkPolicySpec(**spec, ingress=(Rule(action="Log"),)), "q", "ns"),
    )
    told = Told(way, ask(way, "a", "b", "tcp/80"))
    assert told.lines() == [
        "DENIED  a (10.0.0.1, h1)  ->  b (10.0.0.2, h1)  tcp/80",
        "",
        "  leaves a  allowed  profile p0, rule 1: allow",
        "  enters b  DENIED   end of tier default: none of its policies has a rule that",
        "                     matches",
        "    global policy p: passed on by rule 2",
        "       1  allow tcp from selector \"app == 'x'\" to ports 80",
        '          no: source does not match app == "x"',
        "    policy ns/q: no rule matched",
        "       1  log",
        "          no: it only writes a log",
    ]
    stage = told.data()["stages"][1]
    assert stage["by"] == {"kind": "tier", "name": "default", "direction": "ingress", "rule": None}
    assert [(step["name"], step["outcome"], step["rule"]) for step in stage["steps"]] == [
        ("GlobalNetworkPolicy/p", "pass", 2),
        ("NetworkPolicy/ns/q", "no match", None),
        ("default", "deny", None),
    ]
    assert json.loads(json.dumps(told.data())) == told.data()


def test_lines_stay_within_eighty_columns_and_long_lists_are_cut() -> None:
    many = tuple(
        Rule(action="Allow", protocol="TCP", source=EntityRule(selector=f"team == 'number-{n}' && has(something.long)"),
             destination=EntityRule(ports=tuple(range(1000 + n, 1040 + n)))) for n in range(40)
    )  # fmt: skip
    spec = GlobalNetworkPolicySpec(selector="app == 'b'", types=("Ingress",), ingress=many)
    way = cluster(named(GLOBAL_NETWORK_POLICY, spec, "long"))
    lines = Told(way, ask(way, "a", "b", "tcp/80")).lines()
    assert "          and 28 more that do not match" in lines
    assert [line for line in lines if len(line) > WIDTH and " " in line.strip().removeprefix("no: ")] == [
        line for line in lines if "ports 10" in line and len(line) > WIDTH
    ]
    assert len(Told(way, ask(way, "a", "b", "tcp/80")).data()["stages"][1]["steps"][0]["passed"]) == 40


def test_every_part_of_a_rule_is_in_its_words() -> None:
    side = EntityRule(
        selector="a == 'b'",
        not_selector="g == 'h'",
        namespace_selector="c == 'd'",
        service_accounts=ServiceAccountMatch(names=("s",), selector="e == 'f'"),
        services=ServiceMatch(name="web", namespace="shop"),
        nets=("10.0.0.0/8",),
        not_nets=("10.1.0.0/16",),
    )
    rule = Rule(action="Deny", protocol="TCP", ip_version=4, source=side, http=HttpMatch(methods=("GET",)))
    said = rule_words(rule)
    for word in (
        "deny",
        "tcp",
        "a == 'b'",
        "c == 'd'",
        "e == 'f'",
        "shop/web",
        "10.0.0.0/8",
        "10.1.0.0/16",
        "g == 'h'",
        "GET",
    ):
        assert word in said, said
    assert owner_words("policy", "StagedGlobalNetworkPolicy/x") == "staged global policy x"
    assert owner_words("policy", "NetworkPolicy/ns/x") == "policy ns/x"


def test_an_endpoint_that_no_profile_and_no_policy_is_about() -> None:
    way = cluster(workload("lone", "10.0.0.9", profiles=()), workload("lost", "10.0.0.10", profiles=("gone",)))
    assert any(
        "no policy is about it, and no profile" in line for line in Told(way, ask(way, "a", "lone", "tcp/1")).lines()
    )
    assert any("profile gone does not exist" in line for line in Told(way, ask(way, "a", "lost", "tcp/1")).lines())
