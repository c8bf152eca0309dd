"""What the policy says of one new flow, and the rule that decided: the same values that the kernel's rules are made of.

Thin on purpose: it walks the resolved lists in their order, as an operator would read them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from tortie.policy import nets
from tortie.policy.values import (
    CompiledRule,
    Direction,
    IcmpMatch,
    NamedPort,
    PortMember,
    PortRange,
    Resolved,
    ResolvedHost,
    RuleLists,
    Side,
    TierRef,
    Tiers,
)

DHCP, DNS, TCP, UDP, VXLAN, IPIP, ICMPV6 = (68, 67), 53, 6, 17, 4789, 4, 58
NEIGHBOURS = frozenset((*range(130, 137), 143))
Failsafe = tuple[int, int, str | None]
"""Protocol, port, and the network of the other side (None: any)."""
FAILSAFE_IN: tuple[Failsafe, ...] = (
    (UDP, 68, None),
    *((TCP, port, None) for port in (22, 179, 2379, 2380, 5473, 6443, 6666, 6667)),
)
FAILSAFE_OUT: tuple[Failsafe, ...] = (
    *((UDP, port, None) for port in (53, 67)),
    *((TCP, port, None) for port in (179, 2379, 2380, 5473, 6443, 6666, 6667)),
)


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a flow. Ports matter for protocols that have them, type and code for ICMP."""

    source: str
    destination: str
    protocol: int
    source_port: int = 0
    destination_port: int = 0
    icmp: tuple[int, int] | None = None


Outcome = Literal["allow", "deny", "pass", "no match"]


@dataclass(frozen=True, slots=True)
class Step:
    """What one policy, tier end or profile had to say. `rule`: the place of the rule that matched, None for none."""

    kind: Literal["policy", "tier", "profile"]
    name: str
    outcome: Outcome
    rule: int | None = None
    staged: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """`by`: who decided, in words; `rule`: its place in the list, None where no rule of a list did. `steps`: everything
    that was asked, in order; the last one that is not staged decided, if `by` names a policy, a tier or a profile."""

    allowed: bool
    by: str
    rule: int | None = None
    steps: tuple[Step, ...] = ()


Rules = Callable[[str], RuleLists | None]


class Members(Protocol):
    """The sets that rules speak of."""

    def has(self, selector: str, address: str) -> bool: ...

    def has_port(self, port: NamedPort, member: PortMember) -> bool: ...


