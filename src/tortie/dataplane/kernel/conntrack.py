"""The kernel's record of conversations: forgetting those of an address that has gone to somebody else.

A conversation once allowed goes on whatever the policy says now. When its address is another workload's, what is left
of it would be a way past that workload's policy.
"""

from __future__ import annotations

import errno
import itertools
import socket
import struct
from collections.abc import Collection, Iterator

from tortie.dataplane.kernel.netlink import (
    NETLINK_NETFILTER,
    NLM_F_ACK,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    NetlinkError,
    attr,
    attributes,
    dump,
    failure,
    message,
    nested,
    open_socket,
    receive,
)

GET, DELETE, STATISTICS = (1 << 8) | 1, (1 << 8) | 2, (1 << 8) | 5
ENTRIES = 1
ORIGINAL, REPLY, ID, ZONE, FILTER = 1, 2, 12, 18, 25
TUPLE_IP = 1
SOURCE = {socket.AF_INET: 1, socket.AF_INET6: 3}
BY_SOURCE = struct.pack("=I", 1)
# Up to here the kernel is asked address by address; beyond, one list of everything is shorter.
FEW = 8
# So many conversations are listed sooner than the kernel picks some of them: for each question it walks through its
# whole hash table, and that is 10 ms where the table has the size that a large machine gives it.
LISTED = 200


class Conntrack:
    """Blocking calls; the socket belongs to the network namespace that it was made in."""

    def __init__(self) -> None:
        self._sock = open_socket(NETLINK_NETFILTER)
        self._sequence = itertools.count(1)

    def close(self) -> None:
        self._sock.close()

    def forget(self, addresses: Collection[str]) -> int:
        """End every conversation that one of the addresses began or answered; how many there were."""
        families: dict[socket.AddressFamily, set[bytes]] = {}
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            families.setdefault(family, set()).add(socket.inet_pton(family, address))
        there = self.count()
        return sum(self._forget(family, wanted, there) for family, wanted in families.items()) if there else 0

    def count(self) -> int:
        """How many conversations of all addresses there are."""
        seq = next(self._sequence)
        self._sock.send(message(STATISTICS, NLM_F_REQUEST | NLM_F_ACK, seq, _head(socket.AF_UNSPEC)))
        count = 0
        while True:
            for found in receive(self._sock, 10.0):
                if found.seq == seq and found.kind == STATISTICS:
                    count = int.from_bytes(dict(attributes(found.body[4:])).get(ENTRIES, b""), "big")
                if found.seq == seq and found.kind == NLMSG_ERROR:
                    if failure(found):
                        raise NetlinkError(failure(found), "conntrack")
                    return count

    def _forget(self, family: socket.AddressFamily, wanted: set[bytes], there: int) -> int:
        found: dict[bytes, bytes] = {}
        for question in [_head(family)] if there <= LISTED else self._questions(family, wanted):
            for part in dump(self._sock, GET, question, next(self._sequence)):
                fields = dict(attributes(part.body[4:]))
                if {_source(fields.get(side, b""), family) for side in (ORIGINAL, REPLY)} & wanted:
                    found[fields.get(ID, b"") + fields[ORIGINAL]] = _head(family) + b"".join(
                        attr(kind | 0x8000 if kind == ORIGINAL else kind, fields[kind])
                        for kind in (ORIGINAL, ID, ZONE)
                        if kind in fields
                    )
        for body in found.values():
            self._delete(body)
        return len(found)

    def _questions(self, family: socket.AddressFamily, wanted: set[bytes]) -> Iterator[bytes]:
        """A kernel before 5.8 does not know the filter and answers with everything."""
        if len(wanted) > FEW:
            yield _head(family)
            return
        for raw in wanted:
            for place, side in enumerate((ORIGINAL, REPLY), 1):
                yield (
                    _head(family)
                    + nested(side, nested(TUPLE_IP, attr(SOURCE[family], raw)))
                    + nested(FILTER, attr(place, BY_SOURCE))
                )

    def _delete(self, body: bytes) -> None:
        seq = next(self._sequence)
        self._sock.send(message(DELETE, NLM_F_REQUEST | NLM_F_ACK, seq, body))
        while True:
            for found in receive(self._sock, 10.0):
                if found.seq == seq and found.kind == NLMSG_ERROR:
                    code = failure(found)
                    if code not in (0, errno.ENOENT):
                        raise NetlinkError(code, "conntrack")
                    return


def _head(family: socket.AddressFamily) -> bytes:
    return struct.pack(">BBH", family, 0, 0)


def _source(side: bytes, family: socket.AddressFamily) -> bytes | None:
    address = dict(attributes(dict(attributes(side)).get(TUPLE_IP, b"")))
    return address.get(SOURCE[family])
