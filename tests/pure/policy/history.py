"""Random histories of a cluster's policy, taken by the engine, by a follower of its answers and by the slow twin."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from tests.pure.policy.follower import Follower
from tests.pure.policy.slow_twin import BROKEN, World

from tortie.base.errors import Invalid
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.kinds.global_network_set import GLOBAL_NETWORK_SET, GlobalNetworkSetSpec
from tortie.model.kinds.host_endpoint import HOST_ENDPOINT, HostEndpointSpec
from tortie.model.kinds.network_policy import NETWORK_POLICY, NetworkPolicySpec
from tortie.model.kinds.network_set import NETWORK_SET, NetworkSetSpec
from tortie.model.kinds.profile import ProfileSpec
from tortie.model.kinds.staged_global_network_policy import STAGED_GLOBAL_NETWORK_POLICY, StagedGlobalNetworkPolicySpec
from tortie.model.kinds.staged_network_policy import STAGED_NETWORK_POLICY, StagedNetworkPolicySpec
from tortie.model.kinds.tier import TierSpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, EndpointPort, WorkloadEndpointSpec
from tortie.model.resource import Kind, Metadata, Resource
from tortie.model.rule import EntityRule, HttpMatch, Icmp, Rule, ServiceAccountMatch, ServiceMatch
from tortie.policy.engine import PolicyEngine
from tortie.policy.policies import tier_of
from tortie.policy.values import Construct
from tortie.policy.verdict import Packet

ADDRESSES = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.1.4", "10.0.1.5", "192.0.2.9")
SIXES = ("fd00::1", "fd00::2", "fd00:1::9")
SELECTORS = ("", "all()", "app == 'web'", "app != 'web'", "has(tag)", "app in {'db', 'web'} && !has(tag)", "!has(app)",
             "app starts with 'w' || tag == ''", "app not in {'db'}", "app contains 'e'",
             "has(tag) || app != 'web'", "!(has(tag) || app == 'db') && !has(pcns.team)")  # fmt: skip
SPACES = ("", "", "", "all()", "team == 'red'", "team != 'red'", "!has(team)")
NETS = ("10.0.0.0/24", "10.0.1.4/32", "10.0.0.0/16", "192.0.2.0/24", "fd00::/64", "fd00::2/128")
PORTS: tuple[int | str, ...] = (80, "79:90", "http", "dns", 53, 52, 54, 8079, 8081)
KNOWN_PORTS = (
    EndpointPort(name="http", protocol="TCP", port=8080),
    EndpointPort(name="http", protocol="TCP", port=80),
    EndpointPort(name="dns", protocol="UDP", port=53),
)
FLOWS: tuple[dict[str, Any], ...] = (
    {"protocol": 6, "destination_port": 80}, {"protocol": 17, "destination_port": 53},
    {"protocol": 6, "destination_port": 8080}, {"protocol": 6, "destination_port": 22},
    {"protocol": 17, "destination_port": 4789}, {"protocol": 4}, {"protocol": 47},
    {"protocol": 17, "source_port": 68, "destination_port": 67},
    {"protocol": 1, "icmp": (8, 0)}, {"protocol": 1, "icmp": (3, 1)}, {"protocol": 1, "icmp": (0, 0)},
)  # fmt: skip
SIX_FLOWS: tuple[dict[str, Any], ...] = (
    *FLOWS[:4],
    {"protocol": 58, "icmp": (128, 0)},
    {"protocol": 58, "icmp": (3, 1)},
)
PACKETS = [
    Packet(**{"source": source, "destination": destination, "source_port": 4000, **flow})
    for addresses, flows in ((ADDRESSES, FLOWS), (SIXES, SIX_FLOWS))
    for source in addresses
    for destination in addresses
    for flow in flows
    if source != destination
]
FIT = EntityRule()
UNFIT: tuple[dict[str, Any], ...] = (
    {"http": HttpMatch(methods=("GET",))},
    {"unknown": (("newer", "1"),)},
    {"source": EntityRule(services=ServiceMatch(name="x"))},
    {"source": EntityRule(nets=("10.0.0.0/33",))},
    {"source": EntityRule(selector="app = 'web'")},
    {"source": EntityRule(selector="global()")},
    {"destination": EntityRule(unknown=(("domains", "[]"),))},
    {"destination": EntityRule(ports=("9:3",)), "protocol": "TCP"},
    {"destination": EntityRule(ports=(80,)), "protocol": None},
    {"protocol": "carrier"},
    {"protocol": None, "icmp": Icmp(type=8)},
    {"protocol": None, "not_icmp": Icmp(type=8)},
    {"protocol": "ICMP", "icmp": Icmp(code=1)},
    {"protocol": "ICMP", "ip_version": 6, "icmp": None, "not_icmp": None},
)


class History:
    """One random walk. `seed` makes it again."""

    def __init__(self, seed: int, rendered: frozenset[Construct]) -> None:
        self.pick = random.Random(seed)
        self.engine = PolicyEngine("here", rendered)
        self.world = World()
        self.follower = Follower()

    def maybe(self, options: Sequence[Any], chance: float = 0.5) -> Any:
        return self.pick.choice(options) if self.pick.random() < chance else None

    def labels(self) -> dict[str, str]:
        found = {"app": self.maybe(("web", "db")), "tag": self.maybe(("",)), "pcns.team": self.maybe(("red",), 0.1)}
        return {key: value for key, value in found.items() if value is not None}

    def nets(self, chance: float) -> tuple[str, ...]:
        return tuple(self.pick.sample(NETS, self.pick.randint(1, 2))) if self.pick.random() < chance else ()

    def entity(self) -> EntityRule:
        some = self.maybe
        accounts = ServiceAccountMatch(names=some((("sa",),), 0.5) or (), selector=some(("job == 'x'",), 0.5) or "")
        return EntityRule(
            nets=self.nets(0.2),
            not_nets=self.nets(0.1),
            selector=some(SELECTORS, 0.3) or "",
            not_selector=some(SELECTORS[2:], 0.2) or "",
            namespace_selector=some((*SPACES, "global()"), 0.3) or "",
            service_accounts=accounts if self.pick.random() < 0.1 and (accounts.names or accounts.selector) else None,
        )

    def rule(self) -> Rule:
        protocol = self.maybe(("TCP", "UDP", 6, "ICMP", "ICMPv6", 47), 0.6)
        fields: dict[str, Any] = {
            "action": self.pick.choice(("Allow", "Allow", "Deny", "Pass", "Log")),
            "protocol": protocol,
            "not_protocol": None if protocol else self.maybe(("TCP", "UDP", 47), 0.2),
            "source": self.entity(),
            "destination": self.entity(),
            "ip_version": self.maybe((4, 6), 0.1) if protocol not in ("ICMP", "ICMPv6") else None,
        }
        if protocol in ("ICMP", "ICMPv6"):
            kinds = (Icmp(type=8), Icmp(type=3, code=1), Icmp(type=0, code=0), Icmp(type=128))
            fields |= {"icmp": self.maybe(kinds), "not_icmp": self.maybe(kinds, 0.3)}
        elif protocol in ("TCP", "UDP", 6) or (protocol is None and self.pick.random() < 0.3):
            known = PORTS if protocol else ("http", "dns")
            ports = tuple(self.pick.sample(known, self.pick.randint(0, 2)))
            denied = tuple(self.pick.sample(known, 1)) if self.pick.random() < 0.2 else ()
            fields["destination"] = EntityRule(**{**parts(fields["destination"]), "ports": ports, "not_ports": denied})
            if protocol and self.pick.random() < 0.1:
                fields["source"] = EntityRule(**{**parts(fields["source"]), "ports": ("1024:4000",)})
        if self.pick.random() < 0.02:
            fields |= {**self.pick.choice(UNFIT), "metadata": BROKEN}
        return Rule(**fields)

    def rules(self) -> tuple[Rule, ...]:
        return tuple(self.rule() for _ in range(self.pick.randint(0, 3)))

    def step(self) -> None:
        kinds = (self.workload, self.workload, self.host, self.network_set, self.profile, self.policy, self.tier)
        self.pick.choice((*kinds, self.policy))()

    def workload(self) -> None:
        key, space = f"w{self.pick.randint(0, 3)}", self.pick.choice(("ns1", "ns2"))
        networks = [self.pick.choice(ADDRESSES[:4]) + "/32"] if self.pick.random() < 0.9 else []
        networks += [self.pick.choice(SIXES[:2]) + "/128"] if self.pick.random() < 0.4 else []
        spec = WorkloadEndpointSpec(
            node=self.pick.choice(("here", "here", "there")), orchestrator="k8s", interface_name=f"cali{key}",
            profiles=tuple(self.pick.choices((f"kns.{space}", "p", "ksa", "none"), k=self.pick.randint(0, 3))),
            ip_networks=tuple(networks), ports=tuple(port for port in KNOWN_PORTS if self.pick.random() < 0.4),
            service_account_name=self.maybe(("sa",)) or "",
        )  # fmt: skip
        meta = Metadata(name="w", namespace=space, labels=self.labels())
        self.take(key, self.maybe((Resource(kind=WORKLOAD_ENDPOINT, metadata=meta, spec=spec),), 0.8), "workloads")

    def host(self) -> None:
        key = f"h{self.pick.randint(0, 1)}"
        spec = HostEndpointSpec(
            node="here", interface_name=self.maybe(("*",)) or "eth0", expected_ips=self.maybe(((ADDRESSES[4],),)) or (),
            profiles=self.maybe((("p",),)) or (), ports=KNOWN_PORTS[:1] if self.pick.random() < 0.3 else (),
        )  # fmt: skip
        resource = Resource(kind=HOST_ENDPOINT, metadata=Metadata(name=key, labels=self.labels()), spec=spec)
        self.take(key, self.maybe((resource,), 0.7), "hosts")

    def network_set(self) -> None:
        nets, labels = tuple(self.pick.sample(NETS, 2)), self.labels()
        number = self.pick.randint(0, 1)
        found: Resource[Any] = Resource(
            kind=NETWORK_SET,
            metadata=Metadata(name="s", namespace="ns1", labels=labels),
            spec=NetworkSetSpec(nets=nets),
        )
        if number:
            meta, spec = Metadata(name="s", labels=labels), GlobalNetworkSetSpec(nets=nets)
            found = Resource(kind=GLOBAL_NETWORK_SET, metadata=meta, spec=spec)
        self.take(f"s{number}", self.maybe((found,), 0.6), "sets")

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
        number = self.pick.randint(0, 6)
        kind: Kind[Any]
        head: dict[str, Any] = {
            "tier": self.pick.choice(("", "default", "first", "lost")),
            "order": self.maybe((1, 2, 2.5, 0, -1)),
            "selector": self.pick.choice(SELECTORS) if self.pick.random() > 0.03 else "app = 'web'",
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
        elif number == 3:
            spec = StagedGlobalNetworkPolicySpec(**head, staged_action=self.maybe(("Learn", "Ignore")))
            meta, kind = Metadata(name="a4"), STAGED_GLOBAL_NETWORK_POLICY
        else:
            hooks: tuple[dict[str, Any], ...] = ({}, {}, {"do_not_track": True}, {"pre_dnat": True},
                                                 {"apply_on_forward": True})  # fmt: skip
            spec = GlobalNetworkPolicySpec(
                **head, namespace_selector=self.pick.choice(SPACES), **self.pick.choice(hooks)
            )
            meta, kind = Metadata(name=f"a{number}"), GLOBAL_NETWORK_POLICY
        self.take(f"n{number}", self.maybe((Resource(kind=kind, metadata=meta, spec=spec),), 0.7), "policies")

    def tier(self) -> None:
        spec = TierSpec(order=self.maybe((1, 3)), default_action=self.maybe(("Pass", "Deny")))
        self.take(self.pick.choice(("first", "default")), self.maybe((spec,), 0.7), "tiers")

    def take(self, key: str, value: Any, where: str) -> None:
        held = getattr(self.world, where)
        held.pop(key, None)
        learn: Any = {
            "workloads": self.engine.set_endpoint, "hosts": self.engine.set_host_endpoint,
            "sets": self.engine.set_network_set, "profiles": self.engine.set_profile,
            "policies": self.engine.set_policy, "tiers": self.engine.set_tier,
        }[where]  # fmt: skip
        told = tier_of(value) if where == "tiers" and value is not None else value
        try:
            changes = learn(key, told)
        except Invalid:
            # A policy whose selector cannot be read counts as absent, as for a node.
            changes, value = learn(key, None), None
        if value is not None:
            held[key] = value
        self.follower.learn(changes)

    def clear(self) -> None:
        for where in ("tiers", "profiles", "sets", "policies", "hosts", "workloads"):
            for key in list(getattr(self.world, where)):
                self.take(key, None, where)


def parts(entity: EntityRule) -> dict[str, Any]:
    return {name: getattr(entity, name) for name in entity.__struct_fields__ if name != "unknown"}
