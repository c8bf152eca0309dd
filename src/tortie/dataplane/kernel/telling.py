"""What the kernel tells of conversations: the packets that a rule decided about, and conversations that ended.

Both sockets belong to the network namespace that they were opened in. One reader at a time has the messages
of a group.
"""

from __future__ import annotations

import errno
import itertools
import socket
import struct
from collections.abc import Iterator

from tortie.base.errors import Conflict, Unavailable
from tortie.dataplane.conversations import ECHO, IDS, PROTOCOL_PART, Counted, Decided, Five, forwarded, packet_of
from tortie.dataplane.kernel.netlink import (
    NETLINK_NETFILTER,
    NLM_F_ACK,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    SO_RCVBUFFORCE,
    Message,
    NetlinkError,
    attr,
    attributes,
    failure,
    listen,
    message,
    messages,
    nested,
    open_socket,
    receive,
)

LOG_PACKET, LOG_CONFIG = 4 << 8, (4 << 8) | 1
# Of the configuration: command, how much of a packet, wait at most (1/100 s), collect so many, say the numbers.
COMMAND, MODE, TIMEOUT, THRESHOLD, FLAGS = 1, 2, 4, 5, 6
BIND, COPY_PACKET, NUMBERED = 1, 2, 1
PAYLOAD, PREFIX, NUMBER = 9, 10, 12
COPIED = 96
COLLECTED, HUNDREDTHS = 32, 10
FOUND, GET, ENDED = 1 << 8, (1 << 8) | 1, (1 << 8) | 2
GROUP_ENDED = 3
ORIGINAL, REPLY, COUNTED, COUNTED_BACK = 1, 2, 9, 10
QUEUED_BYTES = 4 << 20
ANSWER_SECONDS = 10.0


class Decisions:
    """The messages of the rules of one group. `lost`: how many the kernel could not hand over."""

    def __init__(self, group: int) -> None:
        """Conflict when somebody else reads that group; Unavailable where the kernel cannot do this at all."""
        self.sock = open_socket(NETLINK_NETFILTER)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, QUEUED_BYTES)
        self.lost = 0
        self._next: int | None = None
        self._head = struct.pack(">BBH", socket.AF_UNSPEC, 0, group)
        try:
            self._configure(1, attr(COMMAND, bytes([BIND])))
            self._configure(
                2,
                attr(MODE, struct.pack(">IBB", COPIED, COPY_PACKET, 0))
                + attr(TIMEOUT, struct.pack(">I", HUNDREDTHS))
                + attr(THRESHOLD, struct.pack(">I", COLLECTED))
                + attr(FLAGS, struct.pack(">H", NUMBERED)),
            )
        except NetlinkError as error:
            self.close()
            if error.code in (errno.EPERM, errno.EBUSY):
                raise Conflict(f"netlink log group {group} has another reader") from error
            raise Unavailable(f"the kernel has no netlink log: {NetlinkError.words(error.code)}") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.sock.close()

    def _configure(self, seq: int, body: bytes) -> None:
        self.sock.send(message(LOG_CONFIG, NLM_F_REQUEST | NLM_F_ACK, seq, self._head + body))
        while True:
            for found in receive(self.sock, ANSWER_SECONDS):
                if found.kind == NLMSG_ERROR and found.seq == seq:
                    if code := failure(found):
                        raise NetlinkError(code, "netlink log")
                    return

    def read(self) -> list[Decided]:
        """What has come, at most one datagram of it, without waiting."""
        try:
            parts = _datagram(self.sock)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            # The numbers will say how many.
            return []
        found = []
        for part in parts:
            if part.kind == LOG_PACKET:
                fields = dict(attributes(part.body[4:]))
                self._count(fields.get(NUMBER))
                packet = packet_of(fields.get(PAYLOAD, b""))
                if packet is not None:
                    prefix = fields.get(PREFIX, b"").rstrip(b"\0").decode(errors="replace")
                    found.append(Decided(prefix, *packet))
        return found

    def _count(self, number: bytes | None) -> None:
        if number is not None:
            (now,) = struct.unpack(">I", number)
            if self._next is not None:
                self.lost += (now - self._next) & 0xFFFFFFFF
            self._next = now + 1 & 0xFFFFFFFF


