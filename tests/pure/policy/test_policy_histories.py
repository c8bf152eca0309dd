"""Engine and verdict over long random histories, against the slow twin (reference 4.4, 4.5, 8.1, 8.5)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from tests.pure.policy import slow_twin
from tests.pure.policy.slow_twin import World

from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.kinds.global_network_set import GLOBAL_NETWORK_SET, GlobalNetworkSetSpec
from tortie.model.kinds.host_endpoint import HOST_ENDPOINT, HostEndpointSpec
from tortie.model.kinds.network_policy import NETWORK_POLICY, NetworkPolicySpec
from tortie.model.kinds.network_set import NETWORK_SET, NetworkSetSpec
from tortie.model.kinds.profile import ProfileSpec
from tortie.model.kinds.staged_network_policy import STAGED_NETWORK_POLICY, StagedNetworkPolicySpec
from tortie.model.kinds.tier import TierSpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, EndpointPort, WorkloadEndpointSpec
from tortie.model.resource import Kind, Metadata, Resource
from tortie.model.rule import EntityRule, Rule, ServiceAccountMatch
from tortie.policy.engine import PolicyEngine
from tortie.policy.policies import policy_id, tier_of
from tortie.policy.values import (
    Changed,
    Construct,
    Direction,
    EndpointChanged,
    HostEndpointChanged,
    HostTiers,
    MembersChanged,
    NamedPortGone,
    NetsChanged,
    PolicyChanged,
    PortsChanged,
    ProfileChanged,
    Resolved,
    ResolvedHost,
    RuleLists,
    SelectorGone,
    Tiers,
)
from tortie.policy.verdict import Packet

ADDRESSES = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.1.4", "10.0.1.5", "192.0.2.9")
SELECTORS = ("", "all()", "app == 'web'", "app != 'web'", "has(tag)", "app in {'db', 'web'} && !has(tag)", "!has(app)")
SPACES = ("", "", "", "all()", "team == 'red'", "team != 'red'", "!has(team)")
NETS = ("10.0.0.0/24", "10.0.1.4/32", "10.0.0.0/16", "192.0.2.0/24")
PORTS: tuple[int | str, ...] = (80, "79:90", "http", "dns", 53)
DIRECTIONS: tuple[Direction, Direction] = ("ingress", "egress")
KNOWN_PORTS = (
    EndpointPort(name="http", protocol="TCP", port=8080),
    EndpointPort(name="dns", protocol="UDP", port=53),
)
PACKETS = [
    Packet(source, destination, protocol, 4000, port)
    for source in ADDRESSES
    for destination in ADDRESSES
    for protocol, port in ((6, 80), (17, 53), (6, 8080))
    if source != destination
]


class History:
    """Random steps, taken by the engine, by a follower of its answers and by the slow twin's world."""

    def __init__(self, seed: int, rendered: frozenset[Construct]) -> None:
        self.pick = random.Random(seed)
        self.engine = PolicyEngine("here", rendered)
        self.world = World()
        self.follower = Follower()

    def maybe(self, options: Sequence[Any], chance: float = 0.5) -> Any:
        return self.pick.choice(options) if self.pick.random() < chance else None

    def labels(self) -> dict[str, str]:
        found = {"app": self.maybe(("web", "db")), "tag": self.maybe(("",))}
        return {key: value for key, value in found.items() if value is not None}

    def entity(self) -> EntityRule:
        some = self.maybe
        accounts = ServiceAccountMatch(names=some((("sa",),), 0.5) or (), selector=some(("job == 'x'",), 0.5) or "")
        return EntityRule(
            nets=some([(net,) for net in NETS], 0.2) or (),
            not_nets=some([(net,) for net in NETS], 0.1) or (),
            selector=some(SELECTORS, 0.3) or "",
            not_selector=some(SELECTORS[2:], 0.2) or "",
            namespace_selector=some((*SPACES, "global()"), 0.3) or "",
            service_accounts=accounts if self.pick.random() < 0.1 and (accounts.names or accounts.selector) else None,
        )

    def rule(self) -> Rule:
        protocol = self.maybe(("TCP", "UDP", 6), 0.6)
        destination = self.entity()
        if protocol or self.pick.random() < 0.3:
            known = PORTS if protocol else ("http", "dns")
            ports = tuple(self.pick.sample(known, self.pick.randint(0, 2)))
            denied = tuple(self.pick.sample(known, 1)) if self.pick.random() < 0.2 else ()
            destination = EntityRule(**{**_fields(destination), "ports": ports, "not_ports": denied})
        return Rule(
            action=self.pick.choice(("Allow", "Allow", "Deny", "Pass", "Log")),
            protocol=protocol,
            not_protocol=None if protocol else self.maybe(("TCP", "UDP"), 0.2),
            source=self.entity(),
            destination=destination,
        )

    def rules(self) -> tuple[Rule, ...]:
        return tuple(self.rule() for _ in range(self.pick.randint(0, 3)))

    def step(self) -> None:
        for_keys = (self.workload, self.workload, self.host, self.network_set, self.profile, self.policy, self.tier)
        self.pick.choice((*for_keys, self.policy))()

    def workload(self) -> None:
        key, space = f"w{self.pick.randint(0, 3)}", self.pick.choice(("ns1", "ns2"))
        ports = tuple(port for port in KNOWN_PORTS if self.pick.random() < 0.5)
        spec = WorkloadEndpointSpec(
            node=self.pick.choice(("here", "here", "there")), orchestrator="k8s", interface_name=f"cali{key}",
            profiles=tuple(self.pick.sample((f"kns.{space}", "p", "ksa"), self.pick.randint(0, 3))),
            ip_networks=(self.pick.choice(ADDRESSES[:4]) + "/32",), ports=ports,
            service_account_name=self.maybe(("sa",)) or "",
        )  # fmt: skip
        meta = Metadata(name="w", namespace=space, labels=self.labels())
        self.take(key, self.maybe((Resource(kind=WORKLOAD_ENDPOINT, metadata=meta, spec=spec),), 0.8), "workloads")

    def host(self) -> None:
        key = f"h{self.pick.randint(0, 1)}"
        spec = HostEndpointSpec(
            node="here", interface_name=self.maybe(("*",)) or "eth0", expected_ips=self.maybe(((ADDRESSES[4],),)) or (),
            profiles=self.maybe((("p",),)) or (),
        )  # fmt: skip
        resource = Resource(kind=HOST_ENDPOINT, metadata=Metadata(name=key, labels=self.labels()), spec=spec)
        self.take(key, self.maybe((resource,), 0.7), "hosts")

    def network_set(self) -> None:
        nets, labels = tuple(self.pick.sample(NETS, 2)), self.labels()
        one = Resource(
            kind=NETWORK_SET,
            metadata=Metadata(name="s", namespace="ns1", labels=labels),
            spec=NetworkSetSpec(nets=nets),
        )
        two = Resource(
            kind=GLOBAL_NETWORK_SET, metadata=Metadata(name="s", labels=labels), spec=GlobalNetworkSetSpec(nets=nets)
        )
        number = self.pick.randint(0, 1)
        self.take(f"s{number}", self.maybe(((one, two)[number],), 0.6), "sets")

    def profile(self) -> None:
        name = self.pick.choice(("kns.ns1", "kns.ns2", "p", "ksa"))
        inherited = {
            "kns.ns1": {"pcns.team": self.pick.choice(("red", "blue"))},
            "kns.ns2": {"pcns.team": "blue"},
            "ksa": {"pcsa.job": "x"},
            "p": self.labels(),
        }[name]
        spec = ProfileSpec(ingress=self.rules(), egress=self.rules(), labels_to_apply=inherited)
        self.take(name, self.maybe((spec,), 0.8), "profiles")

    def policy(self) -> None:
        number = self.pick.randint(0, 5)
        kind: Kind[Any]
        head: dict[str, Any] = {
            "tier": self.pick.choice(("", "default", "first", "lost")),
            "order": self.maybe((1, 2, 2.5)),
            "selector": self.pick.choice(SELECTORS),
            "service_account_selector": self.maybe(("job == 'x'",), 0.1) or "",
            "types": self.pick.choice(((), ("Ingress",), ("Egress",), ("Ingress", "Egress"))),
            "ingress": self.rules(),
            "egress": self.rules(),
        }
        if number < 2:
            spec: Any = NetworkPolicySpec(**head)
            meta, kind = Metadata(name=f"a{number}", namespace="ns1"), NETWORK_POLICY
        elif number == 2:
            spec = StagedNetworkPolicySpec(**head, staged_action=self.maybe(("Set", "Delete")))
            meta, kind = Metadata(name="a0", namespace="ns1"), STAGED_NETWORK_POLICY
        else:
            choices: tuple[dict[str, Any], ...] = (
                {},
                {},
                {"do_not_track": True},
                {"pre_dnat": True},
                {"apply_on_forward": True},
            )
            where = self.pick.choice(choices)
            spec = GlobalNetworkPolicySpec(**head, namespace_selector=self.pick.choice(SPACES), **where)
            meta, kind = Metadata(name=f"a{number}"), GLOBAL_NETWORK_POLICY
        self.take(f"n{number}", self.maybe((Resource(kind=kind, metadata=meta, spec=spec),), 0.7), "policies")

    def tier(self) -> None:
        spec = TierSpec(order=self.maybe((1, 3)), default_action=self.maybe(("Pass", "Deny")))
        self.take(self.pick.choice(("first", "default")), self.maybe((spec,), 0.7), "tiers")

    def take(self, key: str, value: Any, where: str) -> None:
        held = getattr(self.world, where)
        held.pop(key, None)
        if value is not None:
            held[key] = value
        learn: Any = {
            "workloads": self.engine.set_endpoint, "hosts": self.engine.set_host_endpoint,
            "sets": self.engine.set_network_set, "profiles": self.engine.set_profile,
            "policies": self.engine.set_policy, "tiers": self.engine.set_tier,
        }[where]  # fmt: skip
        if where == "tiers" and value is not None:
            value = tier_of(value)
        self.follower.learn(learn(key, value))

    def clear(self) -> None:
        for where in ("tiers", "profiles", "sets", "policies", "hosts", "workloads"):
            for key in list(getattr(self.world, where)):
                self.take(key, None, where)


