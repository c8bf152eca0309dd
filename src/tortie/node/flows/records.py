"""From what the kernel tells to flows: the hits of one packet are put together, endings are joined to beginnings. Pure.

What waits to be joined is bounded: the oldest is forgotten, and counted.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from tortie.dataplane.conversations import Counted, Decided, Five
from tortie.dataplane.hits import Hit, full_name, parse_prefix
from tortie.node.flows.book import Book, FlowKey, PolicyHit, Sums
from tortie.node.flows.directory import Directory, Labels
from tortie.policy.values import Direction

OPEN_CONVERSATIONS = 16_384
OPEN_TRACES = 1_024
KNOWN_PREFIXES = 8_192
OWN_KINDS = {"NetworkPolicy": "CalicoNetworkPolicy", "StagedNetworkPolicy": "StagedCalicoNetworkPolicy"}
END_OF_LIST = -1
K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class _Conversation:
    """The flows that it belongs to, one of each side, and what of it was added to them."""

    keys: list[FlowKey]
    counted: Counted


class Policies:
    """What is known of policies: the ids of all, the tier of one, and the last one that a tier has for whoever has an
    address, in one direction."""

    def __init__(
        self,
        ids: Callable[[], Iterable[str]],
        tier: Callable[[str], str],
        last: Callable[[bytes, Direction, str], str] = lambda *_: "",
    ) -> None:
        self.ids = ids
        self.tier = tier
        self.last = last


class Records:
    """`book` has the flows. `unread`: messages that are none of ours; `forgotten`: conversations whose end will not be
    known as theirs; `conversations`: how many go on."""

    def __init__(self, directory: Directory, policies: Policies, book: Book | None = None) -> None:
        self.book = book or Book()
        self.unread = self.forgotten = 0
        self._directory = directory
        self._policies = policies
        self._hits: dict[str, Hit | None] = {}
        self._traces: dict[tuple[Direction, Five], list[Hit]] = {}
        self._open: dict[Five, _Conversation] = {}

    @property
    def conversations(self) -> int:
        return len(self._open)

    def going_on(self, many: int) -> list[Five]:
        """Conversations to be asked about, each in its turn."""
        found = list(itertools.islice(self._open, many))
        for five in found:
            self._open[five] = self._open.pop(five)
        return found

    def learn(self, told: Decided | Counted, now: float) -> None:
        if isinstance(told, Counted):
            self._count(told, now)
            return
        hit = self._hit(told.prefix)
        if hit is None:
            self.unread += 1
            return
        place = (hit.direction, told.five)
        if hit.action == "Pass" or hit.kind == "staged":
            _bound(self._traces, OPEN_TRACES)
            self._traces.setdefault(place, []).append(hit)
            return
        trace = [*self._traces.pop(place, ()), hit]
        self._decide(told, trace, now)

    def _hit(self, prefix: str) -> Hit | None:
        if prefix in self._hits:
            return self._hits[prefix]
        hit = parse_prefix(prefix)
        if hit is not None and hit.kind in ("policy", "staged"):
            hit = Hit(hit.action, hit.kind, hit.direction, full_name(hit.name, self._policies.ids()), hit.rule)
        if "~" not in (hit.name if hit else ""):
            # A policy that is not known may be by the next time.
            _bound(self._hits, KNOWN_PREFIXES)
            self._hits[prefix] = hit
        return hit

    def _decide(self, told: Decided, trace: list[Hit], now: float) -> None:
        hit, five = trace[-1], told.five
        key, labels = self._key(five, trace)
        if hit.action == "Allow":
            held = self._open.get(five)
            if held is None:
                self.forgotten += _bound(self._open, OPEN_CONVERSATIONS)
                held = self._open[five] = _Conversation([], Counted(five, 1, told.length, 0, 0))
            if key in held.keys:
                # Nobody has answered yet: its packets are counted with the conversation.
                return
            # An older decision of this side is about an older conversation.
            held.keys = [*(other for other in held.keys if other.reporter != key.reporter), key]
        else:
            # What one side let go and the other did not has no conversation.
            self._open.pop(five, None)
        self.book.add(key, _sums(key, 1, told.length, labels=labels, started=int(hit.action == "Allow")), now)

    def _count(self, told: Counted, now: float) -> None:
        """What is new since the last time."""
        held = self._open.get(told.five)
        if held is None:
            return
        old, held.counted = held.counted, told
        new = (
            max(told.packets - old.packets, 0),
            max(told.length - old.length, 0),
            max(told.packets_back - old.packets_back, 0),
            max(told.length_back - old.length_back, 0),
        )
        if told.over:
            del self._open[told.five]
        if told.over or any(new):
            for key in held.keys:
                self.book.add(key, _sums(key, *new, completed=int(told.over)), now)

    def _key(self, five: Five, trace: list[Hit]) -> tuple[FlowKey, tuple[Labels, Labels]]:
        (source, source_labels), (destination, destination_labels) = map(self._directory.find, five[:2])
        own = five.destination if trace[-1].direction == "ingress" else five.source
        if trace[-1].kind == "no profile":
            trace = [*trace[:-1], replace(trace[-1], name=", ".join(self._directory.profiles(own)))]
        enforced = [hit for hit in trace if hit.kind != "staged"]
        pending = [hit for hit in trace if hit.kind == "staged"]
        key = FlowKey(
            "Dst" if trace[-1].direction == "ingress" else "Src",
            trace[-1].action,
            source,
            destination,
            five.protocol,
            five.destination_port,
            tuple(self._policy_hit(hit, place, own) for place, hit in enumerate(enforced)),
            tuple(self._policy_hit(hit, place, own) for place, hit in enumerate(pending)),
        )
        return key, (source_labels, destination_labels)

    def _policy_hit(self, hit: Hit, index: int, own: bytes) -> PolicyHit:
        """`own`: whose address the hit is about."""
        rule = END_OF_LIST if hit.rule is None else hit.rule
        if hit.kind in ("policy", "staged"):
            return PolicyHit(*_parts(hit.name), self._policies.tier(hit.name), hit.action, index, rule)
        if hit.kind == "tier":
            last = self._policies.last(own, hit.direction, hit.name)
            return PolicyHit("EndOfTier", "", "", hit.name, hit.action, index, rule, _parts(last) if last else None)
        if hit.kind == "fixed":
            return PolicyHit("Fixed", "", hit.name, "", hit.action, index, rule)
        return PolicyHit("Profile", "", hit.name, "__PROFILE__", hit.action, index, rule)


def _parts(policy: str) -> tuple[str, str, str]:
    """Kind, namespace and name of a policy's id."""
    kind, *namespace, name = policy.split("/")
    return OWN_KINDS.get(kind, kind), "".join(namespace), name


def _sums(
    key: FlowKey,
    packets: int,
    length: int,
    packets_back: int = 0,
    length_back: int = 0,
    *,
    labels: tuple[Labels, Labels] = ((), ()),
    started: int = 0,
    completed: int = 0,
) -> Sums:
    """What went from source to destination and back, as the reporting side sees it."""
    onward, back = (packets, length), (packets_back, length_back)
    out, into = (onward, back) if key.reporter == "Src" else (back, onward)
    return Sums(*out, *into, started, completed, *labels)


def _bound(held: dict[K, V], most: int) -> int:
    """Forget the oldest when there are as many; how many that was."""
    if len(held) < most:
        return 0
    del held[next(iter(held))]
    return 1
