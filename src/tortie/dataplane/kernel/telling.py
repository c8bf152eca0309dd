"""What the kernel tells of conversations: the packets that a rule decided about, and conversations that ended.

Both sockets belong to the network namespace that they were opened in. One reader at a time has the messages
of a group.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

from tortie.base.errors import Conflict, Unavailable
from tortie.dataplane.conversations import PROTOCOL_PART, Decided, Ended, forwarded, packet_of
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
ENDED = (1 << 8) | 2
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

    def read(self) -> list[Ended]:
        """As `Decisions.read`."""
        try:
            parts = list(_datagram(self.sock))
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            self.overruns += 1
            return []
        return [ended for part in parts if part.kind == ENDED and (ended := _ended(part.body[4:])) is not None]


def _datagram(sock: socket.socket) -> Iterator[Message]:
    try:
        return messages(sock.recv(1 << 17, socket.MSG_DONTWAIT))
    except BlockingIOError:
        return iter(())


def _ended(body: bytes) -> Ended | None:
    fields = dict(attributes(body))
    original, protocol = _tuple(fields.get(ORIGINAL, b""))
    reply, _ = _tuple(fields.get(REPLY, b""))
    five = forwarded(original, reply, protocol)
    if five is None:
        return None
    return Ended(five, *_counted(fields.get(COUNTED, b"")), *_counted(fields.get(COUNTED_BACK, b"")))


def _tuple(data: bytes) -> tuple[dict[int, bytes], int]:
    parts = dict(attributes(data))
    protocol = dict(attributes(parts.get(2, b"")))
    found = dict(attributes(parts.get(1, b""))) | {PROTOCOL_PART + kind: value for kind, value in protocol.items()}
    return found, protocol.get(1, b"\0")[0]


def _counted(data: bytes) -> tuple[int, int]:
    """Packets and bytes; 0 where the kernel does not count."""
    found = dict(attributes(data))
    packets, size = (int.from_bytes(found.get(kind, b""), "big") for kind in (1, 2))
    return packets, size
