"""What endpoints list that the same selectors match: tiers of policies, profiles, and whose rules these are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tortie.policy import order
from tortie.policy.endpoints import Party
from tortie.policy.order import Tier
from tortie.policy.values import CompiledPolicy, Hook, HostTiers, Resolved, ResolvedHost

Owner = tuple[Literal["policy", "profile"], str]
"""Whoever has rules."""


@dataclass(frozen=True, slots=True)
class Lists:
    """`enforced`: whose rules close when they cannot be enforced. A workload has normal policies only."""

    normal: HostTiers
    untracked: HostTiers
    pre_dnat: HostTiers
    forward: HostTiers
    owners: frozenset[Owner]
    enforced: tuple[Owner, ...]


def lists_of(party: Party, policies: Sequence[CompiledPolicy], tiers: Mapping[str, Tier]) -> Lists:
    """`policies`: those that are about the endpoint. The same for all whose profiles and policies these are."""
    normal = _tiers(policies, "normal", tiers)
    untracked = pre_dnat = forward = HostTiers()
    if party.host:
        untracked = _tiers(policies, "untracked", tiers)
        pre_dnat = HostTiers(_tiers(policies, "preDNAT", tiers).ingress)
        forward = _tiers([policy for policy in policies if policy.forward], "normal", tiers)
    profiles: list[Owner] = [("profile", name) for name in party.profiles]
    parts = (normal, untracked, pre_dnat, forward)
    refs = {ref for part in parts for tier in (*part.ingress, *part.egress) for ref in tier.policies}
    owners = frozenset((*profiles, *(("policy", ref.id) for ref in refs)))
    enforced = {*profiles, *(("policy", ref.id) for ref in refs if not ref.staged)}
    return Lists(normal, untracked, pre_dnat, forward, owners, tuple(sorted(enforced)))


def _tiers(policies: Iterable[CompiledPolicy], hook: Hook, tiers: Mapping[str, Tier]) -> HostTiers:
    found = [policy for policy in policies if policy.hook == hook]
    return HostTiers(order.tiers(found, tiers, "ingress"), order.tiers(found, tiers, "egress"))


def resolved(party: Party, lists: Lists, problems: tuple[str, ...]) -> Resolved | ResolvedHost:
    """The endpoint with what it lists."""
    own = (party.interface, party.members, party.profiles)
    if party.host:
        return ResolvedHost(*own, lists.normal, lists.untracked, lists.pre_dnat, lists.forward, problems)
    normal = lists.normal
    return Resolved(*own, normal.ingress, normal.egress, problems, party.floating, party.spoofed)
