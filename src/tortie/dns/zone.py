"""Answers of the zone, encoded when the records change: a question costs one look-up and a patched header. Pure.

A body is everything behind the question of a reply. Its owner names are pointers to the question (offset 12), so one
body serves every spelling of a name. Several bodies of one answer differ only in order; the server picks one at random.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TypeVar

from tortie.dns.config import Config
from tortie.dns.records import Records

A, NS, SOA, PTR, TXT, AAAA, SRV, OPT, ANY = 1, 2, 6, 12, 16, 28, 33, 41, 255
T = TypeVar("T")
_OWNER = b"\xc0\x0c"
_MAX_ORDERS = 32
_MAX_BODY = 65000


@dataclass(frozen=True, slots=True)
class Body:
    """`cuts[i]` is where answer record i ends; authority and additional records follow the last one."""

    data: bytes
    cuts: tuple[int, ...] = ()
    authority: int = 0
    additional: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    rcode: int
    bodies: tuple[Body, ...]


@dataclass(frozen=True, slots=True)
class NameRecords:
    """What one name owns, in a fixed order: two equal values have equal answers."""

    a: tuple[str, ...] = ()
    aaaa: tuple[str, ...] = ()
    srv: tuple[tuple[str, int], ...] = ()
    targets: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Zone:
    """`answers` by lower-cased wire name, then by type; a type that is absent there is `nodata`."""

    apex: bytes
    names: Mapping[str, NameRecords]
    wires: Mapping[str, bytes]
    answers: Mapping[bytes, Mapping[int, Answer]]
    empty: frozenset[bytes]
    nodata: Answer
    nxdomain: Answer
    serial: int
    records: Records


_PLAIN_NODATA = Answer(0, (Body(b""),))


def wire_name(name: str) -> bytes:
    """A name of letters, digits, dashes and underscores as the DNS writes it."""
    parts = name.encode("ascii").split(b".")
    return b"".join(bytes((len(part),)) + part for part in parts) + b"\0"


def _fits(name: str) -> bool:
    return len(name) <= 253 and all(0 < len(part) <= 63 for part in name.split("."))


def _record(owner: bytes, rtype: int, ttl: int, data: bytes) -> bytes:
    return owner + struct.pack("!HHIH", rtype, 1, ttl, len(data)) + data


def _addresses(owner: bytes, ttl: int, four: Iterable[str], six: Iterable[str]) -> list[bytes]:
    chunks = [_record(owner, A, ttl, IPv4Address(text).packed) for text in four]
    return chunks + [_record(owner, AAAA, ttl, IPv6Address(text).packed) for text in six]


def _body(chunks: list[bytes], extra: list[bytes]) -> Body:
    cuts, end = [], 0
    for chunk in chunks:
        if end + len(chunk) > _MAX_BODY:
            break
        end += len(chunk)
        cuts.append(end)
    data = b"".join(chunks[: len(cuts)])
    kept = []
    for chunk in extra:
        if end + len(chunk) > _MAX_BODY:
            break
        end += len(chunk)
        kept.append(chunk)
    return Body(data + b"".join(kept), tuple(cuts), additional=len(kept))


def _orders(chunks: list[bytes], extra: list[bytes], dice: random.Random) -> Answer:
    """As many orders as there are records, up to a bound: each record comes first in one of them."""
    if len(chunks) == 1:
        return Answer(0, (_body(chunks, extra),))
    dealt = chunks[:]
    dice.shuffle(dealt)
    turns = range(min(len(dealt), _MAX_ORDERS))
    return Answer(0, tuple(_body(dealt[turn:] + dealt[:turn], extra) for turn in turns))


def encode_name(found: NameRecords, config: Config, dice: random.Random) -> dict[int, Answer]:
    """Every positive answer of one name, by type."""
    four = _addresses(_OWNER, config.ttl, found.a, ())
    six = _addresses(_OWNER, config.ttl, (), found.aaaa)
    services, extra = [], []
    for target, port in found.srv:
        data = struct.pack("!HHH", 0, config.srv_weight, port) + wire_name(target)
        services.append(_record(_OWNER, SRV, config.ttl, data))
    for target, address in found.targets:
        four_six = ([], [address]) if ":" in address else ([address], [])
        extra += _addresses(wire_name(target), config.ttl, *four_six)
    answers = {}
    for rtype, chunks in ((A, four), (AAAA, six), (SRV, services)):
        if chunks:
            answers[rtype] = _orders(chunks, extra if rtype == SRV else [], dice)
    kinds = list(answers.values())
    answers[ANY] = kinds[0] if len(kinds) == 1 else _orders(four + six + services, extra, dice)
    answers.setdefault(SRV, _PLAIN_NODATA)
    return answers


def by_name(records: Records, before: Zone | None) -> dict[str, NameRecords]:
    """The records of each name, sorted; names that the DNS cannot carry are left out, unchanged ones taken over."""
    known = before.wires if before is not None else {}
    names = _unchanged(records, before) if before is not None else {}
    for name in (records.a.keys() | records.aaaa.keys() | records.srv.keys()) - names.keys():
        if name not in known and not _fits(name):
            continue
        srv = _sorted(s for s in records.srv.get(name, ()) if s[0] in known or _fits(s[0]))
        found = NameRecords(
            _sorted(records.a.get(name, ())), _sorted(records.aaaa.get(name, ())), srv, _targets(records, srv)
        )
        if found.a or found.aaaa or found.srv:
            names[name] = found
    return names


def _unchanged(records: Records, before: Zone) -> dict[str, NameRecords]:
    """Names of `before` that own the same as then, the addresses of their services' targets included."""
    old = before.records
    moved = {
        name
        for now, had in ((records.a, old.a), (records.aaaa, old.aaaa))
        for name in now.keys() | had.keys()
        if now.get(name) != had.get(name)
    }
    same = {}
    for name, found in before.names.items():
        services = records.srv.get(name)
        if name in moved or services != old.srv.get(name):
            continue
        if services is None or not any(target in moved for target, _ in services):
            same[name] = found
    return same


