"""The messages of one nftables transaction, each with what it is about. Pure."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tortie.base.errors import Invalid
from tortie.dataplane import steps
from tortie.dataplane.kernel.codec import SetType, encode_elements
from tortie.dataplane.kernel.netlink import NLM_F_CREATE, attr, nested, text
from tortie.dataplane.kernel.rules import encode_rule
from tortie.dataplane.want import TABLE_NAME

INET = 1
NEWTABLE, DELTABLE = 0, 2
NEWCHAIN, DELCHAIN = 3, 5
NEWRULE, DELRULE = 6, 8
NEWSET, DELSET = 9, 11
NEWSETELEM, DELSETELEM = 12, 14
NLM_F_APPEND = 0x800
INTERVAL, MAP, CONCAT = 4, 8, 0x80
VERDICT_TYPE = 0xFFFFFF00
COMMENT_MAX, NAME_MAX = 128, 128
"""Of user data that nft puts there; the kernel's own limit on names is 255."""
HOOKS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
BASE = re.compile(r"type (filter|nat|route) hook (\w+) priority (-?\d+); policy accept;")
NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
HEADER = struct.pack(">BBH", INET, 0, 0)
OURS = HEADER + text(1, TABLE_NAME)
# An attribute's length is 16 bits, and so is that of the list of a message's elements.
LIST_BYTES = 60_000


class Part(NamedTuple):
    """One message, and whom to blame when the kernel does not take it."""

    kind: int
    flags: int
    body: bytes
    about: steps.Refusal


class Rejected(Invalid):
    """A step that cannot be written as messages."""

    def __init__(self, refusal: steps.Refusal) -> None:
        self.refusal = refusal
        super().__init__(refusal.reason)


def parts_of(step: steps.Step, table_flags: int = 0) -> Iterator[Part]:
    """The messages of one step. Rejected when it is not of our language."""
    match step:
        case steps.AddSet():
            yield _add_set(step)
        case steps.DropSet():
            yield Part(DELSET, 0, OURS + text(2, step.name), steps.Refusal(set=step.name))
        case steps.Members():
            yield from _members(step)
        case steps.AddChain():
            yield _add_chain(step)
        case steps.WriteRules():
            yield _clear(step.chain)
            yield from _rules(step)
        case steps.ClearChain():
            yield _clear(step.name)
        case steps.DropChain():
            yield Part(DELCHAIN, 0, OURS + text(3, step.name), steps.Refusal(chain=step.name))
        case steps.Replace():
            yield Part(DELTABLE, 0, OURS, steps.Refusal())
            flags = attr(2, struct.pack(">I", table_flags))
            yield Part(NEWTABLE, NLM_F_CREATE, OURS + flags, steps.Refusal())


def _name(name: str, about: steps.Refusal) -> str:
    if not NAME.fullmatch(name):
        raise Rejected(_with(about, f"{name!r} is not a name"))
    return name


def _with(about: steps.Refusal, reason: str) -> steps.Refusal:
    return steps.Refusal(about.chain, about.set, about.key, reason)


def _add_set(step: steps.AddSet) -> Part:
    about = steps.Refusal(set=step.name)
    try:
        kind = SetType.parse(step.kind)
    except Invalid as error:
        raise Rejected(_with(about, str(error))) from error
    flags = (INTERVAL if step.interval else 0) | (MAP if step.verdict else 0)
    body = OURS + text(2, _name(step.name, about))
    if step.interval and len(kind.names) > 1:
        flags |= CONCAT
        fields = (nested(1, attr(1, struct.pack(">I", size))) for size in kind.sizes)
        body += nested(9, nested(2, *fields))
    body += b"".join(
        attr(number, struct.pack(">I", value))
        for number, value in ((3, flags), (4, kind.number), (5, kind.length), (10, 1))
    )
    if step.verdict:
        body += attr(6, struct.pack(">I", VERDICT_TYPE)) + attr(7, struct.pack(">I", 0))
    return Part(NEWSET, NLM_F_CREATE, body + attr(13, _userdata(0, struct.pack("=I", kind.byte_order))), about)


def _members(step: steps.Members) -> Iterator[Part]:
    """A list that one message cannot hold goes into several."""
    about = steps.Refusal(set=step.set)
    head = OURS + text(2, step.set)
    kind, flags = (NEWSETELEM, NLM_F_CREATE) if step.put else (DELSETELEM, 0)
    listed: list[bytes] = []
    size = 0
    try:
        set_type = SetType.parse(step.kind)
        for key, verdict in step.items:
            about = steps.Refusal(set=step.set, key=key)
            one = encode_elements(set_type, key, verdict if step.put else "", interval=step.interval)
            if listed and size + len(one) > LIST_BYTES:
                yield Part(kind, flags, head + nested(3, *listed), steps.Refusal(set=step.set))
                listed, size = [], 0
            listed.append(one)
            size += len(one)
    except Invalid as error:
        raise Rejected(_with(about, str(error))) from error
    if listed:
        only = step.items[0][0] if len(step.items) == 1 else ""
        yield Part(kind, flags, head + nested(3, *listed), steps.Refusal(set=step.set, key=only))


def _add_chain(step: steps.AddChain) -> Part:
    about = steps.Refusal(chain=step.name)
    body = OURS + text(3, _name(step.name, about))
    if step.base:
        found = BASE.fullmatch(step.base)
        if found is None or found[2] not in HOOKS:
            raise Rejected(_with(about, f"{step.base!r} is not a hook"))
        hook, priority = struct.pack(">I", HOOKS[found[2]]), struct.pack(">i", int(found[3]))
        body += text(7, found[1]) + nested(4, attr(1, hook), attr(2, priority)) + attr(5, struct.pack(">I", 1))
    if step.note:
        body += attr(12, _userdata(0, step.note.encode()[: COMMENT_MAX - 1] + b"\0"))
    return Part(NEWCHAIN, NLM_F_CREATE, body, about)


def _clear(chain: str) -> Part:
    return Part(DELRULE, 0, OURS + text(2, chain), steps.Refusal(chain=chain))


def _rules(step: steps.WriteRules) -> Iterator[Part]:
    head = OURS + text(2, step.chain)
    mark = attr(7, _userdata(0, step.mark.encode() + b"\0"))
    for rule in step.rules:
        about = steps.Refusal(chain=step.chain, reason=rule)
        try:
            body = encode_rule(rule)
            yield Part(NEWRULE, NLM_F_CREATE | NLM_F_APPEND, head + nested(4, body) + mark, about)
        except (Invalid, struct.error) as error:
            raise Rejected(_with(about, str(error))) from error


def _userdata(kind: int, data: bytes) -> bytes:
    return bytes([kind, len(data)]) + data


def parts_of_all(plan: Sequence[steps.Step], table_flags: int = 0) -> tuple[list[Part], list[steps.Refusal]]:
    """The messages of all steps, and every step that cannot be written."""
    parts: list[Part] = []
    refused: list[steps.Refusal] = []
    for step in plan:
        try:
            parts += parts_of(step, table_flags)
        except Rejected as error:
            refused.append(error.refusal)
    return parts, refused
