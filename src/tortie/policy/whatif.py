"""What a change of resources changes for people: who gains, who loses what. Pure.

Both worlds are looked at together: ends that neither of them tells apart are asked about once, and only where
something that concerns them differs.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tortie.policy.classes import Group, Look, first_addresses, groups, looks_at
from tortie.policy.matrices import answers
from tortie.policy.path import Answer, End
from tortie.policy.spans import Span, spans, told
from tortie.policy.values import CompiledRule, Direction, Resolved, ResolvedHost, RuleLists, Tiers
from tortie.policy.world import Service, World

DIRECTIONS: tuple[Direction, Direction] = ("ingress", "egress")


@dataclass(frozen=True, slots=True)
class Change:
    """`before`, `after`: the answers for one of the services, None in a world without these ends."""

    gains: bool
    source: Group
    destination: Group
    spans: tuple[Span, ...]
    services: tuple[str, ...]
    before: Answer | None
    after: Answer | None


@dataclass(frozen=True, slots=True)
class Changes:
    """`looked`: how many pairs of groups were asked about, of how many there are."""

    items: tuple[Change, ...]
    looked: int
    pairs: int


def changes(before: World, after: World) -> Changes:
    """Everything that may be said after and not before, or before and not after: exact for every protocol and port."""
    whole = spans([before, after])
    services = [span.service for span in whole]
    looks = looks_at((before, after), services)
    found = groups(looks)
    differ = _Differ(looks)
    told_apart = [differ.of(group.one) for group in found]
    looked = 0
    items: list[Change] = []
    for one, (out, _) in zip(found, told_apart, strict=True):
        for other, (_, into) in zip(found, told_apart, strict=True):
            if out or into:
                looked += 1
                before_it, after_it = (_asked(look, one, other, services) for look in looks)
                items += _of_pair(one, other, whole, before_it, after_it)
    return Changes(tuple(_joined(items)), looked, len(found) ** 2)


class _Differ:
    """Whether a conversation of an end can be judged differently in two worlds."""

    def __init__(self, looks: Sequence[Look]) -> None:
        self._looks = looks
        uses = [look.world.engine.uses() for look in looks]
        # A set that only one world uses is used by rules that differ, which counts for whoever lists them.
        self._common = sorted(uses[0] & uses[1], key=str)
        # On which host an end is matters to what the hosts forward: then every pair is asked about.
        self._all = any(look.by_node for look in looks)

    def of(self, end: End) -> tuple[bool, bool]:
        """(as the one who speaks, as the one who is spoken to)."""
        here = [look.sign(end) is not None for look in self._looks]
        if self._all or here[0] != here[1]:
            return True, True
        if self._members(end, 0) != self._members(end, 1):
            return True, True
        if end.role == "workload":
            out, into = (self._lists(end, "egress"), self._lists(end, "ingress"))
            return out[0] != out[1], into[0] != into[1]
        if end.role == "host":
            lists = [self._host(look, str(end.node)) for look in self._looks]
            return lists[0] != lists[1], lists[0] != lists[1]
        return False, False

    def _members(self, end: End, number: int) -> Hashable:
        look = self._looks[number]
        value = look.local.get(str(end.key)) if end.role == "workload" else None
        addresses = first_addresses(value.addresses if value is not None else end.addresses)
        sets, services = look.world.engine.sets, look.services
        return addresses, tuple(
            sets.has(use, address)
            if isinstance(use, str)
            else tuple(sets.has_port(use, (address, service.protocol, service.port)) for service in services)
            for use in self._common
            for address in addresses
        )

    def _lists(self, end: End, direction: Direction) -> list[Hashable]:
        found: list[Hashable] = []
        for look in self._looks:
            value = look.local[str(end.key)]
            found.append((_content(look, value.tiers(direction), value.profiles, direction), _faults(look, value)))
        return found

    def _host(self, look: Look, node: str) -> Hashable:
        hosts = look.way.hosts
        return hosts.rules(node), tuple(
            (
                value.interface,
                _faults(look, value),
                *(
                    _content(look, part.of(direction), value.profiles, direction)
                    for part in (value.normal, value.untracked, value.pre_dnat, value.forward)
                    for direction in DIRECTIONS
                ),
            )
            for _, value in hosts.endpoints().get(node, ())
        )


def _content(look: Look, tiers: Tiers, profiles: Sequence[str], direction: Direction) -> Hashable:
    """The rules themselves, in the order in which they are asked."""
    engine = look.world.engine
    policies = tuple(
        (tier.default_action, tuple(_rules(engine.rules_of_policy(ref.id), direction) for ref in tier.policies))
        for tier in (replace(tier, policies=tuple(p for p in tier.policies if not p.staged)) for tier in tiers)
        if tier.policies
    )
    return policies, tuple(_rules(engine.rules_of_profile(name), direction) for name in profiles)


def _rules(lists: RuleLists | None, direction: Direction) -> tuple[CompiledRule, ...] | None:
    return None if lists is None else lists.of(direction)


def _faults(look: Look, value: Resolved | ResolvedHost) -> Hashable:
    """What closes an endpoint in both directions."""
    engine = look.world.engine
    found = [engine.rules_of_policy(name) for name in sorted(value.policies())]
    found += [engine.rules_of_profile(name) for name in value.profiles]
    return value.problems, tuple(text for lists in found if lists is not None for text in lists.problems)


def _asked(look: Look, one: Group, other: Group, services: Sequence[Service]) -> list[Answer | None] | None:
    """None when the world does not have one of the ends."""
    found = [_here(look, group) for group in (one, other)]
    return None if found[0] is None or found[1] is None else answers(look.way, found[0], found[1], services)


def _here(look: Look, group: Group) -> Group | None:
    """Who speaks for the group, as this world knows them."""
    speakers = (group.one, group.other) if len(group.ends) > 1 else (group.one,)
    if any(look.sign(end) is None for end in speakers):
        return None
    return Group(tuple(look.again(end) for end in speakers))


def _of_pair(
    one: Group,
    other: Group,
    whole: Sequence[Span],
    before: Sequence[Answer | None] | None,
    after: Sequence[Answer | None] | None,
) -> Iterator[Change]:
    nothing: list[Answer | None] = [None] * len(whole)
    triples = list(zip(whole, before or nothing, after or nothing, strict=True))
    for gains in (True, False):
        found = [(span, old, new) for span, old, new in triples if _may(old) is not _may(new) and _may(new) is gains]
        if found:
            _, old, new = found[0]
            chosen = tuple(span for span, _, _ in found)
            yield Change(gains, one, other, chosen, tuple(told(chosen, whole)), old, new)


def _may(answer: Answer | None) -> bool:
    return answer is not None and answer.allowed


def _joined(items: Iterable[Change]) -> list[Change]:
    """Changes that say the same of several destinations, then of several sources, are one. Losses first."""
    first: dict[Hashable, list[Change]] = {}
    for item in items:
        first.setdefault((item.gains, item.source, item.services), []).append(item)
    by_source = [replace(found[0], destination=_together(c.destination for c in found)) for found in first.values()]
    second: dict[Hashable, list[Change]] = {}
    for item in by_source:
        second.setdefault((item.gains, item.destination, item.services), []).append(item)
    joined = [replace(found[0], source=_together(c.source for c in found)) for found in second.values()]
    return sorted(joined, key=lambda change: change.gains)


def _together(found: Iterable[Group]) -> Group:
    return Group(tuple(end for group in found for end in group.ends))
