"""Resolved policy as values: compiled rules, what an endpoint is subject to, and what changed.

Selectors stand here by their canonical text: equal text, one set of members.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Direction = Literal["ingress", "egress"]
Action = Literal["Allow", "Deny", "Log", "Pass"]
PortRange = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Side:
    """One end of a rule; every field that is set must match."""

    nets: tuple[str, ...] = ()
    not_nets: tuple[str, ...] = ()
    selector: str | None = None
    not_selector: str | None = None
    ports: tuple[PortRange, ...] = ()
    not_ports: tuple[PortRange, ...] = ()


@dataclass(frozen=True, slots=True)
class IcmpMatch:
    type: int
    code: int | None = None


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule with numbers for names; `protocol` None matches every one."""

    action: Action
    ip_version: Literal[4, 6] | None = None
    protocol: int | None = None
    not_protocol: int | None = None
    icmp: IcmpMatch | None = None
    not_icmp: IcmpMatch | None = None
    source: Side = Side()
    destination: Side = Side()

    def selectors(self) -> tuple[str, ...]:
        sides = (self.source, self.destination)
        return tuple(s for side in sides for s in (side.selector, side.not_selector) if s is not None)


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


@dataclass(frozen=True, slots=True)
class Resolved:
    """One endpoint of this host: where it is attached and the identities that it is subject to."""

    interface: str
    addresses: tuple[str, ...]
    profiles: tuple[str, ...]
    ingress_tiers: tuple[TierRef, ...] = ()
    egress_tiers: tuple[TierRef, ...] = ()
    problems: tuple[str, ...] = ()

    def tiers(self, direction: Direction) -> tuple[TierRef, ...]:
        return self.ingress_tiers if direction == "ingress" else self.egress_tiers


@dataclass(frozen=True, slots=True)
class EndpointChanged:
    """`value` None: no longer an endpoint of this host."""

    key: str
    value: Resolved | None


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
class SelectorGone:
    """No rule in use mentions the selector any more; its members are forgotten."""

    selector: str


Changed = EndpointChanged | ProfileChanged | MembersChanged | SelectorGone