@dataclass(frozen=True, slots=True)
class Evaluator:
    """`profile` and `policy` find rules, None if there is no such thing; `sets` what selectors and named ports hold.
    `spoofing`: endpoints may send from the networks that they ask for besides their own addresses."""

    profile: Rules
    policy: Rules
    sets: Members
    spoofing: bool = False

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
        host: ResolvedHost | None = None,
        failsafes: Sequence[Failsafe] = FAILSAFE_IN,
    ) -> Verdict:
        """From an endpoint to its own host. `host`: the host endpoint for all interfaces, whose preDNAT policy is about
        this traffic too."""
        ports = (packet.source_port, packet.destination_port)
        if host_services and packet.protocol == UDP and ports == DHCP and packet.source == "0.0.0.0":
            return Verdict(True, "hostServices: DHCP")
        if (illegal := self._illegal_source(endpoint, packet)) is not None:
            return illegal
        if host is not None and _failsafe(packet, packet.source, failsafes) is None and self._closed(host) is None:
            early, _ = self._early((host.pre_dnat.ingress,), "ingress", packet)
            if early is not None and not early.allowed:
                return early
        # For IPv4: a link-local source of IPv6 is anybody's.
        services = host_services and packet.protocol == UDP and ":" not in packet.source
        if services and (packet.destination_port == DNS or ports == DHCP):
            return Verdict(True, "hostServices")
        if action == "Drop":
            return Verdict(False, "defaultEndpointToHostAction Drop")
        found = self._walk(endpoint, "egress", packet)
        if not found.allowed:
            return found
        return Verdict(True, f"defaultEndpointToHostAction {action}", None, found.steps)

    def host_traffic(
        self,
        endpoint: ResolvedHost,
        direction: Direction,
        packet: Packet,
        failsafes: Sequence[Failsafe] | None = None,
    ) -> Verdict:
        """Of a process of the host itself through an interface with a host endpoint. `failsafes` None: the usual."""
        usual = FAILSAFE_IN if direction == "ingress" else FAILSAFE_OUT
        other = packet.source if direction == "ingress" else packet.destination
        if (open_ := _failsafe(packet, other, usual if failsafes is None else failsafes)) is not None:
            return open_
        if packet.protocol == ICMPV6 and packet.icmp is not None and packet.icmp[0] in NEIGHBOURS:
            return Verdict(True, "neighbour discovery")
        if (closed := self._closed(endpoint)) is not None:
            return closed
        early, steps = self._early(_before(endpoint, direction), direction, packet)
        if early is not None:
            return early
        return self._decide(endpoint.normal.of(direction), endpoint.profiles, direction, packet, steps)

    def forwarded(
        self, endpoint: ResolvedHost, direction: Direction, packet: Packet, *, from_workload: bool = False
    ) -> Verdict:
        """Of what the host forwards through an interface with a host endpoint. Without a policy about it, it passes.

        `from_workload`: it came from a workload of this host (and `endpoint` is for all interfaces): untracked policy
        is not about that."""
        if (closed := self._closed(endpoint)) is not None:
            return closed
        steps: list[Step] = []
        if direction == "ingress":
            parts = (endpoint.pre_dnat.ingress,) if from_workload else _before(endpoint, direction)
            early, steps = self._early(parts, direction, packet)
            if early is not None:
                return early
        tiers = endpoint.forward.of(direction)
        if not any(tier.enforced for tier in tiers):
            return Verdict(True, "no policy on forwarded traffic", None, tuple(steps))
        return self._decide(tiers, (), direction, packet, steps)

    def mismatch(self, rule: CompiledRule, packet: Packet) -> str | None:
        """The first condition of the rule that the packet does not meet; None when it matches."""
        return next(self._mismatches(rule, packet), None)

    def _early(self, parts: Sequence[Tiers], direction: Direction, packet: Packet) -> tuple[Verdict | None, list[Step]]:
        """Untracked and preDNAT policies: they may decide, their end does not."""
        steps: list[Step] = []
        for tiers in parts:
            open_ended = tuple(replace(tier, default_action="Pass") for tier in tiers)
            found = self._tiers(open_ended, direction, packet, steps)
            if found is not None:
                return found, steps
        return None, steps

    def _illegal_source(self, endpoint: Resolved, packet: Packet) -> Verdict | None:
        spoofed = endpoint.spoofed if self.spoofing else ()
        if packet.source not in endpoint.addresses and not nets.within(packet.source, spoofed):
            return Verdict(False, f"{packet.source} is not an address of {endpoint.interface}")
        if nets.within(packet.destination, ("127.0.0.0/8", "::1/128")):
            return Verdict(False, "the host's loopback is not for workloads")
        return None

    def _walk(self, endpoint: Resolved, direction: Direction, packet: Packet) -> Verdict:
        if (closed := self._closed(endpoint)) is not None:
            return closed
        if direction == "egress" and (
            packet.protocol == IPIP or (packet.protocol == UDP and packet.destination_port == VXLAN)
        ):
            return Verdict(False, "encapsulated packets from workloads")
        return self._decide(endpoint.tiers(direction), endpoint.profiles, direction, packet, [])

    def _closed(self, endpoint: Resolved | ResolvedHost) -> Verdict | None:
        """An endpoint with anything that cannot be enforced is closed in both directions. Staged policies are not."""
        problems = list(endpoint.problems)
        for finder, names in (
            (self.policy, sorted(endpoint.policies(staged=False))),
            (self.profile, endpoint.profiles),
        ):
            for name in names:
                rules = finder(name)
                problems += rules.problems if rules is not None else ()
        return Verdict(False, f"closed: {problems[0]}") if problems else None

    def _decide(
        self, tiers: Tiers, profiles: Sequence[str], direction: Direction, packet: Packet, steps: list[Step]
    ) -> Verdict:
        found = self._tiers(tiers, direction, packet, steps)
        if found is not None:
            return found
        for name in profiles:
            rules = self.profile(name)
            if rules is None:
                return Verdict(False, f"profile {name} does not exist", None, tuple(steps))
            step = self._ask("profile", name, rules.of(direction), packet)
            steps.append(step)
            if step.outcome in ("allow", "deny"):
                return _by(step, direction, steps)
        return Verdict(False, "no rule of its profiles matched", None, tuple(steps))

    def _tiers(self, tiers: Tiers, direction: Direction, packet: Packet, steps: list[Step]) -> Verdict | None:
        for tier in tiers:
            step = self._tier(tier, direction, packet, steps)
            if step.outcome in ("allow", "deny"):
                return _by(step, direction, steps)
        return None

    def _tier(self, tier: TierRef, direction: Direction, packet: Packet, steps: list[Step]) -> Step:
        """The step that ends the tier. Staged policies are asked and never decide."""
        for ref in tier.policies:
            rules = self.policy(ref.id) or RuleLists()
            step = self._ask("policy", ref.id, rules.of(direction), packet, staged=ref.staged)
            steps.append(step)
            if step.outcome != "no match" and not ref.staged:
                return step
        denies = tier.enforced and tier.default_action == "Deny"
        steps.append(Step("tier", tier.name, "deny" if denies else "pass"))
        return steps[-1]

    def _ask(
        self,
        kind: Literal["policy", "profile"],
        name: str,
        rules: Sequence[CompiledRule],
        packet: Packet,
        *,
        staged: bool = False,
    ) -> Step:
        for index, rule in enumerate(rules):
            if rule.action == "Log" or self.mismatch(rule, packet) is not None:
                continue
            return Step(kind, name, OUTCOMES[rule.action], index, staged)
        return Step(kind, name, "no match", None, staged)

    def _mismatches(self, rule: CompiledRule, packet: Packet) -> Iterator[str]:
        if rule.ip_version is not None and rule.ip_version != nets.address(packet.source)[0]:
            yield f"not IPv{rule.ip_version}"
        if rule.protocol is not None and rule.protocol != packet.protocol:
            yield "another protocol"
        if rule.not_protocol is not None and rule.not_protocol == packet.protocol:
            yield "protocol is excluded"
        if rule.icmp is not None and not _icmp(rule.icmp, packet):
            yield "another icmp type or code"
        if rule.not_icmp is not None and _icmp(rule.not_icmp, packet):
            yield "icmp type or code is excluded"
        yield from self._side("source", rule.source, packet.source, packet.protocol, packet.source_port)
        yield from self._side(
            "destination", rule.destination, packet.destination, packet.protocol, packet.destination_port
        )

    def _side(self, word: str, side: Side, address: str, protocol: int, port: int) -> Iterator[str]:
        if side.nets and not nets.within(address, side.nets):
            yield f"{word} is not in {', '.join(side.nets)}"
        if side.not_nets and nets.within(address, side.not_nets):
            yield f"{word} is in {', '.join(side.not_nets)}"
        if side.selector is not None and not self.sets.has(side.selector, address):
            yield f"{word} does not match {side.selector}"
        if side.not_selector is not None and self.sets.has(side.not_selector, address):
            yield f"{word} matches {side.not_selector}"
        wanted = side.ports or side.named
        if wanted and not (_in_ports(port, side.ports) or self._is_named((address, protocol, port), side.named)):
            yield f"another {word} port"
        if _in_ports(port, side.not_ports) or self._is_named((address, protocol, port), side.not_named):
            yield f"{word} port is excluded"

    def _is_named(self, member: PortMember, names: Sequence[NamedPort]) -> bool:
        return any(self.sets.has_port(name, member) for name in names)


