"""What the policy says of one new flow, and the rule that decided: the same values that the kernel's rules are made of.

Thin on purpose: it walks the resolved lists in their order, as an operator would read them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tortie.policy.values import CompiledRule, Direction, IcmpMatch, PortRange, Resolved, RuleLists, Side

DHCP, DNS, UDP, VXLAN, IPIP = (68, 67), 53, 17, 4789, 4


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a flow. Ports matter for protocols that have them, type and code for ICMP."""

    source: str
    destination: str
    protocol: int
    source_port: int = 0
    destination_port: int = 0
    icmp: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`by`: who decided, in words; `rule`: its place in the list, None where no rule of a list did."""

    allowed: bool
    by: str
    rule: int | None = None


Profiles = Callable[[str], RuleLists | None]
Members = Callable[[str], frozenset[str]]


@dataclass(frozen=True, slots=True)
class Evaluator:
    """`profile` finds the rules of a profile, None if it does not exist; `members` the addresses of a selector."""

    profile: Profiles
    members: Members

    def egress(self, endpoint: Resolved, packet: Packet) -> Verdict:
        """At the source, for a packet that is forwarded; its source must be the endpoint's own."""
        if (illegal := self._illegal_source(endpoint, packet)) is not None:
            return illegal
        return self._walk(endpoint, "egress", packet)

    def ingress(self, endpoint: Resolved, packet: Packet) -> Verdict:
        """At the destination, for a packet that does not come from its own host."""
        return self._walk(endpoint, "ingress", packet)

    def to_host(
        self,
        endpoint: Resolved,
        packet: Packet,
        *,
        action: Literal["Drop", "Return", "Accept"],
        host_services: bool,
    ) -> Verdict:
        """From an endpoint to its own host."""
        ports = (packet.source_port, packet.destination_port)
        if host_services and packet.protocol == UDP and ports == DHCP and packet.source == "0.0.0.0":
            return Verdict(True, "hostServices: DHCP")
        if (illegal := self._illegal_source(endpoint, packet)) is not None:
            return illegal
        if host_services and packet.protocol == UDP and (packet.destination_port == DNS or ports == DHCP):
            return Verdict(True, "hostServices")
        if action == "Drop":
            return Verdict(False, "defaultEndpointToHostAction Drop")
        found = self._walk(endpoint, "egress", packet)
        return Verdict(True, f"defaultEndpointToHostAction {action}", None) if found.allowed else found

    def _illegal_source(self, endpoint: Resolved, packet: Packet) -> Verdict | None:
        if packet.source not in endpoint.addresses:
            return Verdict(False, f"{packet.source} is not an address of {endpoint.interface}")
        if ipaddress.ip_address(packet.destination).is_loopback:
            return Verdict(False, "the host's loopback is not for workloads")
        return None

    def _walk(self, endpoint: Resolved, direction: Direction, packet: Packet) -> Verdict:
        if (closed := self._closed(endpoint)) is not None:
            return closed
        if direction == "egress" and (
            packet.protocol == IPIP or (packet.protocol == UDP and packet.destination_port == VXLAN)
        ):
            return Verdict(False, "encapsulated packets from workloads")
        for name in endpoint.profiles:
            rules = self.profile(name)
            if rules is None:
                return Verdict(False, f"profile {name} does not exist")
            found = self._first(f"profile {name}", direction, rules.of(direction), packet)
            if found is not None:
                return found
        return Verdict(False, "no rule of its profiles matched")

    def _closed(self, endpoint: Resolved) -> Verdict | None:
        """An endpoint with anything that cannot be enforced is closed in both directions."""
        problems = list(endpoint.problems)
        if endpoint.ingress_tiers or endpoint.egress_tiers:
            problems.append("policies in tiers cannot be enforced")
        for name in endpoint.profiles:
            rules = self.profile(name)
            problems += rules.problems if rules is not None else ()
        return Verdict(False, f"closed: {problems[0]}") if problems else None

    def _first(self, owner: str, direction: Direction, rules: Sequence[CompiledRule], packet: Packet) -> Verdict | None:
        for index, rule in enumerate(rules):
            if rule.action == "Log" or not self._matches(rule, packet):
                continue
            if rule.action == "Pass":
                return None
            return Verdict(rule.action == "Allow", f"{owner} {direction}", index)
        return None

    def _matches(self, rule: CompiledRule, packet: Packet) -> bool:
        version = ipaddress.ip_address(packet.source).version
        return (
            rule.ip_version in (None, version)
            and rule.protocol in (None, packet.protocol)
            and (rule.not_protocol is None or rule.not_protocol != packet.protocol)
            and (rule.icmp is None or _icmp(rule.icmp, packet))
            and (rule.not_icmp is None or not _icmp(rule.not_icmp, packet))
            and self._side(rule.source, packet.source, packet.source_port)
            and self._side(rule.destination, packet.destination, packet.destination_port)
        )

    def _side(self, side: Side, address: str, port: int) -> bool:
        return (
            (not side.nets or _in_nets(address, side.nets))
            and (not side.not_nets or not _in_nets(address, side.not_nets))
            and (side.selector is None or address in self.members(side.selector))
            and (side.not_selector is None or address not in self.members(side.not_selector))
            and (not side.ports or _in_ports(port, side.ports))
            and (not side.not_ports or not _in_ports(port, side.not_ports))
        )


def _icmp(match: IcmpMatch, packet: Packet) -> bool:
    return packet.icmp is not None and packet.icmp[0] == match.type and match.code in (None, packet.icmp[1])


def _in_nets(address: str, nets: Sequence[str]) -> bool:
    parsed = ipaddress.ip_address(address)
    return any(parsed in ipaddress.ip_network(net) for net in nets)


def _in_ports(port: int, ranges: Sequence[PortRange]) -> bool:
    return any(low <= port <= high for low, high in ranges)
