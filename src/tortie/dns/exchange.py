"""What makes a reply of another server believable, and what may be passed on of it. Pure: chance is a parameter.

An answer that is not waited for must be unlikely to fit: besides the socket's own port, the id and the case of every
letter of the name are drawn anew for each question, and only a reply that repeats them is taken.
"""

from __future__ import annotations

import struct
from enum import Enum

from tortie.dns.message import NOTIMP, REFUSED, SERVFAIL, Question

_EMPTY_HANDED = (SERVFAIL, NOTIMP, REFUSED)
_FORMERR = 1


class Fit(Enum):
    """Whether a reply is one to the question: another server may not keep the case of letters."""

    YES = "yes"
    OTHER_CASE = "other case"
    NO = "no"


def disguised(query: bytes, question: Question, chance: bytes) -> bytes:
    """The query under another id and with letters in another case; `chance` has two bytes and one for each letter."""
    name_end = len(question.raw) - 4
    mixed = bytearray(question.raw)
    for at in range(name_end):
        if mixed[at] | 0x20 in range(0x61, 0x7B) and chance[2 + at % (len(chance) - 2)] & 1:
            mixed[at] ^= 0x20
    return chance[:2] + query[2:12] + bytes(mixed) + query[12 + len(mixed) :]


def fit(reply: bytes, sent: bytes, question: Question) -> Fit:
    """Only a reply to this very question counts: its id, its response bit, its question."""
    if len(reply) < 12 or reply[:2] != sent[:2] or not reply[2] & 0x80 or (reply[2] ^ sent[2]) & 0x78:
        return Fit.NO
    counts = struct.unpack_from("!HHHH", reply, 4)
    if counts[0] == 0:  # some servers refuse without repeating the question; nothing else may come so
        return Fit.YES if not any(counts[1:3]) and reply[3] & 0xF in (_FORMERR, *_EMPTY_HANDED) else Fit.NO
    end = 12 + len(question.raw)
    if counts[0] != 1 or reply[12:end].lower() != question.raw.lower():
        return Fit.NO
    return Fit.YES if reply[12:end] == sent[12:end] else Fit.OTHER_CASE


def empty_handed(reply: bytes) -> bool:
    """Whether the server says that it cannot or will not answer: another may."""
    return reply[3] & 0xF in _EMPTY_HANDED


def undisguised(reply: bytes, query: bytes, question: Question) -> bytes:
    """The reply as one to the query that was asked of us."""
    if reply[4:6] == b"\0\0":
        return query[:2] + reply[2:4] + b"\0\1" + reply[6:12] + question.raw + reply[12:]
    return query[:2] + reply[2:12] + question.raw + reply[12 + len(question.raw) :]
