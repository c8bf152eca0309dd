"""Questions to the policy without a cluster: who may speak to whom, and which rule says so."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tortie.base.errors import Invalid, NotFound
from tortie.model.kinds.global_network_set import GLOBAL_NETWORK_SET
from tortie.model.kinds.host_endpoint import HOST_ENDPOINT
from tortie.model.kinds.network_set import NETWORK_SET
from tortie.model.kinds.profile import PROFILE
from tortie.model.kinds.tier import BUILT_IN, TIER
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.model.resource import Resource
from tortie.policy.compile import PROTOCOLS, WITH_PORTS
from tortie.policy.engine import PolicyEngine
from tortie.policy.policies import POLICIES, tier_of
from tortie.policy.values import Construct, Resolved, ResolvedHost
from tortie.policy.verdict import Packet, Verdict

EPHEMERAL = 49152
ECHO = (8, 0)
ECHO6 = (128, 0)


@dataclass(frozen=True, slots=True)
class Service:
    """What is asked for: a protocol's number, and a port where the protocol has ports."""

    protocol: int
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Service:
        """`tcp/80`, `icmp`, `47`. Invalid says what is wrong."""
        word, _, port = text.partition("/")
        number = PROTOCOLS.get(word.upper()) or (int(word) if word.isdecimal() else 0)
        if not 1 <= number <= 255:
            raise Invalid(f"{text!r}: {word!r} is no protocol: tcp, udp, icmp, icmpv6, sctp, udplite or 1 to 255")
        if bool(port) != (number in WITH_PORTS):
            raise Invalid(f"{text!r}: {word} {'has no ports' if port else 'needs a port, as in ' + word + '/80'}")
        if port and not (port.isdecimal() and 1 <= int(port) <= 65535):
            raise Invalid(f"{text!r}: port {port!r} is not between 1 and 65535")
        return cls(number, int(port or 0))

    def packet(self, source: str, destination: str) -> Packet:
        """The first packet of such a flow; of ICMP an echo request."""
        icmp = {PROTOCOLS["ICMP"]: ECHO, PROTOCOLS["ICMPV6"]: ECHO6}.get(self.protocol)
        return Packet(source, destination, self.protocol, EPHEMERAL if self.port else 0, self.port, icmp)


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
        for name, spec in BUILT_IN.items():
            self._engine.set_tier(name, tier_of(spec))
        for resource in resources:
            self.put(resource)

    @property
    def engine(self) -> PolicyEngine:
        return self._engine

    def put(self, resource: Resource[Any]) -> None:
        """Add a resource or replace the one of its name. Kinds that policy does not depend on are no error.

        Invalid when a policy's selector cannot be read; the world is then as before."""
        self._learn(resource.key, resource.kind.name, resource.metadata.name, resource)
        self._held[resource.key] = resource

    def drop(self, resource: Resource[Any]) -> None:
        """Remove the resource of that kind and name."""
        if self._held.pop(resource.key, None) is not None:
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
        """By `namespace/endpoint`, a name, a workload or container id that one endpoint alone has, or an address.

        NotFound for none, Invalid for several."""
        local = self._engine.local()
        if _is_address(name):
            keys = [key for key, value in local.items() if name in value.addresses]
            return Party(name, min(keys, default=None))
        found = [key for key in local if name and name in self._names(key)]
        if not found:
            raise NotFound(f"no endpoint is called {name!r}")
        if len(found) > 1:
            listed = ", ".join(sorted(self.title(key) for key in found))
            raise Invalid(f"{name!r} is more than one endpoint: {listed}")
        return Party(local[found[0]].addresses[0], found[0])

    def title(self, key: str) -> str:
        """`namespace/endpoint`."""
        metadata = self._held[key].metadata
        return f"{metadata.namespace}/{metadata.name}"

    def _names(self, key: str) -> tuple[str, ...]:
        resource = self._held[key]
        spec = resource.spec
        return (self.title(key), resource.metadata.name, spec.workload, spec.container_id, spec.pod)

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


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
