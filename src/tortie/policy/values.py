"""Resolved policy as values: compiled rules, what an endpoint is subject to, and what changed.

Selectors stand here by their canonical text: equal text, one set of members.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

Direction = Literal["ingress", "egress"]
Action = Literal["Allow", "Deny", "Log", "Pass"]
IPVersion = Literal[4, 6]
PortRange = tuple[int, int]
PortMember = tuple[str, int, int]
"""An address, a protocol and a port: what a named port stands for at one endpoint."""


class Construct(Enum):
    """What rules may need beyond plain matches; a renderer says which of these it can express."""

    NAMED_PORTS = "named ports"
    NETS = "networks of network sets"


@dataclass(frozen=True, slots=True, order=True)
class NamedPort:
    """The ports of this name and protocol of the endpoints that a selector matches. One set of members per value."""

    name: str
    protocol: int
    selector: str = "all()"


@dataclass(frozen=True, slots=True)
class Side:
    """One end of a rule; every field that is set must match."""

    nets: tuple[str, ...] = ()
    not_nets: tuple[str, ...] = ()
    selector: str | None = None
    not_selector: str | None = None
    ports: tuple[PortRange, ...] = ()
    not_ports: tuple[PortRange, ...] = ()
    named: tuple[NamedPort, ...] = ()
    not_named: tuple[NamedPort, ...] = ()


@dataclass(frozen=True, slots=True)
class IcmpMatch:
    type: int
    code: int | None = None


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule with numbers for names; `protocol` None matches every one."""

    action: Action
    ip_version: IPVersion | None = None
    protocol: int | None = None
    not_protocol: int | None = None
    icmp: IcmpMatch | None = None
    not_icmp: IcmpMatch | None = None
    source: Side = Side()
    destination: Side = Side()

    def selectors(self) -> tuple[str, ...]:
        sides = (self.source, self.destination)
        return tuple(s for side in sides for s in (side.selector, side.not_selector) if s is not None)

    def named_ports(self) -> tuple[NamedPort, ...]:
        return tuple(n for side in (self.source, self.destination) for n in (*side.named, *side.not_named))


@dataclass(frozen=True, slots=True)
class RuleLists:
    """The rules of one profile or policy. With `problems` it cannot be enforced as meant: whoever uses it is closed."""

    ingress: tuple[CompiledRule, ...] = ()
    egress: tuple[CompiledRule, ...] = ()
    problems: tuple[str, ...] = ()

    def of(self, direction: Direction) -> tuple[CompiledRule, ...]:
        return self.ingress if direction == "ingress" else self.egress

    def selectors(self) -> frozenset[str]:
        return frozenset(s for rule in (*self.ingress, *self.egress) for s in rule.selectors())

    def named_ports(self) -> frozenset[NamedPort]:
        return frozenset(n for rule in (*self.ingress, *self.egress) for n in rule.named_ports())


Hook = Literal["normal", "untracked", "preDNAT"]


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """A policy without its rules: whom it is about and where it stands. `order` None is last.

    `forward`: it is also about what a host forwards (host endpoints only).
    """

    id: str
    tier: str
    order: float | None
    selector: str
    directions: frozenset[Direction]
    staged: bool = False
    hook: Hook = "normal"
    forward: bool = False


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """A policy in a tier, by identity. A staged one counts and never decides."""

    id: str
    staged: bool = False


@dataclass(frozen=True, slots=True)
class TierRef:
    """A tier that has policies for an endpoint in one direction, in order."""

    name: str
    policies: tuple[PolicyRef, ...]
    default_action: Literal["Deny", "Pass"] = "Deny"
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Many endpoints share it, and each asks for it many times.
        object.__setattr__(self, "_hash", hash((self.name, self.policies, self.default_action)))

    def __hash__(self) -> int:
        return self._hash

    @property
    def enforced(self) -> bool:
        """Whether it can decide anything: a tier of staged policies only is passed."""
        return any(not policy.staged for policy in self.policies)


Tiers = tuple[TierRef, ...]


