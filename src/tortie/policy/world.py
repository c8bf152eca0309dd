"""Questions to the policy without a cluster: who may speak to whom, and which rule says so."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tortie.base.errors import Invalid
from tortie.base.meant import meant
from tortie.model.kinds.global_network_set import GLOBAL_NETWORK_SET
from tortie.model.kinds.host_endpoint import HOST_ENDPOINT
from tortie.model.kinds.network_set import NETWORK_SET
from tortie.model.kinds.profile import DEFAULT_ALLOW, PROFILE
from tortie.model.kinds.tier import BUILT_IN, TIER
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.model.resource import Kind, Resource
from tortie.model.selector import parse
from tortie.policy import names
from tortie.policy.compile import PROTOCOLS, WITH_PORTS
from tortie.policy.engine import PolicyEngine
from tortie.policy.policies import POLICIES, tier_of
from tortie.policy.unreadable import stand_in
from tortie.policy.values import Construct, Resolved, ResolvedHost
from tortie.policy.verdict import Packet, Verdict

EPHEMERAL = 49152
ECHOES = {PROTOCOLS["ICMP"]: (8, 0), PROTOCOLS["ICMPV6"]: (128, 0)}
"""An echo request, by protocol."""
NAMES = {number: name.lower() for name, number in PROTOCOLS.items()}


@dataclass(frozen=True, slots=True)
class Service:
    """What is asked for: a protocol's number, and a port where the protocol has ports."""

    protocol: int
    port: int = 0
    icmp: tuple[int, int] | None = None

    @classmethod
    def parse(cls, text: str) -> Service:
        """`tcp/80`, `icmp` (an echo request), `icmp/TYPE`, `icmp/TYPE/CODE`, `47`. Invalid says what is wrong."""
        word, slash, rest = text.partition("/")
        number = PROTOCOLS.get(word.upper()) or (_number(word) if word.isascii() else -1)
        if not 1 <= number <= 255:
            known = "tcp, udp, icmp, icmpv6, sctp, udplite or 1 to 255"
            raise Invalid(f"{text!r}: {word!r} is no protocol{meant(word.lower(), map(str.lower, PROTOCOLS))}: {known}")
        if number in ECHOES:
            return cls(number, icmp=_icmp(text, rest) if slash else ECHOES[number])
        if number not in WITH_PORTS:
            if slash:
                raise Invalid(f"{text!r}: {word} has no ports")
            return cls(number)
        if not rest:
            raise Invalid(f"{text!r}: {word} needs a port, as in {word}/80")
        if not 1 <= _number(rest) <= 65535:
            raise Invalid(f"{text!r}: port {rest!r} is not between 1 and 65535")
        return cls(number, _number(rest))

    def __str__(self) -> str:
        name = NAMES.get(self.protocol, str(self.protocol))
        if self.port:
            return f"{name}/{self.port}"
        if self.icmp is None or self.icmp == ECHOES.get(self.protocol):
            return name
        return f"{name}/{self.icmp[0]}" + (f"/{self.icmp[1]}" if self.icmp[1] else "")

    def packet(self, source: str, destination: str) -> Packet:
        """The first packet of such a flow."""
        icmp = self.icmp or ECHOES.get(self.protocol)
        return Packet(source, destination, self.protocol, EPHEMERAL if self.port else 0, self.port, icmp)


