"""Raw nftables messages: elements in one batch, the table's flags, and reading the table back."""

from __future__ import annotations

import errno
import itertools
import socket
import struct
from collections.abc import Sequence

from tortie.dataplane.kernel.codec import decode_elements, encode_element, type_name
from tortie.dataplane.kernel.netlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    NetlinkError,
    attr,
    attributes,
    dump,
    failure,
    message,
    nested,
    receive,
    text,
)
from tortie.dataplane.kernel.protocol import Change, State
from tortie.dataplane.want import TABLE_NAME

INET = 1
NFTABLES = 10 << 8
BATCH_BEGIN, BATCH_END = 16, 17
NEWTABLE, GETCHAIN, GETRULE, GETSET = 0, 4, 7, 10
NEWSETELEM, GETSETELEM, DELSETELEM = 12, 13, 14
DORMANT, OWNER, PERSIST = 1, 2, 4
INTERVAL, MAP, ANONYMOUS = 4, 8, 1
COMMENT = 0
CHAIN_POLICY, ACCEPT = 5, struct.pack(">I", 1)
PER_MESSAGE = 500
_sequence = itertools.count(1)


def _header(family: int = INET, resource: int = 0) -> bytes:
    return struct.pack(">BBH", family, 0, resource)


def _transact(sock: socket.socket, parts: Sequence[tuple[int, int, bytes]], what: str) -> None:
    """Send (kind, flags, body) messages as one batch and wait for the verdict; raises the first failure."""
    begin = next(_sequence)
    batch = [message(BATCH_BEGIN, NLM_F_REQUEST, begin, _header(0, 10))]
    last = begin
    for index, (kind, flags, body) in enumerate(parts, 1):
        last = next(_sequence)
        ack = NLM_F_ACK if index == len(parts) else 0
        batch.append(message(NFTABLES | kind, NLM_F_REQUEST | flags | ack, last, body))
    batch.append(message(BATCH_END, NLM_F_REQUEST, next(_sequence), _header(0, 10)))
    sock.sendto(b"".join(batch), (0, 0))
    while True:
        for found in receive(sock, 30.0):
            if found.kind != NLMSG_ERROR or not begin <= found.seq <= last:
                continue
            if code := failure(found):
                raise NetlinkError(code, what, found.seq - begin)
            if found.seq == last:
                return


def change_elements(sock: socket.socket, changes: Sequence[Change]) -> None:
    """All or nothing. A map key that gets another verdict needs its drop before its put, in the same call."""
    parts: list[tuple[int, int, bytes]] = []
    for (put, name, kind), group in itertools.groupby(changes, key=lambda c: (c.put, c.set, c.type)):
        members = list(group)
        for start in range(0, len(members), PER_MESSAGE):
            listing = [encode_element(kind, m.key, m.verdict) for m in members[start : start + PER_MESSAGE]]
            body = _header() + text(1, TABLE_NAME) + text(2, name) + nested(3, *listing)
            parts.append((NEWSETELEM if put else DELSETELEM, NLM_F_CREATE if put else 0, body))
    if parts:
        _transact(sock, parts, "nftables elements")


def take_table(sock: socket.socket, flags: int) -> None:
    """Make the table, or adopt the one that is there, with these flags."""
    body = _header() + text(1, TABLE_NAME) + attr(2, struct.pack(">I", flags))
    _transact(sock, [(NEWTABLE, NLM_F_CREATE, body)], f"table {TABLE_NAME}")


def table_flags(sock: socket.socket) -> int | None:
    """None: there is no such table."""
    for found in dump(sock, NFTABLES | 1, _header(), next(_sequence)):
        fields = dict(attributes(found.body[4:]))
        if fields[1].rstrip(b"\0").decode() == TABLE_NAME:
            return int(struct.unpack(">I", fields[2])[0])
    return None


def read_table(sock: socket.socket) -> State:
    """Shapes of the sets, marks of the chains, elements of the sets without intervals."""
    sets, elements = {}, {}
    for name, kind, flags in _sets(sock):
        known = type_name(kind)
        shape = f"{known}{' interval' if flags & INTERVAL else ''}{' verdict' if flags & MAP else ''}"
        sets[name] = shape
        if known and not flags & INTERVAL:
            elements[name] = _elements(sock, name, known)
    return State(sets, _chains(sock), elements)


def _sets(sock: socket.socket) -> list[tuple[str, int, int]]:
    body = _header() + text(1, TABLE_NAME)
    found = []
    for part in _dump_or_nothing(sock, GETSET, body):
        fields = dict(attributes(part))
        flags = int(struct.unpack(">I", fields[3])[0]) if 3 in fields else 0
        if not flags & ANONYMOUS:
            found.append((_string(fields[2]), int(struct.unpack(">I", fields[4])[0]), flags))
    return found


def _elements(sock: socket.socket, name: str, kind: str) -> dict[str, str]:
    body = _header() + text(1, TABLE_NAME) + text(2, name)
    found: dict[str, str] = {}
    for part in _dump_or_nothing(sock, GETSETELEM, body):
        for field, payload in attributes(part):
            if field == 3:
                found.update(decode_elements(kind, payload))
    return found


def _chains(sock: socket.socket) -> dict[str, str]:
    """Each chain with the mark that all its rules carry; '?' if they do not agree or are not as many as it says, or if
    the chain's policy is not to accept."""
    marks: dict[str, list[str]] = {}
    for part in _dump_or_nothing(sock, GETCHAIN, _header()):
        fields = dict(attributes(part))
        if _string(fields[1]) == TABLE_NAME:
            policy = fields.get(CHAIN_POLICY, ACCEPT)
            marks[_string(fields[3])] = [] if policy == ACCEPT else ["?"]
    for part in _dump_or_nothing(sock, GETRULE, _header() + text(1, TABLE_NAME)):
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
        return [found.body[4:] for found in dump(sock, NFTABLES | kind, body, next(_sequence))]
    except NetlinkError as error:
        if error.code == errno.ENOENT:
            return []
        raise


def _string(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode()
