"""Everything that may stop one flow, in the order in which it meets it. Pure.

A flow between two workloads leaves the one and enters the other. A host's own processes, and what a host forwards,
meet its host endpoints. A host's way to its own workloads is not policed at all.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tortie.base.errors import Invalid, NotFound
from tortie.base.meant import meant
from tortie.policy.compile import PROTOCOLS
from tortie.policy.hosts import Hosts
from tortie.policy.values import Direction, Resolved, ResolvedHost
from tortie.policy.verdict import Packet, Verdict
from tortie.policy.world import Service, World, is_address

HOST = "host:"
Role = Literal["workload", "host", "address"]
Side = Literal["leaves", "enters", "forwarded"]


@dataclass(frozen=True, slots=True)
class End:
    """One end of a flow. `key`: of a workload's endpoint; `node`: the host on which it is, or which it is; `floating`:
    the address by which it was asked for, when that is not its own."""

    role: Role
    title: str
    addresses: tuple[str, ...]
    key: str | None = None
    node: str | None = None
    floating: str | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """One place where the flow is judged. `at`: the endpoint's title; `key`: its resource."""

    side: Side
    at: str
    key: str
    direction: Direction
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Answer:
    """`stages` in the order of the way, up to its end even behind a refusal."""

    source: End
    destination: End
    service: Service
    packet: Packet
    stages: tuple[Stage, ...] = ()

    @property
    def allowed(self) -> bool:
        return all(stage.verdict.allowed for stage in self.stages)