class Endings:
    """Conversations that the kernel forgets, ended or silent for long. `overruns`: times that some were lost."""

    def __init__(self) -> None:
        self.sock = open_socket(NETLINK_NETFILTER)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, QUEUED_BYTES)
        listen(self.sock, GROUP_ENDED)
        self.overruns = 0

    def close(self) -> None:
        self.sock.close()

    def read(self) -> list[Counted]:
        """As `Decisions.read`."""
        try:
            parts = list(_datagram(self.sock))
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            self.overruns += 1
            return []
        return [ended for part in parts if part.kind == ENDED and (ended := _counted(part.body, over=True)) is not None]


class Counts:
    """How far conversations have come, asked one by one: a list of all would grow with what others say."""

    def __init__(self) -> None:
        self.sock = open_socket(NETLINK_NETFILTER)
        self._sequence = itertools.count(1)

    def close(self) -> None:
        self.sock.close()

    def of(self, five: Five) -> Counted | None:
        """None: there is no such conversation, or both its addresses are translated."""
        back = Five(five.destination, five.source, five.protocol, five.destination_port, five.source_port)
        for side, tuple_ in ((ORIGINAL, five), (REPLY, back)):
            found = self._ask(side, tuple_)
            if found is not None and found.five == five:
                return found
        return None

    def _ask(self, side: int, five: Five) -> Counted | None:
        seq = next(self._sequence)
        family = socket.AF_INET if len(five.source) == 4 else socket.AF_INET6
        body = struct.pack(">BBH", family, 0, 0) + _tuple_of(side, five, reply=side == REPLY)
        self.sock.send(message(GET, NLM_F_REQUEST, seq, body))
        while True:
            for found in receive(self.sock, ANSWER_SECONDS):
                if found.seq == seq:
                    return _counted(found.body, over=False) if found.kind == FOUND else None


def _tuple_of(side: int, five: Five, *, reply: bool) -> bytes:
    first = 1 if len(five.source) == 4 else 3
    protocol = [attr(1, bytes([five.protocol]))]
    if five.protocol in ECHO:
        # Identifier, type and code follow each other.
        place, kinds = IDS[five.protocol] - PROTOCOL_PART, ECHO[five.protocol]
        identifier = max(five.source_port, five.destination_port)
        protocol += [attr(place, struct.pack(">H", identifier)), attr(place + 1, bytes([kinds[reply]]))]
        protocol.append(attr(place + 2, b"\0"))
    else:
        protocol += [attr(2, struct.pack(">H", five.source_port)), attr(3, struct.pack(">H", five.destination_port))]
    return nested(side, nested(1, attr(first, five.source), attr(first + 1, five.destination)), nested(2, *protocol))


def _datagram(sock: socket.socket) -> Iterator[Message]:
    try:
        return messages(sock.recv(1 << 17, socket.MSG_DONTWAIT))
    except BlockingIOError:
        return iter(())


def _counted(body: bytes, *, over: bool) -> Counted | None:
    fields = dict(attributes(body[4:]))
    original, protocol = _tuple(fields.get(ORIGINAL, b""))
    reply, _ = _tuple(fields.get(REPLY, b""))
    five = forwarded(original, reply, protocol)
    if five is None:
        return None
    return Counted(five, *_numbers(fields.get(COUNTED, b"")), *_numbers(fields.get(COUNTED_BACK, b"")), over)


def _tuple(data: bytes) -> tuple[dict[int, bytes], int]:
    parts = dict(attributes(data))
    protocol = dict(attributes(parts.get(2, b"")))
    found = dict(attributes(parts.get(1, b""))) | {PROTOCOL_PART + kind: value for kind, value in protocol.items()}
    return found, protocol.get(1, b"\0")[0]


def _numbers(data: bytes) -> tuple[int, int]:
    """Packets and bytes; 0 where the kernel does not count."""
    found = dict(attributes(data))
    packets, size = (int.from_bytes(found.get(kind, b""), "big") for kind in (1, 2))
    return packets, size
