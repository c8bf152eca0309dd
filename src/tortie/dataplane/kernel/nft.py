"""Raw nftables messages: transactions, the table's flags, the generation, and reading the table back."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Collection, Iterator, Sequence

from tortie.dataplane.kernel.batch import (
    DELTABLE,
    HEADER,
    INTERVAL,
    MAP,
    NEWTABLE,
    NFTABLES,
    OURS,
    Batch,
    Part,
)
from tortie.dataplane.kernel.codec import SetType, decode_elements, decode_intervals, type_name
from tortie.dataplane.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    NetlinkError,
    attr,
    attributes,
    dump,
    failure,
    message,
    pending,
    receive,
    send,
    text,
)
from tortie.dataplane.kernel.protocol import State
from tortie.dataplane.steps import Refusal
from tortie.dataplane.want import TABLE_NAME

GETTABLE, GETCHAIN, GETRULE, GETSET, GETSETELEM, GETGEN = 1, 4, 7, 10, 13, 16
DORMANT, OWNER, PERSIST = 1, 2, 4
ANONYMOUS = 1
# The messages of a batch are numbered from 0, single requests from here.
FIRST_REQUEST = 1 << 31
COMMENT = 0
CHAIN_POLICY, ACCEPT = 5, struct.pack(">I", 1)
TRIES = 5


class Refused(NetlinkError):
    """The kernel took nothing of a transaction; `refusals` say what it did not like."""

    def __init__(self, code: int, what: str, refusals: Sequence[Refusal]) -> None:
        self.refusals = refusals
        super().__init__(code, what)


def _count() -> Iterator[int]:
    while True:
        yield from range(FIRST_REQUEST, 1 << 32)


_requests = _count()


def transact(sock: socket.socket, batch: Batch, what: str) -> None:
    """All of it in one transaction. Refused with every part that the kernel does not take; nothing is applied then.

    Answers are there when the sending returns, for a batch is carried out in the sender's own time; all are read here.
    """
    data = batch.finish()
    for attempt in range(TRIES):
        try:
            return _try(sock, batch, data, what)
        except Refused as error:
            if error.code != errno.EINTR or attempt == TRIES - 1:
                raise
    return None


def _try(sock: socket.socket, batch: Batch, data: bytearray, what: str) -> None:
    send(sock, data, what)
    failed: list[tuple[int, int]] = []
    acknowledged = False
    while not (acknowledged or failed) or pending(sock):
        for found in receive(sock, 60.0):
            if found.kind == NLMSG_ERROR and found.seq <= len(batch):
                if code := failure(found):
                    failed.append((found.seq, code))
                acknowledged = acknowledged or found.seq == len(batch)
    if failed:
        refusals = [batch.refusal(seq, NetlinkError.words(code)) for seq, code in failed if seq]
        raise Refused(failed[0][1], what, refusals)


def _single(sock: socket.socket, part: Part, what: str) -> None:
    batch = Batch()
    batch.add(part)
    transact(sock, batch, what)


def take_table(sock: socket.socket, flags: int) -> None:
    """Make the table, or adopt the one that is there, with these flags."""
    body = OURS + attr(2, struct.pack(">I", flags))
    _single(sock, Part(NEWTABLE, NLM_F_CREATE, body), f"table {TABLE_NAME}")


def drop_table(sock: socket.socket) -> None:
    """With everything in it."""
    _single(sock, Part(DELTABLE, 0, OURS), f"table {TABLE_NAME}")


def table_flags(sock: socket.socket) -> int | None:
    """None: there is no such table."""
    for found in dump(sock, NFTABLES | GETTABLE, HEADER, next(_requests)):
        fields = dict(attributes(found.body[4:]))
        if _string(fields[1]) == TABLE_NAME:
            return int(struct.unpack(">I", fields[2])[0])
    return None


def generation(sock: socket.socket) -> int:
    """How many transactions of anybody this network namespace has seen."""
    seq = next(_requests)
    send(sock, message(NFTABLES | GETGEN, NLM_F_REQUEST, seq, HEADER), "generation")
    while True:
        for found in receive(sock, 30.0):
            if found.seq == seq:
                if found.kind == NLMSG_ERROR:
                    raise NetlinkError(failure(found), "generation")
                return int(struct.unpack(">I", dict(attributes(found.body[4:]))[1])[0])


def read_table(sock: socket.socket, names: Collection[str] | None = None) -> State:
    """Shapes of the sets, marks of the chains, elements of the sets, or of those named."""
    wanted = None if names is None else frozenset(names)
    sets, elements = {}, {}
    for name, kind, flags in _sets(sock):
        known = type_name(kind)
        sets[name] = f"{known}{' interval' if flags & INTERVAL else ''}{' verdict' if flags & MAP else ''}"
        if known and (wanted is None or name in wanted):
            elements[name] = _elements(sock, name, SetType.parse(known), interval=bool(flags & INTERVAL))
    return State(sets, _chains(sock), elements)


def _sets(sock: socket.socket) -> list[tuple[str, int, int]]:
    found = []
    for part in _dump_or_nothing(sock, GETSET, OURS):
        fields = dict(attributes(part))
        flags = int(struct.unpack(">I", fields[3])[0]) if 3 in fields else 0
        if not flags & ANONYMOUS:
            found.append((_string(fields[2]), int(struct.unpack(">I", fields[4])[0]), flags))
    return found


def _elements(sock: socket.socket, name: str, kind: SetType, *, interval: bool) -> dict[str, str]:
    parts = _dump_or_nothing(sock, GETSETELEM, OURS + text(2, name))
    listings = [payload for part in parts for field, payload in attributes(part) if field == 3]
    if interval:
        return decode_intervals(kind, listings)
    return dict(element for listing in listings for element in decode_elements(kind, listing))


def _chains(sock: socket.socket) -> dict[str, str]:
    """Each chain with the mark that all its rules carry; '?' if they do not agree or are not as many as it says, or if
    the chain's policy is not to accept."""
    marks: dict[str, list[str]] = {}
    for part in _dump_or_nothing(sock, GETCHAIN, HEADER):
        fields = dict(attributes(part))
        if _string(fields[1]) == TABLE_NAME:
            policy = fields.get(CHAIN_POLICY, ACCEPT)
            marks[_string(fields[3])] = [] if policy == ACCEPT else ["?"]
    for part in _dump_or_nothing(sock, GETRULE, OURS):
        fields = dict(attributes(part))
        if _string(fields[1]) == TABLE_NAME:
            marks.setdefault(_string(fields[2]), []).append(_comment(fields.get(7, b"")))
    return {chain: _mark(found) for chain, found in marks.items()}


def _mark(comments: list[str]) -> str:
    first = comments[0] if comments else ""
    whole = all(comment == first for comment in comments) and first.endswith(f"/{len(comments)}")
    return first if whole else "?"


def _comment(userdata: bytes) -> str:
    """The comment in a rule's user data: type, length, text with a NUL."""
    offset = 0
    while offset + 2 <= len(userdata):
        kind, size = userdata[offset], userdata[offset + 1]
        if kind == COMMENT:
            return userdata[offset + 2 : offset + 2 + size].rstrip(b"\0").decode(errors="replace")
        offset += 2 + size
    return ""


def _dump_or_nothing(sock: socket.socket, kind: int, body: bytes) -> list[bytes]:
    """Bodies without their header; a table that is not there has nothing in it."""
    try:
        return [found.body[4:] for found in dump(sock, NFTABLES | kind, body, next(_requests))]
    except NetlinkError as error:
        if error.code == errno.ENOENT:
            return []
        raise


def _string(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode()
