"""Answers of a zone, encoded when the records change: a question costs one look-up and a patched header. Pure.

An answer is everything behind the question of a reply. Its owner names are pointers to the question (offset 12), so it
serves every spelling of a name. The records lie there twice in a row: every turn of their order is a slice of it.
"""

from __future__ import annotations

import functools
import itertools
import random
import struct
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from tortie.dns.book import AAAA, SRV, A, NameRecords

NS, SOA, PTR, TXT, OPT, ANY = 2, 6, 12, 16, 41, 255
_OWNER = b"\xc0\x0c"
_MAX_WHOLE = 65000
_MAX_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Answer:
    """`ends[i]` is where the records begin that follow the first i. `tail`: authority or additional records."""

    rcode: int
    count: int = 0
    records: bytes = b""
    ends: tuple[int, ...] = (0,)
    tail: bytes = b""
    authority: int = 0
    additional: int = 0


@dataclass(frozen=True, slots=True)
class Apex:
    """The constants of a zone. `fixed_serial`: for a zone whose serial says nothing."""

    domain: str
    ttl: int
    mname: str
    rname: str
    refresh: int
    retry: int
    expire: int
    minttl: int
    srv_weight: int = 1
    ns_ttl: int | None = None
    fixed_serial: int | None = None


Answers = dict[bytes, Mapping[int, Answer]]
"""By lower-cased wire name, then by type; a type that is absent there has no data."""

_PLAIN_NODATA = Answer(0)
NOT_READY = Answer(2)
"""SERVFAIL: an asker goes to its next server and remembers nothing."""


_LENGTHS = [bytes((length,)) for length in range(64)]


@functools.lru_cache(maxsize=4096)
def wire_name(name: str) -> bytes:
    """A name of letters, digits, dashes and underscores as the DNS writes it; "" is the root."""
    parts = name.encode("ascii").split(b".") if name else ()
    return b"".join([_LENGTHS[len(part)] + part for part in parts]) + b"\0"


def suffixes(name: bytes) -> Iterator[tuple[int, bytes]]:
    """A wire name and all names above it, each with the place where it begins."""
    at = 0
    while True:
        yield at, name[at:]
        if not name[at]:
            return
        at += name[at] + 1


def _record(owner: bytes, rtype: int, ttl: int, data: bytes) -> bytes:
    return owner + struct.pack("!HHIH", rtype, 1, ttl, len(data)) + data


@functools.lru_cache(maxsize=65536)
def _packed(text: str) -> bytes:
    return ip_address(text).packed


def _addresses(owner: bytes, ttl: int, four: Iterable[str], six: Iterable[str]) -> list[bytes]:
    chunks = [_record(owner, A, ttl, _packed(text)) for text in four]
    return chunks + [_record(owner, AAAA, ttl, _packed(text)) for text in six]


def _answer(chunks: list[bytes], extra: list[bytes] | None = None, dice: random.Random | None = None) -> Answer:
    """The records in an order of chance, and as many of `extra` as fit into the largest reply."""
    if dice is not None and len(chunks) > 1:
        chunks = dice.sample(chunks, len(chunks))
    twice = chunks + chunks if len(chunks) > 1 else chunks
    room = _MAX_WHOLE - sum(map(len, chunks))
    kept = 0
    for chunk in extra or ():
        room -= len(chunk)
        if room < 0:
            break
        kept += 1
    ends = tuple(itertools.accumulate(map(len, twice), initial=0))
    return Answer(0, len(chunks), b"".join(twice), ends, b"".join((extra or [])[:kept]), additional=kept)


def encode_name(found: NameRecords, apex: Apex, dice: random.Random) -> dict[int, Answer]:
    """Every positive answer of one name, by type; nothing for a name without data."""
    four = _addresses(_OWNER, apex.ttl, found.a, ())
    six = _addresses(_OWNER, apex.ttl, (), found.aaaa)
    services, extra = [], []
    wires = {target: wire_name(target) for target, _ in found.srv}
    for target, port in found.srv:
        data = struct.pack("!HHH", 0, apex.srv_weight, port) + wires[target]
        services.append(_record(_OWNER, SRV, apex.ttl, data))
    for target, address in found.targets:
        extra.append(_record(wires[target], AAAA if ":" in address else A, apex.ttl, _packed(address)))
    answers = {}
    for rtype, chunks in ((A, four), (AAAA, six), (SRV, services)):
        if chunks:
            answers[rtype] = _answer(chunks, extra if rtype == SRV else [], dice)
    kinds = list(answers.values())
    if kinds:
        answers[ANY] = kinds[0] if len(kinds) == 1 else _answer(four + six + services, extra, dice)
    answers.setdefault(SRV, _PLAIN_NODATA)
    return answers


class _OfName(dict[int, Answer]):
    """The answers of one name, or of all names that own the same addresses."""

    __slots__ = ("__weakref__",)