def _sorted(items: Iterable[T]) -> tuple[T, ...]:
    found = tuple(items)
    return found if len(found) < 2 else tuple(sorted(found))  # type: ignore[type-var]  # texts, or texts and ports


def _targets(records: Records, srv: tuple[tuple[str, int], ...]) -> tuple[tuple[str, str], ...]:
    """One address of each family per SRV target."""
    if not srv:
        return ()
    found = []
    for target in dict.fromkeys(target for target, _ in srv):
        for table in (records.a, records.aaaa):
            if addresses := table.get(target):
                found.append((target, min(addresses)))
    return tuple(found)


def _soa(config: Config, serial: int) -> bytes:
    """The SOA's data, names spelt out: its place in a reply differs."""
    numbers = (serial, config.soa_refresh, config.soa_retry, config.soa_expire, config.soa_minttl)
    return wire_name(config.soa_mname) + wire_name(config.soa_rname) + struct.pack("!IIIII", *numbers)


def _apex(config: Config, found: NameRecords, serial: int, dice: random.Random) -> dict[int, Answer]:
    soa = _record(_OWNER, SOA, config.ttl, _soa(config, serial))
    ns = _record(_OWNER, NS, config.ttl, wire_name(config.soa_mname))
    answers = encode_name(found, config, dice) if found != NameRecords() else {}
    answers[SOA] = Answer(0, (_body([soa], []),))
    answers[NS] = Answer(0, (_body([ns], []),))
    answers[ANY] = Answer(0, (_body([soa, ns, *_addresses(_OWNER, config.ttl, found.a, found.aaaa)], []),))
    return answers


def _parents(names: Iterable[str], domain: str) -> set[str]:
    """Every name above a name, down from the domain: they exist even when they own nothing (RFC 8020)."""
    above: set[str] = set()
    for name in names:
        parent = name.partition(".")[2]
        while parent.endswith(f".{domain}") and parent not in above:
            above.add(parent)
            parent = parent.partition(".")[2]
    return above


def encode(
    records: Records, config: Config, serial: int, before: Zone | None = None, dice: random.Random | None = None
) -> Zone:
    """The zone of these records; answers of names that did not change since `before` are taken over."""
    dice = dice or random.Random(serial)
    known = before.wires if before is not None else {}
    names = by_name(records, before)
    wires = {name: known.get(name) or wire_name(name) for name in names}
    answers: dict[bytes, Mapping[int, Answer]] = {}
    for name, found in names.items():
        wire = wires[name]
        if before is not None and before.names.get(name) is found and wire != before.apex:
            answers[wire] = before.answers[wire]
        else:
            answers[wire] = encode_name(found, config, dice)
    apex = wire_name(config.domain)
    answers[apex] = _apex(config, names.get(config.domain, NameRecords()), serial, dice)
    denial = _record(apex, SOA, min(config.ttl, config.soa_minttl), _soa(config, serial))
    body = (Body(denial, authority=1),)
    empty = frozenset(wire_name(name) for name in _parents(names, config.domain) if name not in names)
    return Zone(apex, names, wires, answers, empty, Answer(0, body), Answer(3, body), serial, records)


def look_up(zone: Zone, name: bytes, rtype: int) -> Answer | None:
    """The answer for a lower-cased wire name; None when the name lies outside the zone."""
    found = zone.answers.get(name)
    if found is not None:
        return found.get(rtype) or zone.nodata
    if name in zone.empty:
        return _PLAIN_NODATA if rtype == SRV else zone.nodata
    if not name.endswith(zone.apex) or not _on_label(name, zone.apex):
        return None
    if b"\x01*" in name:
        plain = name.replace(b"\x01*", b"")
        answer = look_up(zone, plain, rtype)
        return answer if answer is not None and answer.rcode == 0 else zone.nxdomain
    return _PLAIN_NODATA if rtype == SRV else zone.nxdomain


def _on_label(name: bytes, suffix: bytes) -> bool:
    """Whether the suffix begins where a label of the name begins."""
    at, start = 0, len(name) - len(suffix)
    while at < start and name[at]:
        at += name[at] + 1
    return at == start