def _fields(entity: EntityRule) -> dict[str, Any]:
    return {name: getattr(entity, name) for name in entity.__struct_fields__ if name != "unknown"}


class Follower:
    """What the engine's answers add up to; refuses answers that do not follow from what was said before."""

    def __init__(self) -> None:
        self.endpoints: dict[str, Resolved | ResolvedHost] = {}
        self.rules: dict[str, RuleLists] = {}
        self.sets: dict[Any, set[Any]] = {}

    def learn(self, changes: Sequence[Changed]) -> None:
        for change in changes:
            match change:
                case EndpointChanged(key, value) | HostEndpointChanged(key, value):
                    assert self.endpoints.get(key) != value
                    put(self.endpoints, key, value)
                    self.check_listed(value)
                case PolicyChanged(name, rules) | ProfileChanged(name, rules):
                    put(self.rules, name, rules)
                case MembersChanged(name, added, removed) | NetsChanged(name, added, removed):
                    self.move(name, added, removed)
                case PortsChanged(port, members, gone):
                    self.move(port, members, gone)
                case SelectorGone(name) | NamedPortGone(name):
                    del self.sets[name]

    def move(self, name: Any, added: frozenset[Any], removed: frozenset[Any]) -> None:
        known = self.sets.setdefault(name, set())
        assert not added & known
        assert removed <= known
        self.sets[name] = (known | added) - removed

    def check_listed(self, value: Resolved | ResolvedHost | None) -> None:
        """What an endpoint lists was told before it."""
        for name in value.policies() if value else ():
            assert name in self.rules
            assert self.rules[name].selectors() | self.rules[name].named_ports() <= self.sets.keys()


