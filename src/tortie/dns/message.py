"""One query in, one reply out: the wire side of the name server. Pure; the zone holds the answers ready."""

from __future__ import annotations

import bisect
import random
import struct
from dataclasses import dataclass
from typing import NamedTuple

from tortie.dns.zone import ANY, NOT_READY, OPT, Answer, Authority

FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 1, 2, 3, 4, 5, 16
_HEADER = struct.Struct("!HHHHHH")
_QR, _OPCODE, _AA, TC, _RD, _RA, _CD = 0x8000, 0x7800, 0x0400, 0x0200, 0x0100, 0x0080, 0x0010
_OWN_SIZE = 1232
_PLAIN_SIZE = 512
TCP_SIZE = 65535


class Question(NamedTuple):
    """`name` is lower-cased; `raw` is the question section as asked; `size` what the asker takes over UDP.

    A tuple: one is made for each question, and it is the quickest of the kinds that do not change.
    """

    id: int
    flags: int
    name: bytes
    rtype: int
    rclass: int
    raw: bytes
    size: int = _PLAIN_SIZE
    edns: bool = False
    edns_version: int = 0


def parse(query: bytes) -> Question | int | None:
    """A question, the code of the error to answer with, or None when the packet deserves no answer."""
    if len(query) < 12:
        return None
    ident, flags, questions, answers, authority, additional = _HEADER.unpack_from(query)
    if flags & _QR:
        return None
    if flags & _OPCODE:
        return NOTIMP
    if questions != 1:
        return FORMERR
    end = _name_end(query, 12, pointers=False)
    if end is None or end + 4 > len(query):
        return FORMERR
    rtype, rclass = struct.unpack_from("!HH", query, end)
    question = Question(ident, flags, query[12:end].lower(), rtype, rclass, query[12 : end + 4])
    if not answers + authority + additional:
        return question
    return _with_records(query, question, end + 4, answers + authority, additional)


def _name_end(data: bytes, at: int, *, pointers: bool) -> int | None:
    start, size = at, len(data)
    while at < size:
        length = data[at]
        if length == 0:
            return at + 1 if at + 1 - start <= 255 else None
        if length & 0xC0:
            return at + 2 if pointers and length & 0xC0 == 0xC0 and at + 2 <= size else None
        at += length + 1
    return None


def _with_records(query: bytes, question: Question, at: int, plain: int, additional: int) -> Question | int:
    """Walk over the records behind the question: all must be whole, one OPT at most, only among the additional."""
    found = question
    for index in range(plain + additional):
        end = _name_end(query, at, pointers=True)
        if end is None or end + 10 > len(query):
            return FORMERR
        rtype, rclass, ttl, length = struct.unpack_from("!HHIH", query, end)
        if end + 10 + length > len(query):
            return FORMERR
        if rtype == OPT:
            if found.edns or index < plain or end != at + 1:
                return FORMERR
            size, version = max(_PLAIN_SIZE, rclass), (ttl >> 16) & 0xFF
            found = question._replace(size=size, edns=True, edns_version=version)
        at = end + 10 + length
    return found


def respond(
    question: Question, answer: Answer, dice: random.Random, limit: int, *, recursion: bool, mark_cut: bool = True
) -> bytes:
    """The reply with the records in one of their turns, cut to `limit` bytes (the tail goes first, whole)."""
    count, data, tail = answer.count, answer.records, answer.tail
    authority, additional = answer.authority, answer.additional
    turn = 0
    if count > 1:
        turn = int(dice.random() * count)
        data = data[answer.ends[turn] : answer.ends[turn + count]]
    room = limit - 12 - len(question.raw) - (11 if question.edns else 0)
    flags = _QR | _AA | (question.flags & (_RD | _CD)) | (_RA if recursion else 0) | (answer.rcode & 0xF)
    if len(data) + len(tail) > room:
        flags |= TC if mark_cut else 0
        tail, authority, additional = b"", 0, 0
        if len(data) > room:
            start = answer.ends[turn]
            count = bisect.bisect_right(answer.ends, start + room, turn) - 1 - turn
            data = data[: answer.ends[turn + count] - start]
    header = _HEADER.pack(question.id, flags, 1, count, authority, additional + question.edns)
    return header + question.raw + data + tail + (_opt(answer.rcode) if question.edns else b"")


def _opt(rcode: int) -> bytes:
    return b"\0" + struct.pack("!HHIH", OPT, _OWN_SIZE, (rcode >> 4) << 24, 0)


def error(question: Question, rcode: int, *, recursion: bool = False) -> bytes:
    """A reply without records, not authoritative."""
    flags = _QR | (question.flags & (_RD | _CD)) | (_RA if recursion else 0) | (rcode & 0xF)
    header = _HEADER.pack(question.id, flags, 1, 0, 0, int(question.edns))
    return header + question.raw + (_opt(rcode) if question.edns else b"")


def bare_error(query: bytes, rcode: int) -> bytes:
    """A reply to a query whose question cannot be read: its id, its opcode and the code."""
    ident, flags = struct.unpack_from("!HH", query)
    return _HEADER.pack(ident, _QR | (flags & (_OPCODE | _RD)) | rcode, 0, 0, 0, 0)


def cut(reply: bytes) -> bytes:
    """Header and question of a reply, marked as cut: an asker that is real comes back over TCP."""
    flags = struct.unpack_from("!H", reply, 2)[0] | TC
    end = _name_end(reply, 12, pointers=False)
    question = b"" if end is None else reply[12 : end + 4]
    return reply[:2] + struct.pack("!HHHHH", flags, int(bool(question)), 0, 0, 0) + question


@dataclass(frozen=True, slots=True)
class Forward:
    """The name is not ours: ask somebody who knows."""

    question: Question


def udp_limit(question: Question) -> int:
    """Never more than a packet that needs no fragments, whatever the asker offers."""
    return min(question.size, _OWN_SIZE) if question.edns else _PLAIN_SIZE


def handle(
    query: bytes, names: Authority, dice: random.Random, *, tcp: bool, recursion: bool, mark_cut: bool
) -> bytes | Forward | None:
    """The reply, a question to pass on, or None to drop. Names of a zone that is not open yet answer SERVFAIL."""
    if not tcp and (said := names.remembered.get(query[2:])) is not None:
        return query[:2] + said
    question = parse(query)
    if question is None:
        return None
    if isinstance(question, int):
        return bare_error(query, question)
    if question.edns_version:
        return error(question, BADVERS)
    if question.rclass not in (1, ANY):
        return error(question, REFUSED)
    if 251 <= question.rtype <= 254:
        return error(question, NOTIMP)
    answer = names.find(question.name, question.rtype)
    if answer is None:
        return Forward(question)
    if answer is NOT_READY:
        return error(question, SERVFAIL, recursion=recursion)
    limit = TCP_SIZE if tcp else udp_limit(question)
    reply = respond(question, answer, dice, limit, recursion=recursion, mark_cut=mark_cut)
    if answer.count == 1 and not tcp and len(query) <= _PLAIN_SIZE:
        names.remember(query, reply)
    return reply
