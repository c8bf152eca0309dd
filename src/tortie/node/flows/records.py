"""From what the kernel tells to flows: the hits of one packet are put together, endings are joined to beginnings. Pure.

What waits to be joined is bounded: the oldest is forgotten, and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from tortie.dataplane.conversations import Decided, Ended, Five
from tortie.dataplane.hits import Hit, full_name, parse_prefix
from tortie.node.flows.book import Book, FlowKey, PolicyHit, Sums
from tortie.node.flows.directory import Directory
from tortie.policy.values import Direction

OPEN_CONVERSATIONS = 16_384
OPEN_TRACES = 1_024
KNOWN_PREFIXES = 8_192
OWN_KINDS = {"NetworkPolicy": "CalicoNetworkPolicy", "StagedNetworkPolicy": "StagedCalicoNetworkPolicy"}
END_OF_LIST = -1
K = TypeVar("K")
V = TypeVar("V")


class Policies:
    """What is known of policies: the ids of all, and the tier of one."""

    def __init__(self, ids: Callable[[], Iterable[str]], tier: Callable[[str], str]) -> None:
        self.ids = ids
        self.tier = tier


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
        self._open: dict[Five, list[FlowKey]] = {}

    @property
    def conversations(self) -> int:
        return len(self._open)

    def learn(self, told: Decided | Ended, now: float) -> None:
        if isinstance(told, Ended):
            self._end(told, now)
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
                held = self._open[five] = []
            if key in held:
                # Nobody has answered yet: its packets are counted at its end.
                return
            # An older decision of this side is about an older conversation.
            held[:] = [other for other in held if other.reporter != key.reporter] + [key]
        else:
            # What one side let go and the other did not has no conversation.
            self._open.pop(five, None)
        self.book.add(key, _sums(key, 1, told.length, 0, 0, labels, started=int(hit.action == "Allow")), now)

    def _end(self, told: Ended, now: float) -> None:
        for key in self._open.pop(told.five, ()):
            # The first packet was counted when it was decided about.
            packets = max(told.packets - 1, 0)
            length = told.length * packets // told.packets if told.packets else 0
            sums = _sums(key, packets, length, told.packets_back, told.length_back, ((), ()), completed=1)
            self.book.add(key, sums, now)

    def _key(self, five: Five, trace: list[Hit]) -> tuple[FlowKey, tuple[tuple[str, ...], tuple[str, ...]]]:
        (source, source_labels), (destination, destination_labels) = map(self._directory.find, five[:2])
        enforced = [hit for hit in trace if hit.kind != "staged"]
        pending = [hit for hit in trace if hit.kind == "staged"]
        key = FlowKey(
            "Dst" if trace[-1].direction == "ingress" else "Src",
            trace[-1].action,
            source,
            destination,
            five.protocol,
            five.destination_port,
            tuple(self._policy_hit(hit, place) for place, hit in enumerate(enforced)),
            tuple(self._policy_hit(hit, place) for place, hit in enumerate(pending)),
        )
        return key, (source_labels, destination_labels)

    def _policy_hit(self, hit: Hit, index: int) -> PolicyHit:
        rule = END_OF_LIST if hit.rule is None else hit.rule
        if hit.kind in ("policy", "staged"):
            kind, *namespace, name = hit.name.split("/")
            tier = self._policies.tier(hit.name)
            return PolicyHit(OWN_KINDS.get(kind, kind), "".join(namespace), name, tier, hit.action, index, rule)
        if hit.kind == "tier":
            return PolicyHit("EndOfTier", "", "", hit.name, hit.action, index, rule)
        if hit.kind == "fixed":
            return PolicyHit("Fixed", "", hit.name, "", hit.action, index, rule)
        return PolicyHit("Profile", "", hit.name, "__PROFILE__", hit.action, index, rule)


def _sums(
    key: FlowKey,
    packets: int,
    length: int,
    packets_back: int,
    length_back: int,
    labels: tuple[tuple[str, ...], tuple[str, ...]],
    *,
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