def put(held: dict[str, Any], key: str, value: Any) -> None:
    if value is None:
        held.pop(key, None)
    else:
        held[key] = value


def ids(tiers: Tiers) -> list[tuple[str, str, list[tuple[str, bool]]]]:
    return [(t.name, t.default_action, [(p.id, p.staged) for p in t.policies]) for t in tiers]


def twin_ids(world: World, endpoint: Resource[Any], direction: str, **where: Any) -> list[Any]:
    return [
        (name, end, [(policy_id(p), p.kind.name.startswith("Staged")) for p in policies])
        for name, end, policies in slow_twin.lists(world, endpoint, direction, **where)
    ]


def compare(history: History) -> None:
    world, engine = history.world, history.engine
    local = {key: e for key, e in world.workloads.items() if e.spec.node == "here"}
    assert history.follower.endpoints.keys() == local.keys() | world.hosts.keys()
    assert {**engine.local(), **engine.local_hosts()} == history.follower.endpoints
    for key, endpoint in local.items():
        for direction in DIRECTIONS:
            assert ids(engine.local()[key].tiers(direction)) == twin_ids(world, endpoint, direction)
    for key, endpoint in world.hosts.items():
        found = engine.local_hosts()[key]
        parts: tuple[tuple[HostTiers, dict[str, Any]], ...] = (
            (found.normal, {}),
            (found.untracked, {"hook": "untracked"}),
            (found.forward, {"forward": True}),
        )
        for direction in DIRECTIONS:
            for tiers, where in parts:
                assert ids(tiers.of(direction)) == twin_ids(world, endpoint, direction, **where)
        assert ids(found.pre_dnat.ingress) == twin_ids(world, endpoint, "ingress", hook="preDNAT")