@dataclass(frozen=True, slots=True)
class Resolved:
    """One endpoint of this host: where it is attached and the identities that it is subject to.

    `floating`: (address outside, own address) pairs. `spoofed`: networks that it asks to send from besides its own."""

    interface: str
    addresses: tuple[str, ...]
    profiles: tuple[str, ...]
    ingress_tiers: Tiers = ()
    egress_tiers: Tiers = ()
    problems: tuple[str, ...] = ()
    floating: tuple[tuple[str, str], ...] = ()
    spoofed: tuple[str, ...] = ()

    def tiers(self, direction: Direction) -> Tiers:
        return self.ingress_tiers if direction == "ingress" else self.egress_tiers

    def policies(self, *, staged: bool = True) -> frozenset[str]:
        """The ids of all of them, or of those that can decide."""
        return _policies(self.ingress_tiers, self.egress_tiers, staged=staged)


@dataclass(frozen=True, slots=True)
class HostTiers:
    """What one kind of traffic of a host endpoint meets."""

    ingress: Tiers = ()
    egress: Tiers = ()

    def of(self, direction: Direction) -> Tiers:
        return self.ingress if direction == "ingress" else self.egress


@dataclass(frozen=True, slots=True)
class ResolvedHost:
    """One host endpoint of this host. `interface` may be `*` (every one) or empty: the one with these addresses."""

    interface: str
    addresses: tuple[str, ...]
    profiles: tuple[str, ...]
    normal: HostTiers = HostTiers()
    untracked: HostTiers = HostTiers()
    pre_dnat: HostTiers = HostTiers()
    forward: HostTiers = HostTiers()
    problems: tuple[str, ...] = ()

    def policies(self, *, staged: bool = True) -> frozenset[str]:
        """The ids of all of them, or of those that can decide."""
        parts = (self.normal, self.untracked, self.pre_dnat, self.forward)
        return _policies(*(tiers for part in parts for tiers in (part.ingress, part.egress)), staged=staged)


def _policies(*lists: Tiers, staged: bool) -> frozenset[str]:
    found = (policy for tiers in lists for tier in tiers for policy in tier.policies)
    return frozenset(policy.id for policy in found if staged or not policy.staged)


@dataclass(frozen=True, slots=True)
class EndpointChanged:
    """`value` None: no longer an endpoint of this host."""

    key: str
    value: Resolved | None


@dataclass(frozen=True, slots=True)
class HostEndpointChanged:
    """`value` None: no longer a host endpoint of this host."""

    key: str
    value: ResolvedHost | None


@dataclass(frozen=True, slots=True)
class PolicyChanged:
    """The rules of a policy that endpoints of this host list. `value` None: nobody lists it any more."""

    id: str
    value: RuleLists | None


@dataclass(frozen=True, slots=True)
class ProfileChanged:
    """A profile that endpoints of this host list. `value` None: it does not exist, or nobody lists it any more."""

    name: str
    value: RuleLists | None


@dataclass(frozen=True, slots=True)
class MembersChanged:
    """Addresses that a selector in use gained and lost."""

    selector: str
    added: frozenset[str]
    removed: frozenset[str]


@dataclass(frozen=True, slots=True)
class NetsChanged:
    """Networks of more than one address, from network sets, that a selector in use gained and lost."""

    selector: str
    added: frozenset[str]
    removed: frozenset[str]


@dataclass(frozen=True, slots=True)
class PortsChanged:
    """What a named port in use stands for: gained and lost."""

    port: NamedPort
    added: frozenset[PortMember]
    removed: frozenset[PortMember]


@dataclass(frozen=True, slots=True)
class SelectorGone:
    """No rule in use mentions the selector any more; its members are forgotten."""

    selector: str


@dataclass(frozen=True, slots=True)
class NamedPortGone:
    """No rule in use mentions the named port any more."""

    port: NamedPort


Changed = (
    EndpointChanged
    | HostEndpointChanged
    | PolicyChanged
    | ProfileChanged
    | MembersChanged
    | NetsChanged
    | PortsChanged
    | SelectorGone
    | NamedPortGone
)
