"""The messages of one nftables transaction, each with what it is about. Pure."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tortie.base.errors import Invalid
from tortie.dataplane import steps
from tortie.dataplane.kernel.codec import SetType, encode_elements
from tortie.dataplane.kernel.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST, attr, message, nested, text
from tortie.dataplane.kernel.rules import encode_rule
from tortie.dataplane.want import TABLE_NAME

NFTABLES = 10 << 8
BATCH_BEGIN, BATCH_END = 16, 17
BATCH_HEADER = struct.pack(">BBH", 0, 0, 10)
FLAGS_AT = 6
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
    """One message, and whom to blame when the kernel does not take it. `rule`: its place among those of a chain; there
    may be 100,000 parts, so words are made only when they are needed."""

    kind: int
    flags: int
    body: bytes
    step: steps.Step | None = None
    rule: int = -1

    def refusal(self, reason: str) -> steps.Refusal:
        match self.step:
            case steps.AddSet() | steps.DropSet():
                return steps.Refusal(set=self.step.name, reason=reason)
            case steps.Members():
                key = self.step.items[0][0] if len(self.step.items) == 1 else ""
                return steps.Refusal(set=self.step.set, key=key, reason=reason)
            case steps.WriteRules() if self.rule >= 0:
                return steps.Refusal(chain=self.step.chain, reason=f"{self.step.rules[self.rule]}: {reason}")
            case steps.WriteRules():
                return steps.Refusal(chain=self.step.chain, reason=reason)
            case steps.AddChain() | steps.ClearChain() | steps.DropChain():
                return steps.Refusal(chain=self.step.name, reason=reason)
            case _:
                return steps.Refusal(reason=reason)


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
            yield Part(DELSET, 0, OURS + text(2, step.name), step)
        case steps.Members():
            yield from _members(step)
        case steps.AddChain():
            yield _add_chain(step)
        case steps.WriteRules():
            yield Part(DELRULE, 0, OURS + text(2, step.chain), step)
            yield from _rules(step)
        case steps.ClearChain():
            yield Part(DELRULE, 0, OURS + text(2, step.name), step)
        case steps.DropChain():
            yield Part(DELCHAIN, 0, OURS + text(3, step.name), step)
        case steps.Replace():
            yield Part(DELTABLE, 0, OURS)
            yield Part(NEWTABLE, NLM_F_CREATE, OURS + attr(2, struct.pack(">I", table_flags)))


def _rejected(step: steps.Step, reason: object, rule: int = -1) -> Rejected:
    return Rejected(Part(0, 0, b"", step, rule).refusal(str(reason)))


def _add_set(step: steps.AddSet) -> Part:
    try:
        kind = SetType.parse(step.kind)
    except Invalid as error:
        raise _rejected(step, error) from error
    flags = (INTERVAL if step.interval else 0) | (MAP if step.verdict else 0)
    body = OURS + text(2, _name(step, step.name))
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
    return Part(NEWSET, NLM_F_CREATE, body + attr(13, _userdata(0, struct.pack("=I", kind.byte_order))), step)


def _name(step: steps.Step, name: str) -> str:
    if not NAME.fullmatch(name):
        raise _rejected(step, f"{name!r} is not a name")
    return name


def _members(step: steps.Members) -> Iterator[Part]:
    """A list that one message cannot hold goes into several."""
    head = OURS + text(2, step.set)
    kind, flags = (NEWSETELEM, NLM_F_CREATE) if step.put else (DELSETELEM, 0)
    listed: list[bytes] = []
    size, key = 0, ""
    try:
        set_type = SetType.parse(step.kind)
        for key, verdict in step.items:
            one = encode_elements(set_type, key, verdict if step.put else "", interval=step.interval)
            if listed and size + len(one) > LIST_BYTES:
                yield Part(kind, flags, head + nested(3, *listed), step)
                listed, size = [], 0
            listed.append(one)
            size += len(one)
    except Invalid as error:
        raise Rejected(steps.Refusal(set=step.set, key=key, reason=str(error))) from error
    if listed:
        yield Part(kind, flags, head + nested(3, *listed), step)


def _add_chain(step: steps.AddChain) -> Part:
    body = OURS + text(3, _name(step, step.name))
    if step.base:
        found = BASE.fullmatch(step.base)
        if found is None or found[2] not in HOOKS:
            raise _rejected(step, f"{step.base!r} is not a hook")
        hook, priority = struct.pack(">I", HOOKS[found[2]]), struct.pack(">i", int(found[3]))
        body += text(7, found[1]) + nested(4, attr(1, hook), attr(2, priority)) + attr(5, struct.pack(">I", 1))
    if step.note:
        body += attr(12, _userdata(0, step.note.encode()[: COMMENT_MAX - 1] + b"\0"))
    return Part(NEWCHAIN, NLM_F_CREATE, body, step)


def _rules(step: steps.WriteRules) -> Iterator[Part]:
    head = OURS + text(2, step.chain)
    mark = attr(7, _userdata(0, step.mark.encode() + b"\0"))
    for index, rule in enumerate(step.rules):
        try:
            body = nested(4, encode_rule(rule))
        except (Invalid, struct.error) as error:
            raise Rejected(steps.Refusal(chain=step.chain, reason=str(error))) from error
        yield Part(NEWRULE, NLM_F_CREATE | NLM_F_APPEND, head + body + mark, step, index)


def _userdata(kind: int, data: bytes) -> bytes:
    return bytes([kind, len(data)]) + data


class Batch:
    """The messages of one transaction as they are sent. They are numbered from 0, its beginning."""

    def __init__(self) -> None:
        self.data = bytearray(message(BATCH_BEGIN, NLM_F_REQUEST, 0, BATCH_HEADER))
        self._about: list[tuple[steps.Step | None, int]] = []
        self._at = 0

    def __len__(self) -> int:
        return len(self._about)

    def add(self, part: Part) -> None:
        self._about.append((part.step, part.rule))
        self._at = len(self.data)
        self.data += message(NFTABLES | part.kind, NLM_F_REQUEST | part.flags, len(self), part.body)

    def finish(self) -> bytearray:
        """With its end. The last message asks for an acknowledgement: one for each would not fit a receive buffer."""
        if self._about:
            self.data[self._at + FLAGS_AT] |= NLM_F_ACK
        self.data += message(BATCH_END, NLM_F_REQUEST, len(self) + 1, BATCH_HEADER)
        return self.data

    def refusal(self, number: int, reason: str) -> steps.Refusal:
        """Of the message with this number."""
        step, rule = self._about[number - 1]
        return Part(0, 0, b"", step, rule).refusal(reason)


def batches(
    prepare: Sequence[steps.Step], commit: Sequence[steps.Step], limit: int, table_flags: int
) -> tuple[list[Batch], list[steps.Refusal]]:
    """One transaction, or several of about `limit` bytes as far as `prepare` is too much for it; and every step that
    cannot be written."""
    found, refused = [Batch()], list[steps.Refusal]()
    for divisible, group in ((True, prepare), (False, commit)):
        for step in group:
            try:
                for part in parts_of(step, table_flags):
                    if divisible and len(found[-1]) and len(found[-1].data) + len(part.body) > limit:
                        found.append(Batch())
                    found[-1].add(part)
            except Rejected as error:
                refused.append(error.refusal)
    return [batch for batch in found if len(batch)], refused