def compare_verdicts(history: History, count: int) -> int:
    """Both ends of some packets; how many were asked."""
    world, evaluator, local = history.world, history.engine.evaluator(), history.engine.local()
    asked = 0
    for packet in history.pick.sample(PACKETS, count):
        for key, resolved in local.items():
            endpoint = world.workloads[key]
            if packet.source in resolved.addresses:
                said = evaluator.egress(resolved, packet)
                assert said.allowed == slow_twin.verdict(world, endpoint, "egress", packet), (packet, said)
            elif packet.destination in resolved.addresses:
                said = evaluator.ingress(resolved, packet)
                assert said.allowed == slow_twin.verdict(world, endpoint, "ingress", packet), (packet, said)
            else:
                continue
            asked += 1
    return asked


@pytest.mark.parametrize("seed", range(4))
def test_long_histories_end_where_the_slow_twin_is(seed: int) -> None:
    history, asked = History(seed, frozenset(Construct)), 0
    for number in range(800):
        history.step()
        compare(history)
        if number % 4 == 0:
            asked += compare_verdicts(history, 6)
    assert asked > 300
    history.clear()
    assert (history.follower.endpoints, history.follower.rules, history.follower.sets) == ({}, {}, {})
    assert history.engine.uses() == frozenset()


def test_an_endpoint_is_closed_exactly_while_its_rules_need_what_the_renderer_lacks() -> None:
    history = History(99, frozenset())
    closed = 0
    for _ in range(800):
        history.step()
        engine = history.engine
        held: list[Resolved | ResolvedHost] = [*engine.local().values(), *engine.local_hosts().values()]
        for value in held:
            lists = [engine.rules_of_policy(name) for name in value.policies()]
            lists += [engine.rules_of_profile(name) for name in value.profiles]
            lacking = [rules for rules in lists if rules and needs_more(engine, rules)]
            assert len({text.split(":")[0] for text in value.problems}) == len(lacking)
            closed += bool(lacking)
    assert closed > 50


def needs_more(engine: PolicyEngine, rules: RuleLists) -> bool:
    return bool(rules.named_ports()) or any(map(engine.sets.is_wide, rules.selectors()))
