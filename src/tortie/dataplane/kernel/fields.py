"""What rules can look at in a packet, and the reader of a rule's words. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tortie.base.errors import Invalid
from tortie.dataplane.kernel import expressions as x

IPV4, IPV6, TCP, UDP, ICMP, ICMPV6 = 2, 10, 6, 17, 1, 58
ORIGINAL, REPLY = 0, 1

Load = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Field:
    """Something of a packet that can be compared. `nfproto`, `l4proto`: what must be known before it means anything."""

    load: Load
    size: int
    kind: str
    nfproto: int = 0
    l4proto: int = 0
    payload: tuple[int, int] | None = None


def _payload(base: int, offset: int, size: int, kind: str, nfproto: int = 0, l4proto: int = 0) -> Field:
    return Field(lambda r: x.payload(base, offset, size, r), size, kind, nfproto, l4proto, (base, offset))


def _meta(key: str, size: int, kind: str) -> Field:
    return Field(lambda r: x.meta(key, r), size, kind)


def _original(key: str, size: int, kind: str, direction: int = ORIGINAL, nfproto: int = 0) -> Field:
    return Field(lambda r: x.conntrack(key, r, direction), size, kind, nfproto)


def _fields() -> dict[str, Field]:
    found = {
        "iifname": _meta("iifname", 16, "ifname"),
        "oifname": _meta("oifname", 16, "ifname"),
        "meta nfproto": _meta("nfproto", 1, "nfproto"),
        "meta l4proto": _meta("l4proto", 1, "l4proto"),
        "meta mark": _meta("mark", 4, "mark"),
        "ct mark": Field(lambda r: x.conntrack("mark", r), 4, "mark"),
        "ct state": Field(lambda r: x.conntrack("state", r), 4, "flags"),
        "ct status": Field(lambda r: x.conntrack("status", r), 4, "flags"),
        "ip saddr": _payload(x.NETWORK, 12, 4, "address", IPV4),
        "ip daddr": _payload(x.NETWORK, 16, 4, "address", IPV4),
        "ip protocol": _payload(x.NETWORK, 9, 1, "l4proto", IPV4),
        "ip6 saddr": _payload(x.NETWORK, 8, 16, "address", IPV6),
        "ip6 daddr": _payload(x.NETWORK, 24, 16, "address", IPV6),
        "icmp type": _payload(x.TRANSPORT, 0, 1, "number", IPV4, ICMP),
        "icmp code": _payload(x.TRANSPORT, 1, 1, "number", IPV4, ICMP),
        "icmpv6 type": _payload(x.TRANSPORT, 0, 1, "number", IPV6, ICMPV6),
        "icmpv6 code": _payload(x.TRANSPORT, 1, 1, "number", IPV6, ICMPV6),
        "@th,0,16": _payload(x.TRANSPORT, 0, 2, "number"),
    }
    for word, protocol in (("th", 0), ("tcp", TCP), ("udp", UDP)):
        found[f"{word} sport"] = _payload(x.TRANSPORT, 0, 2, "number", 0, protocol)
        found[f"{word} dport"] = _payload(x.TRANSPORT, 2, 2, "number", 0, protocol)
    for word, direction in (("original", ORIGINAL), ("reply", REPLY)):
        for side, letter in (("src", "s"), ("dst", "d")):
            found[f"ct {word} ip {letter}addr"] = _original(f"{side}_ip", 4, "address", direction)
            found[f"ct {word} ip6 {letter}addr"] = _original(f"{side}_ip6", 16, "address", direction)
            found[f"ct {word} proto-{side}"] = _original(f"proto_{side}", 2, "number", direction)
    return found


FIELDS = _fields()
BY_WORDS = {tuple(name.split()): (name, found) for name, found in FIELDS.items()}
# How many words the fields have that begin with a word, the most first.
LENGTHS = {
    first: sorted({len(words) for words in BY_WORDS if words[0] == first}, reverse=True)
    for first in {words[0] for words in BY_WORDS}
}


@dataclass(slots=True)
class Writer:
    """The words of a rule that are left, what is written of it, and what it has asked for already."""

    words: tuple[str, ...]
    at: int = 0
    out: list[bytes] = field(default_factory=list)
    known: dict[str, int] = field(default_factory=dict)

    def peek(self, ahead: int = 0) -> str:
        return self.words[self.at + ahead] if self.at + ahead < len(self.words) else ""

    def take(self, wanted: str = "") -> str:
        word = self.peek()
        if not word or (wanted and word != wanted):
            raise Invalid(f"{wanted or 'more'} expected at {word or 'the end'!r}")
        self.at += 1
        return word

    def accept(self, *words: str) -> bool:
        """Take these words if they come next."""
        if self.words[self.at : self.at + len(words)] != words:
            return False
        self.at += len(words)
        return True

    def number(self) -> int:
        word = self.take()
        return number(word)

    def ask(self, what: str, value: int) -> None:
        """Only packets of this family or protocol go on, unless that is so already."""
        if value and self.known.get(what) != value:
            self.out += [x.meta(what), x.compare(x.EQ, bytes([value]))]
            self.known[what] = value

    def field(self) -> tuple[str, Field] | None:
        words = self.words
        for count in LENGTHS.get(self.peek(), ()):
            found = BY_WORDS.get(words[self.at : self.at + count])
            if found is not None:
                self.at += count
                return found
        return None


def number(word: str) -> int:
    try:
        return int(word, 0)
    except ValueError as error:
        raise Invalid(f"{word or 'the end'!r} is not a number") from error
