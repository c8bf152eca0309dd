"""Random resources for the differential test, and random changes of them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from tests.differential.net import HOSTS, OUTSIDERS, WORKLOADS

from tortie.model.kinds.felix_configuration import FelixConfigurationSpec, HostPort
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.kinds.global_network_set import GLOBAL_NETWORK_SET, GlobalNetworkSetSpec
from tortie.model.kinds.host_endpoint import HOST_ENDPOINT, HostEndpointSpec
from tortie.model.kinds.network_policy import NETWORK_POLICY, NetworkPolicySpec
from tortie.model.kinds.network_set import NETWORK_SET, NetworkSetSpec
from tortie.model.kinds.profile import PROFILE, ProfileSpec
from tortie.model.kinds.staged_global_network_policy import (
    STAGED_GLOBAL_NETWORK_POLICY,
    StagedGlobalNetworkPolicySpec,
)
from tortie.model.kinds.tier import TIER, TierSpec
from tortie.model.kinds.workload_endpoint import (
    WORKLOAD_ENDPOINT,
    EndpointPort,
    Nat,
    WorkloadEndpointSpec,
    endpoint_name,
)
from tortie.model.resource import Kind, Metadata, Resource
from tortie.model.rule import EntityRule, Icmp, Rule

SPACES = ("red", "blue")
PROFILES = ("p1", "p2", "p3")
SELECTORS = (
    "all()", "app == 'web'", "app != 'web'", "has(tag)", "!has(tag)", "app in {'db', 'web'}",
    "app == 'db' || has(tag)", "role == 'host'", "has(net)", "!has(net)", "tag == 'x' && app != 'db'",
)  # fmt: skip
NETS4 = ("10.65.0.0/16", "10.65.0.0/24", "10.65.0.1/32", "10.65.1.0/25", "10.9.0.0/24", "10.8.0.9/32", "0.0.0.0/0",
         "10.9.0.2/32", "10.64.0.0/10", "10.65.0.0/31", "10.65.0.2/31")  # fmt: skip
NETS6 = ("fd65::/64", "fd65::1/128", "fd65::1:0/112", "fd09::/64", "fd08::9/128", "::/0", "fd65::2/127", "fd09::2/128")
PORTS: tuple[int | str, ...] = (80, 443, "80:90", "8000:9000", "http", "dns", 53, 4000, "web")
NAMED = (
    EndpointPort(name="http", protocol="TCP", port=8080),
    EndpointPort(name="dns", protocol="UDP", port=53),
    EndpointPort(name="web", protocol="TCP", port=80),
    EndpointPort(name="web", protocol="UDP", port=80),
)
POLICIES, HOST_ENDPOINTS, SETS = 10, 5, 3
TIERS = ("", "default", "first", "second", "lost")


class Source:
    """Random values from one seed."""

    def __init__(self, seed: int) -> None:
        self.pick = random.Random(seed)

    def some(self, options: Sequence[Any], chance: float) -> Any:
        return self.pick.choice(options) if self.pick.random() < chance else None

    def labels(self, **fixed: str) -> dict[str, str]:
        found = {"app": self.some(("web", "db"), 0.8), "tag": self.some(("x", ""), 0.4)}
        return fixed | {key: value for key, value in found.items() if value is not None}

    def nets(self) -> tuple[str, ...]:
        return tuple(self.pick.sample(NETS4 + NETS6, self.pick.randint(1, 4)))

    def side(self, most: int = 2) -> dict[str, Any]:
        """A few conditions: with many no packet would ever match."""
        kinds = ("nets", "not_nets", "selector", "selector", "not_selector", "namespace_selector")
        found: dict[str, Any] = {}
        for kind in self.pick.sample(kinds, self.pick.choice((0, 0, 1, 1, most))):
            if kind.endswith("nets"):
                found[kind] = self.nets()
            elif kind == "namespace_selector":
                found[kind] = self.pick.choice(("all()", "global()"))
            else:
                found[kind] = self.pick.choice(SELECTORS if kind == "selector" else SELECTORS[1:])
        return found

    def ports(self, known: Sequence[int | str]) -> dict[str, Any]:
        wanted = tuple(self.pick.sample(known, self.pick.randint(1, min(3, len(known)))))
        without = tuple(self.pick.sample(known, 1))
        return self.pick.choice(
            ({}, {"ports": wanted}, {"ports": wanted}, {"not_ports": without}, {"not_ports": wanted})
        )

    def rule(self, actions: Sequence[Any]) -> Rule:
        protocol = self.pick.choice((None, None, "TCP", "UDP", 6, "ICMP", "ICMPv6"))
        destination, fields = self.side(), dict[str, Any]()
        if protocol in ("TCP", "UDP", 6):
            destination |= self.ports(PORTS)
        elif protocol is None and self.pick.random() < 0.2:
            destination |= self.ports(("http", "web"))
        elif protocol is None:
            fields = {"not_protocol": self.some(("TCP", "UDP", "ICMP", 58), 0.3), "ip_version": self.some((4, 6), 0.2)}
        else:
            kinds = (8, 13) if protocol == "ICMP" else (128,)
            matches = [Icmp(type=t, code=c) for t in kinds for c in (None, 0, 1)]
            fields = {self.pick.choice(("icmp", "not_icmp")): self.some(matches, 0.8)}
        action = self.pick.choice(actions)
        return Rule(
            action=action,
            protocol=protocol,
            source=EntityRule(**self.side()),
            destination=EntityRule(**destination),
            **fields,
        )

    def rules(
        self, most: int = 4, actions: Sequence[str] = ("Allow", "Deny", "Deny", "Pass", "Log")
    ) -> tuple[Rule, ...]:
        """The last one mostly lets everything through: what stands behind is to be asked too."""
        found = [self.rule(actions) for _ in range(self.pick.randint(0, most))]
        last = self.some(("Allow", "Pass", "Pass", "Allow", "Deny"), 0.8)
        return (*found, Rule(action=last)) if last else tuple(found)

    # resources

    def workload(self, name: str) -> Resource[Any]:
        host, four, six = WORKLOADS[name]
        space = SPACES[int(name[1:]) % 2]
        spec = WorkloadEndpointSpec(
            orchestrator="cni", workload=name, node=host, endpoint="eth0", container_id=name,
            ip_networks=(f"{four}/32", f"{six}/128"), interface_name=f"cali{name}",
            profiles=tuple(self.pick.sample(PROFILES, self.pick.randint(1, 3))),
            ports=tuple(port for port in NAMED if self.pick.random() < 0.5),
            ip_nats=(Nat(internal_ip=four, external_ip="203.0.113.7"),) if self.pick.random() < 0.3 else (),
            allow_spoofed_source_prefixes=self.some((("198.51.100.0/24", "fd99::/64"),), 0.3) or (),
        )  # fmt: skip
        return made(WORKLOAD_ENDPOINT, spec, endpoint_name(host, "cni", name, "eth0"), space, self.labels())

    def host_endpoint(self, number: int) -> Resource[Any]:
        host = ("h1", "h1", "h2", "h2", "h1")[number]
        name, addresses = self.pick.choice(
            (("*", ()), ("*", HOSTS[host]), ("eth0", ()), ("eth0", HOSTS[host]), ("", HOSTS[host]), ("eth1", ()))
        )
        spec = HostEndpointSpec(
            node=host, interface_name=name, expected_ips=tuple(addresses),
            profiles=tuple(self.pick.sample(PROFILES, self.pick.randint(0, 2))),
            ports=tuple(port for port in NAMED if self.pick.random() < 0.3),
        )  # fmt: skip
        return made(HOST_ENDPOINT, spec, f"hep{number}", None, self.labels(role="host"))

    def profile(self, name: str) -> Resource[Any]:
        spec = ProfileSpec(
            ingress=self.rules(3),
            egress=self.rules(3),
            labels_to_apply=self.labels() if self.pick.random() < 0.4 else {},
        )
        return made(PROFILE, spec, name)

    def network_set(self, number: int) -> Resource[Any]:
        nets = tuple(self.pick.sample(NETS4[:-1] + NETS6, self.pick.randint(1, 5)))
        if number == 0:
            return made(NETWORK_SET, NetworkSetSpec(nets=nets), "set0", SPACES[0], self.labels(net="yes"))
        return made(GLOBAL_NETWORK_SET, GlobalNetworkSetSpec(nets=nets), f"set{number}", None, self.labels(net="yes"))

    def tier(self, name: str) -> Resource[Any]:
        spec = TierSpec(order=self.some((1, 3), 0.7), default_action=self.some(("Pass", "Deny"), 0.8))
        return made(TIER, spec, name)

    def policy(self, number: int) -> Resource[Any]:
        head: dict[str, Any] = {
            "tier": self.pick.choice(TIERS),
            "order": self.some((1, 2, 2.5), 0.8),
            "selector": self.pick.choice(SELECTORS),
            "types": self.pick.choice((("Ingress",), ("Egress",), ("Ingress", "Egress"))),
            "ingress": self.rules(),
            "egress": self.rules(),
        }
        if number < 2:
            return made(NETWORK_POLICY, NetworkPolicySpec(**head), f"np{number}", SPACES[number])
        if number == 2:
            return made(STAGED_GLOBAL_NETWORK_POLICY, StagedGlobalNetworkPolicySpec(**head), "staged")
        where: dict[str, Any] = {}
        if number in (3, 4):
            where = {"apply_on_forward": True}
        elif number == 5:
            where = {"do_not_track": True, "apply_on_forward": True}
        elif number == 6:
            where = {"pre_dnat": True, "apply_on_forward": True}
            head |= {"types": ("Ingress",), "egress": ()}
        if where:
            head["selector"] = self.pick.choice(("role == 'host'", "role == 'host' && app == 'web'", "all()"))
        return made(GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec(**head, **where), f"gnp{number}")

    def settings(self) -> FelixConfigurationSpec:
        some = self.some
        ports = (HostPort(protocol="TCP", port=22, net="10.9.0.0/24"), HostPort(protocol="UDP", port=53))
        return FelixConfigurationSpec(
            default_endpoint_to_host_action=self.pick.choice(("Return", "Accept", "Drop")),
            host_services=some(("Enabled", "Disabled"), 0.7),
            failsafe_inbound_host_ports=some(((), ports), 0.5),
            failsafe_outbound_host_ports=some(((), ports), 0.5),
            nftables_mark_mask=some((0xF000, 0x3), 0.4),
            nftables_filter_deny_action=some(("Reject", "Drop"), 0.5),
        )

    # changes

    def first(self) -> Iterator[Resource[Any]]:
        """What a history begins with."""
        yield made(TIER, TierSpec(order=1000000.0, default_action="Deny"), "default")
        yield from map(self.workload, WORKLOADS)
        yield from map(self.profile, PROFILES)
        yield from map(self.network_set, range(SETS))
        for make, count in ((self.policy, POLICIES), (self.host_endpoint, HOST_ENDPOINTS)):
            yield from map(make, self.pick.sample(range(count), count // 2))

    def change(self) -> tuple[Resource[Any], bool]:
        """A resource, and whether it is put or dropped."""
        makers = (
            lambda: (self.workload(self.pick.choice(list(WORKLOADS))), 1.0),
            lambda: (self.profile(self.pick.choice(PROFILES)), 0.95),
            lambda: (self.network_set(self.pick.randrange(SETS)), 0.7),
            lambda: (self.tier(self.pick.choice(TIERS[1:4])), 0.7),
            lambda: (self.host_endpoint(self.pick.randrange(HOST_ENDPOINTS)), 0.6),
            lambda: (self.policy(self.pick.randrange(POLICIES)), 0.7),
            lambda: (self.policy(self.pick.randrange(POLICIES)), 0.7),
        )
        resource, chance = self.pick.choice(makers)()
        return resource, self.pick.random() < chance


def made(
    kind: Kind[Any], spec: Any, name: str, space: str | None = None, labels: dict[str, str] | None = None
) -> Resource[Any]:
    return Resource(kind=kind, metadata=Metadata(name=name, namespace=space, labels=labels or {}), spec=spec)


def addresses() -> dict[str, tuple[str, str]]:
    """Of every party."""
    return {**HOSTS, **OUTSIDERS, **{name: (four, six) for name, (_, four, six) in WORKLOADS.items()}}