def _number(text: str) -> int:
    """-1 for what is no number."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else -1


def _icmp(text: str, rest: str) -> tuple[int, int]:
    kind, slash, code = rest.partition("/")
    if not 0 <= _number(kind) <= 255 or (slash and not 0 <= _number(code) <= 255):
        raise Invalid(f"{text!r}: type and code of icmp are numbers of 0 to 255, as in icmp/8 or icmp/3/1")
    return _number(kind), _number(code) if slash else 0


@dataclass(frozen=True, slots=True)
class Conversation:
    """Whether a flow may begin. `leaves`: the verdict at the source's endpoint, `enters`: at the destination's; None
    for a side that has no endpoint of ours and is therefore not asked."""

    packet: Packet
    leaves: Verdict | None
    enters: Verdict | None

    @property
    def allowed(self) -> bool:
        return all(verdict.allowed for verdict in (self.leaves, self.enters) if verdict is not None)


@dataclass(frozen=True, slots=True)
class Party:
    """One end of a conversation. `key` None: an address that belongs to no endpoint."""

    address: str
    key: str | None = None


class World:
    """The resources of a cluster, or of files alone. Everything is judged as the policy means it, rendered or not."""

    def __init__(self, resources: Iterable[Resource[Any]] = ()) -> None:
        self._engine = PolicyEngine(None, frozenset(Construct))
        self._held: dict[str, Resource[Any]] = {}
        self._of_kind: dict[str, set[str]] = {}
        for name, spec in BUILT_IN.items():
            self._engine.set_tier(name, tier_of(spec))
        for resource in (DEFAULT_ALLOW, *resources):
            self.put(resource)

    @property
    def engine(self) -> PolicyEngine:
        return self._engine

    def put(self, resource: Resource[Any]) -> None:
        """Add a resource or replace the one of its name. Kinds that policy does not depend on are no error.

        Invalid when a policy's selector cannot be read; the world is then as before."""
        self._learn(resource.key, resource.kind.name, resource.metadata.name, resource)
        self._held[resource.key] = resource
        self._of_kind.setdefault(resource.kind.name, set()).add(resource.key)

    def put_unreadable(self, kind: Kind[Any], key: str, value: bytes, why: str) -> None:
        """What a store holds under a key and nobody here can read: it closes whom it may be about, as on every host."""
        if kind.name == PROFILE.name:
            self._engine.set_unreadable_profile(kind.parse_key(key)[1], why)
        elif (found := stand_in(kind, key, value, why)) is not None:
            self._engine.set_compiled(key, found)

    def drop(self, resource: Resource[Any]) -> None:
        """Remove the resource of that kind and name."""
        if self._held.pop(resource.key, None) is not None:
            self._of_kind[resource.kind.name].discard(resource.key)
            self._learn(resource.key, resource.kind.name, resource.metadata.name, None)

    def _learn(self, key: str, kind: str, name: str, resource: Resource[Any] | None) -> None:
        if kind == WORKLOAD_ENDPOINT.name:
            self._engine.set_endpoint(key, resource)
        elif kind == HOST_ENDPOINT.name:
            self._engine.set_host_endpoint(key, resource)
        elif kind in (NETWORK_SET.name, GLOBAL_NETWORK_SET.name):
            self._engine.set_network_set(key, resource)
        elif kind == PROFILE.name:
            self._engine.set_profile(name, resource.spec if resource else None)
        elif kind == TIER.name:
            gone = tier_of(BUILT_IN[name]) if name in BUILT_IN else None
            self._engine.set_tier(name, tier_of(resource.spec) if resource else gone)
        elif kind in {policy.name for policy in POLICIES}:
            self._engine.set_policy(key, resource)

    def endpoints(self) -> Mapping[str, Resolved]:
        """The workload endpoints by key."""
        return self._engine.local()

    def find(self, name: str) -> Party:
        """By `namespace/endpoint`, a name of an endpoint, workload, container, pod or task, or an address.

        NotFound for none, Invalid for several."""
        local = self._engine.local()
        if is_address(name):
            address = str(ipaddress.ip_address(name))
            keys = [key for key, value in local.items() if address in value.addresses]
            return Party(address, min(keys, default=None))
        key = names.find(name, {key: self._held[key] for key in local})
        return Party(local[key].addresses[0], key)

    def select(self, selector: str) -> frozenset[str]:
        """The keys of the workload endpoints that a selector matches, by their own labels and inherited ones."""
        local = self._engine.local()
        return frozenset(key for key in self._engine.select(parse(selector).canonical) if key in local)

    def title(self, key: str) -> str:
        """The name of an endpoint that says most to a person."""
        return names.title(self._held[key])

    def held(self, key: str) -> Resource[Any] | None:
        """The resource of a key."""
        return self._held.get(key)

    def all_of(self, kind: Kind[Any]) -> list[Resource[Any]]:
        """The resources of a kind, in the order of their keys."""
        return [self._held[key] for key in sorted(self._of_kind.get(kind.name, ()))]

    def converse(self, source: Party, destination: Party, service: Service) -> Conversation:
        """Both sides of one flow between two parties on different hosts or the same."""
        local, evaluator = self._engine.local(), self._engine.evaluator()
        packet = service.packet(source.address, destination.address)
        leaves = evaluator.egress(local[source.key], packet) if source.key is not None else None
        enters = evaluator.ingress(local[destination.key], packet) if destination.key is not None else None
        return Conversation(packet, leaves, enters)

    def verdict(self, source: str, destination: str, service: str) -> Conversation:
        """As `converse`, by names: `world.verdict("web", "db", "tcp/5432")`."""
        return self.converse(self.find(source), self.find(destination), Service.parse(service))

    def host(self, name: str, direction: Literal["ingress", "egress"], packet: Packet) -> Verdict:
        """Traffic of a host's own processes through its host endpoint. A host without one is not policed."""
        resolved = self._host(name)
        if resolved is None:
            return Verdict(True, "no host endpoint")
        return self._engine.evaluator().host_traffic(resolved, direction, packet)

    def _host(self, name: str) -> ResolvedHost | None:
        found = {k: v for k, v in self._engine.local_hosts().items() if self._held[k].spec.node == name}
        named = sorted(key for key in found if found[key].interface != "*")
        return found[(named or sorted(found))[0]] if found else None


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