class Zone:
    """One zone's answers. `set` brings one name up to date, `stamp` the serial; until `ready` nothing is served."""

    def __init__(self, apex: Apex, *, aliases: Iterable[str] = (), dice: random.Random | None = None) -> None:
        self.apex = apex
        self.wire = wire_name(apex.domain)
        self.aliases = tuple(wire_name(alias) for alias in aliases)
        self.answers: Answers = {}
        self.empty: set[bytes] = set()
        self.ready = False
        self.serial = 0
        self._dice = dice or random.Random()
        self.remembered: dict[bytes, bytes] = {}
        self._alike: weakref.WeakValueDictionary[NameRecords, _OfName] = weakref.WeakValueDictionary()
        self._below: dict[str, int] = {}
        self._at_apex = NameRecords()
        self._denials: dict[bytes, tuple[Answer, Answer]] = {}
        self.stamp(0)

    def set(self, name: str, found: NameRecords | None) -> None:
        """What the name owns from now on; None when it is gone."""
        self.remembered.clear()
        if name == self.apex.domain:
            self._at_apex = found or NameRecords()
            self.answers[self.wire] = self._apex_answers()
            return
        wire = wire_name(name)
        known = wire in self.answers
        if found is not None:
            self.answers[wire] = self._encoded(found)
            if not known:
                self._parents(name, 1)
        elif known:
            del self.answers[wire]
            self._parents(name, -1)

    def _encoded(self, found: NameRecords) -> Mapping[int, Answer]:
        """A task's names all own one address: they share their answers."""
        if found.srv:
            return encode_name(found, self.apex, self._dice)
        answers = self._alike.get(found)
        if answers is None:
            answers = self._alike[found] = _OfName(encode_name(found, self.apex, self._dice))
        return answers

    def stamp(self, serial: int) -> None:
        """The serial from now on, in the SOA and in every denial."""
        self.remembered.clear()
        self.serial = self.apex.fixed_serial or serial
        for wire in (self.wire, *self.aliases):
            denial = _record(wire, SOA, min(self.apex.ttl, self.apex.minttl), self._soa())
            self._denials[wire] = (Answer(0, tail=denial, authority=1), Answer(3, tail=denial, authority=1))
        self.answers[self.wire] = self._apex_answers()

    def look_up(self, name: bytes, rtype: int, apex: bytes) -> Answer:
        """The answer for a lower-cased wire name of the zone; denials carry `apex`, an alias of it or itself."""
        nodata, nxdomain = self._denials[apex]
        found = self.answers.get(name)
        if found is not None:
            return found.get(rtype) or nodata
        if name in self.empty:
            return _PLAIN_NODATA if rtype == SRV else nodata
        if b"\x01*" in name and (plain := _without_stars(name)) != name:
            answer = self.look_up(plain, rtype, apex)
            return nxdomain if answer.rcode else answer
        return _PLAIN_NODATA if rtype == SRV else nxdomain

    def _parents(self, name: str, by: int) -> None:
        """Every name between a name and the apex exists even when it owns nothing (RFC 8020): names count at the
        name above them, and so does that one as long as it has any."""
        domain = f".{self.apex.domain}"
        parent = name.partition(".")[2]
        while parent.endswith(domain):
            count = self._below.get(parent, 0) + by
            if count:
                self._below[parent] = count
            else:
                del self._below[parent]
            if count != max(by, 0):  # neither the first nor the last
                return
            (self.empty.add if count else self.empty.discard)(wire_name(parent))
            parent = parent.partition(".")[2]

    def _soa(self) -> bytes:
        """The SOA's data, names spelt out: its place in a reply differs."""
        apex = self.apex
        numbers = (self.serial, apex.refresh, apex.retry, apex.expire, apex.minttl)
        return wire_name(apex.mname) + wire_name(apex.rname) + struct.pack("!IIIII", *numbers)

    def _apex_answers(self) -> dict[int, Answer]:
        apex, found = self.apex, self._at_apex
        soa = _record(_OWNER, SOA, apex.ttl, self._soa())
        ns = _record(_OWNER, NS, apex.ns_ttl or apex.ttl, wire_name(apex.mname))
        answers = encode_name(found, apex, self._dice)
        answers[SOA] = _answer([soa])
        answers[NS] = _answer([ns])
        answers[ANY] = _answer([soa, ns, *_addresses(_OWNER, apex.ttl, found.a, found.aaaa)])
        return answers


def _without_stars(name: bytes) -> bytes:
    """The name without its labels `*`: an old way to ask."""
    at, kept = 0, bytearray()
    while name[at]:
        label = name[at : at + name[at] + 1]
        kept += b"" if label == b"\x01*" else label
        at += len(label)
    return bytes(kept + b"\0")


class Authority:
    """All zones of a server. The deepest zone that a name lies in answers, once it is open.

    `remembered`: whole replies that are the same each time, without their ids, by queries without theirs. Every change
    of a zone forgets them.
    """

    def __init__(self, zones: Iterable[Zone]) -> None:
        self.zones = tuple(zones)
        self.remembered: dict[bytes, bytes] = {}
        for zone in self.zones:
            zone.remembered = self.remembered
        self._at = {wire: zone for zone in self.zones for wire in (zone.wire, *zone.aliases)}
        self._open: tuple[Answers, ...] = ()

    def open(self, zone: Zone) -> None:
        """Serve it from now on: it has been filled."""
        if not zone.ready:
            zone.ready = True
            self._open += (zone.answers,)

    def remember(self, query: bytes, reply: bytes) -> None:
        """As many as are asked for often; strangers may ask in as many spellings as they like."""
        if len(self.remembered) >= _MAX_REMEMBERED:
            self.remembered.clear()
        self.remembered[query[2:]] = reply[2:]

    def find(self, name: bytes, rtype: int) -> Answer | None:
        """The answer for a lower-cased wire name; None when it lies in none of the zones."""
        for answers in self._open:
            if (found := answers.get(name)) is not None:
                if (answer := found.get(rtype)) is not None:
                    return answer
                break
        for at, suffix in suffixes(name):
            zone = self._at.get(suffix)
            if zone is not None:
                if not zone.ready:
                    return NOT_READY
                own = name if suffix == zone.wire else name[:at] + zone.wire
                return zone.look_up(own, rtype, suffix)
        return None
