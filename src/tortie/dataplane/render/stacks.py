"""What a new flow of an endpoint meets, in order: a stack of tiers and profiles, shared by all endpoints with the same.

Stacks and tiers are named after their content; each policy is a chain of its own. A policy that passes marks the packet
and returns; its tier looks at the mark, takes it off and returns in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from tortie.dataplane.hits import FORWARDED, Hit
from tortie.dataplane.render import language
from tortie.dataplane.render.language import Word
from tortie.dataplane.render.rules import Listed, Manner, Written
from tortie.dataplane.render.settings import Settings
from tortie.dataplane.want import name_of
from tortie.policy.values import Direction, Hook, TierRef, Tiers
from tortie.policy.verdict import Failsafe

StackKind = Literal["workload", "host", "forward", "untracked", "preDNAT"]
PREFIXES = {"workload": "k", "host": "h", "forward": "f", "untracked": "u", "preDNAT": "d"}
FAILSAFES: dict[tuple[StackKind, Direction], str] = {
    ("host", "ingress"): "fs_in",
    ("host", "egress"): "fs_out",
    ("untracked", "ingress"): "fs_raw_in",
    ("untracked", "egress"): "fs_raw_out",
    ("preDNAT", "ingress"): "fs_pre",
}


@dataclass(frozen=True, slots=True)
class TierChain:
    """A tier as a group of endpoints sees it. `silent`: as of `Listed`."""

    direction: Direction
    hook: Hook
    tier: TierRef
    silent: bool = False

    @property
    def chain(self) -> str:
        return _tier_name(self)

    @property
    def title(self) -> str:
        return f"tier {self.tier.name} {self.direction}"

    def children(self) -> tuple[Listed, ...]:
        return tuple(
            Listed("policy", p.id, self.direction, self.hook, p.staged, self.silent) for p in self.tier.policies
        )

    @property
    def ends(self) -> bool:
        """Whether what matched nothing is dropped here. Before the routing decision it never is."""
        return self.hook == "normal" and self.tier.enforced and self.tier.default_action == "Deny"


@dataclass(frozen=True, slots=True)
class Stack:
    """Everything that one kind of traffic of an endpoint meets in one direction."""

    kind: StackKind
    direction: Direction
    tiers: Tiers = ()
    profiles: tuple[str, ...] = ()

    @property
    def chain(self) -> str:
        return _stack_name(self)

    @property
    def title(self) -> str:
        names = " ".join([*(tier.name for tier in self.tiers), *self.profiles])
        return f"{self.kind} {self.direction} {names}"

    @property
    def hook(self) -> Hook:
        return self.kind if self.kind in ("untracked", "preDNAT") else "normal"

    def _tiers(self) -> tuple[TierChain, ...]:
        return tuple(TierChain(self.direction, self.hook, tier, self.silent) for tier in self.tiers)

    def children(self) -> tuple[TierChain | Listed, ...]:
        profiles = (Listed("profile", name, self.direction, silent=self.silent) for name in self.profiles)
        return (*self._tiers(), *profiles)

    @property
    def silent(self) -> bool:
        """What a host sends itself comes along behind its routing too, where nothing can be rejected."""
        return self.kind == "host" and self.direction == "egress"

    @property
    def enforced(self) -> bool:
        return any(tier.enforced for tier in self.tiers)


Node = Stack | TierChain | Listed


@lru_cache(maxsize=1 << 10)
def _tier_name(tier: TierChain) -> str:
    policies = [f"{'staged ' if policy.staged else ''}{policy.id}" for policy in tier.tier.policies]
    way = ("i" if tier.direction == "ingress" else "o") + ("h" if tier.silent else "")
    return name_of(f"t{way}", tier.hook, tier.tier.name, tier.tier.default_action, *policies)


@lru_cache(maxsize=1 << 10)
def _stack_name(stack: Stack) -> str:
    way = "i" if stack.direction == "ingress" else "e"
    tiers = [child.chain for child in stack._tiers()]
    return name_of(f"{PREFIXES[stack.kind]}{way}", *tiers, "", *stack.profiles)


def write_tier(tier: TierChain, passing: Callable[[Listed], bool], manner: Manner) -> Written:
    """`passing`: whether a policy's chain may pass."""
    written, marks = Written(), manner.marks
    chains = tier.children()
    if any(map(passing, chains)):
        # Nobody else may have set it.
        written.rules.append(language.clear_mark(marks.passed))
    for listed in chains:
        written.jump(listed.chain)
        if passing(listed):
            leave = language.clear_mark(marks.passed)
            written.rules.append(language.line(language.has_mark(marks.passed), leave, "return"))
    if tier.ends:
        end = "drop" if tier.silent else manner.refusal
        hit = Hit("Deny", "tier", tier.direction, tier.tier.name)
        written.rules += language.refused(hit, flows=manner.flows, end=end)
    return written