class Way:
    """Asks a world for whole ways. Knows the hosts once; make a new one after a change."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.hosts = Hosts(world)
        self._local = world.endpoints()
        self._evaluator = world.engine.evaluator()

    def end(self, name: str) -> End:
        """`host:NAME`, an address, or a name of an endpoint. NotFound for nobody, Invalid for several."""
        if name.startswith(HOST):
            return self._host(name.removeprefix(HOST))
        if is_address(name):
            return self._of_address(str(ipaddress.ip_address(name)))
        try:
            return self.workload(str(self.world.find(name).key))
        except NotFound as error:
            if name in self.hosts.addresses:
                raise NotFound(f"{error}\n{name} is a host: type {HOST}{name}") from error
            raise

    def workload(self, key: str) -> End:
        resource = self.world.held(key)
        assert resource is not None
        return End("workload", self.world.title(key), self._local[key].addresses, key, resource.spec.node or None)

    def _host(self, name: str) -> End:
        addresses = self.hosts.addresses.get(name)
        if addresses is None:
            there = ", ".join(sorted(self.hosts.addresses)) or "none"
            raise NotFound(f"no host is called {name!r}{meant(name, self.hosts.addresses)}\nthere are: {there}")
        if not addresses:
            raise Invalid(
                f"host {name} has no address: a Node with spec.bgp.ipv4Address or spec.addresses, or a HostEndpoint "
                "with expectedIPs, gives it one"
            )
        return End("host", f"{HOST}{name}", addresses, node=name)

    def _of_address(self, address: str) -> End:
        key = self.world.find(address).key
        if key is not None:
            return replace(self.workload(key), addresses=(address,))
        floating = self._floating(address)
        if floating is not None:
            return floating
        node = self.hosts.of_address(address)
        if node is not None:
            return End("host", f"{HOST}{node}", (address,), node=node)
        return End("address", address, (address,))

    def _floating(self, address: str) -> End | None:
        """Whose floating address this is, where the host of that workload turns them into its own."""
        for key, value in self._local.items():
            own = dict(value.floating).get(address)
            end = self.workload(key) if own is not None else None
            if end is not None and own is not None and end.node and self.hosts.rules(end.node).floating:
                return replace(end, addresses=(own,), floating=address)
        return None

    def ask(self, source: End, destination: End, service: Service) -> Answer:
        """The whole way of the first packet of a flow. Invalid when the two have no IP version in common."""
        packet = service.packet(*addresses_of(source, destination, service))
        return Answer(source, destination, service, packet, tuple(self._stages(source, destination, packet)))

    def _stages(self, source: End, destination: End, packet: Packet) -> Iterator[Stage]:
        same = source.node is not None and source.node == destination.node
        if source.role == "workload" and source.key is not None:
            if same and destination.role == "host":
                yield self._to_own_host(source.key, str(source.node), packet)
                return
            yield Stage("leaves", source.title, source.key, "egress", self._evaluator.egress(self._at(source), packet))
        elif source.role == "host":
            if same:
                return
            yield from self._own_traffic("leaves", str(source.node), packet.source, "egress", packet)
        if source.role == "workload" and source.node is not None:
            out = self.hosts.every_interface(source.node) if same else self.hosts.uplink(source.node)
            yield from self._forwarded(
                self.hosts.every_interface(source.node), "ingress", source.node, packet, from_workload=True
            )
            yield from self._forwarded(out, "egress", source.node, packet)
            if not same:
                packet = self._as_seen_outside(source.node, packet)
        if destination.role == "workload" and destination.key is not None:
            if not same and destination.node is not None:
                into = self.hosts.uplink(destination.node)
                yield from self._forwarded(into, "ingress", destination.node, packet)
                every = self.hosts.every_interface(destination.node)
                yield from self._forwarded(every, "egress", destination.node, packet)
            verdict = self._evaluator.ingress(self._at(destination), packet)
            yield Stage("enters", destination.title, destination.key, "ingress", verdict)
        elif destination.role == "host":
            yield from self._own_traffic("enters", str(destination.node), packet.destination, "ingress", packet)

    def _at(self, end: End) -> Resolved:
        return self._local[str(end.key)]

    def _to_own_host(self, key: str, node: str, packet: Packet) -> Stage:
        rules = self.hosts.rules(node)
        every = self.hosts.every_interface(node)
        verdict = self._evaluator.to_host(
            self._local[key],
            packet,
            action=rules.endpoint_to_host,
            host_services=rules.host_services,
            host=every[1] if every else None,
            failsafes=rules.failsafe_in,
        )
        return Stage("leaves", self.world.title(key), key, "egress", verdict)

    def _own_traffic(
        self, side: Side, node: str, address: str, direction: Direction, packet: Packet
    ) -> Iterator[Stage]:
        found = self.hosts.uplink(node, address)
        if found is not None:
            rules = self.hosts.rules(node)
            ports = rules.failsafe_in if direction == "ingress" else rules.failsafe_out
            verdict = self._evaluator.host_traffic(found[1], direction, packet, ports)
            yield Stage(side, f"{HOST}{node}", found[0], direction, verdict)

    def _forwarded(
        self,
        found: tuple[str, ResolvedHost] | None,
        direction: Direction,
        node: str,
        packet: Packet,
        *,
        from_workload: bool = False,
    ) -> Iterator[Stage]:
        """Only where there is a policy about it."""
        if found is not None:
            verdict = self._evaluator.forwarded(found[1], direction, packet, from_workload=from_workload)
            if verdict.steps or not verdict.allowed:
                yield Stage("forwarded", f"{HOST}{node}", found[0], direction, verdict)

    def _as_seen_outside(self, node: str, packet: Packet) -> Packet:
        hidden = self.hosts.hidden_behind(node, packet.source, packet.destination)
        return packet if hidden is None else replace(packet, source=hidden)

    def notes(self, answer: Answer) -> Iterator[str]:
        """What else a person should know."""
        source, destination = answer.source, answer.destination
        same = source.node is not None and source.node == destination.node
        if source.role == "host" and same:
            yield f"a host reaches its own {'containers' if destination.key else 'addresses'} whatever the policy says"
        if source.role == "workload" and source.node is not None and not same:
            seen = self._as_seen_outside(source.node, answer.packet)
            if seen != answer.packet:
                yield f"beyond {source.node} the source is {seen.source}: the pool has natOutgoing"
        for end, word in ((source, "leave"), (destination, "enter")):
            if end.floating is not None:
                yield f"{end.floating} is a floating address of {end.title}: rules see {end.addresses[0]}"
            if end.role == "address":
                yield f"{end.title} is no endpoint or host that is known here: nothing is asked where packets {word} it"
            elif end.role == "host" and not same and self.hosts.uplink(str(end.node)) is None:
                yield f"host {end.node} has no host endpoint: its own traffic is not policed"


def addresses_of(source: End, destination: End, service: Service) -> tuple[str, str]:
    """The first two addresses of one IP version, IPv4 first; Invalid when there are none, or ICMP is of the other."""
    for version in _versions(service):
        pair = [_first(end.addresses, version) for end in (source, destination)]
        if pair[0] is not None and pair[1] is not None:
            return pair[0], pair[1]
    own = [f"{end.title} has {', '.join(end.addresses)}" for end in (source, destination)]
    raise Invalid(f"no two addresses of one IP version for {service}: {'; '.join(own)}")


def _versions(service: Service) -> Sequence[int]:
    return {PROTOCOLS["ICMP"]: (4,), PROTOCOLS["ICMPV6"]: (6,)}.get(service.protocol, (4, 6))


def _first(addresses: Sequence[str], version: int) -> str | None:
    return next((text for text in addresses if ipaddress.ip_address(text).version == version), None)