def _before(endpoint: ResolvedHost, direction: Direction) -> tuple[Tiers, Tiers]:
    """What stands before the routing decision."""
    return endpoint.untracked.of(direction), endpoint.pre_dnat.of(direction)


def _failsafe(packet: Packet, other: str, failsafes: Sequence[Failsafe]) -> Verdict | None:
    for protocol, port, net in failsafes:
        mine = (packet.protocol, packet.destination_port) == (protocol, port)
        if mine and (net is None or nets.within(other, (net,))):
            return Verdict(True, f"failsafe port {port}")
    return None


OUTCOMES: dict[str, Outcome] = {"Allow": "allow", "Deny": "deny", "Pass": "pass"}


def _by(step: Step, direction: Direction, steps: Sequence[Step]) -> Verdict:
    by = f"the end of tier {step.name}" if step.kind == "tier" else f"{step.kind} {step.name} {direction}"
    return Verdict(step.outcome == "allow", by, step.rule, tuple(steps))


def _icmp(match: IcmpMatch, packet: Packet) -> bool:
    return packet.icmp is not None and packet.icmp[0] == match.type and match.code in (None, packet.icmp[1])


def _in_ports(port: int, ranges: Sequence[PortRange]) -> bool:
    return any(low <= port <= high for low, high in ranges)