def write_stack(stack: Stack, settings: Settings) -> Written:
    """What nothing allowed is dropped, but for forwarded traffic that no policy is about, and before the routing."""
    written = Written()
    if (failsafes := FAILSAFES.get((stack.kind, stack.direction))) and failsafe_chains(settings).get(failsafes):
        written.jump(failsafes)
    if stack.kind in ("workload", "host") and not settings.invalid_passes:
        written.rules.append(f"{language.INVALID} counter drop")
    if stack.kind == "workload" and stack.direction == "egress":
        written.rules += _encapsulated(settings)
    for child in stack.children():
        written.jump(child.chain)
    flows, end = settings.flows, "drop" if stack.silent else settings.refusal
    if stack.kind in ("workload", "host"):
        written.rules += language.refused(Hit("Deny", "no profile", stack.direction), flows=flows, end=end)
    elif stack.kind == "forward" and stack.enforced:
        written.rules += language.refused(Hit("Deny", "fixed", stack.direction, FORWARDED), flows=flows, end=end)
    return written


def _encapsulated(settings: Settings) -> list[str]:
    """Packets of a workload that another host would take for those of this host's tunnels."""
    found = []
    if not settings.vxlan_from_workloads:
        port = f"th dport {settings.vxlan_port}"
        found.append(language.line(language.protocol(language.UDP), port, "counter drop"))
    if not settings.ipip_from_workloads:
        found.append(language.line(language.protocol(language.IPIP), "counter drop"))
    return found


def failsafe_chains(settings: Settings) -> dict[str, Written]:
    """The ways to a host that policy cannot close, by chain. Before the routing decision only what is for the host, and
    the answers of what is: there every packet of the interface comes along."""
    inbound, outbound = settings.failsafes_in, settings.failsafes_out
    to_us = (language.TO_US, language.TO_ALL)
    found = {
        "fs_in": _failsafes([(inbound, "s", "d")]),
        "fs_out": _failsafes([(outbound, "d", "d")]),
        "fs_pre": _failsafes([(inbound, "s", "d")], to_us),
        "fs_raw_in": _failsafes([(inbound, "s", "d"), (outbound, "s", "s")], to_us),
        "fs_raw_out": _failsafes([(outbound, "d", "d"), (inbound, "d", "s")]),
    }
    return {name: written for name, written in found.items() if written.rules}


def _failsafes(lists: Sequence[tuple[Sequence[Failsafe], Word, Word]], wheres: Sequence[str] = ("",)) -> Written:
    """Each list with the side of the other's address and the side of the port; for each of the places."""
    written = Written()
    for failsafes, other, port in lists:
        lines = [_failsafe(failsafe, other, port) for failsafe in failsafes if failsafe[2] is not None]
        if anybody := {f"{protocol} . {number}" for protocol, number, net in failsafes if net is None}:
            ports = written.list_set("fl", "inet_proto . inet_service", anybody, interval=False)
            lines.insert(0, f"meta l4proto . th {port}port {ports}")
        written.rules += [language.line(line, where, "accept") for line in lines for where in wheres]
    return written


def _failsafe(failsafe: Failsafe, other: Word, port: Word) -> str:
    protocol, number, net = failsafe
    version: language.Version = 6 if ":" in (net or "") else 4
    peer = language.match(language.address(version, other), net or "")
    return language.line(language.family(version), language.protocol(protocol), peer, f"th {port}port {number}")
