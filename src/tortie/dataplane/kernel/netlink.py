"""Netlink messages and sockets: just enough for nftables elements, routes and links."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tortie.base.errors import Unavailable

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_CREATE = 0x100, 0x400
NLM_F_DUMP_INTR = 0x10
NLMSG_ERROR, NLMSG_DONE = 2, 3
NESTED = 0x8000
SOL_NETLINK, ADD_MEMBERSHIP, CAP_ACK = 270, 1, 10
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
BUFFER = 16 << 20


class NetlinkError(Unavailable):
    """The kernel refused a message; `code` is the positive errno, `seq` the number of the message."""

    def __init__(self, code: int, what: str, seq: int = 0) -> None:
        self.code = code
        self.seq = seq
        super().__init__(f"{what}: {self.words(code)}")

    @staticmethod
    def words(code: int) -> str:
        return os.strerror(code)


class Overrun(Unavailable):
    """Events were lost: list again."""


@dataclass(frozen=True, slots=True)
class Message:
    """`port` is that of the socket whose request this answers or tells of."""

    kind: int
    flags: int
    seq: int
    port: int
    body: bytes


def attr(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    size = len(payload) + 4
    return struct.pack("=HH", size, kind) + payload + bytes(-size % 4)


def nested(kind: int, *children: bytes) -> bytes:
    return attr(kind | NESTED, b"".join(children))


def text(kind: int, value: str) -> bytes:
    return attr(kind, value.encode() + b"\0")


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(kind without flag bits, payload) of each attribute."""
    offset = 0
    while offset + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, offset)
        if size < 4:
            return
        yield kind & 0x3FFF, data[offset + 4 : offset + size]
        offset += size + (-size % 4)


def message(kind: int, flags: int, seq: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, seq, 0) + body


def messages(data: bytes) -> Iterator[Message]:
    offset = 0
    while offset + 16 <= len(data):
        size, kind, flags, seq, port = struct.unpack_from("=IHHII", data, offset)
        if size < 16:
            return
        yield Message(kind, flags, seq, port, data[offset + 16 : offset + size])
        offset += size + (-size % 4)


def failure(found: Message) -> int:
    """The positive errno of an NLMSG_ERROR; 0 is an acknowledgement."""
    return -int(struct.unpack_from("=i", found.body)[0])


def open_socket(protocol: int, groups: Sequence[int] = ()) -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    enlarge(sock)
    sock.bind((0, 0))
    for group in groups:
        listen(sock, group)
    return sock


def listen(sock: socket.socket, group: int) -> None:
    """Events of a group arrive on the socket from now on."""
    sock.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, group)


def enlarge(sock: socket.socket, sending: int = BUFFER) -> None:
    """Buffers large enough for a whole batch; a refusal does not carry the refused message back."""
    sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, sending)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    sock.setsockopt(SOL_NETLINK, CAP_ACK, 1)


def send(sock: socket.socket, data: bytes | bytearray, what: str) -> None:
    """One datagram; Unavailable when the kernel does not take it, too large for its buffers for example."""
    try:
        sock.sendto(data, (0, 0))
    except OSError as error:
        raise Unavailable(f"{what}: {len(data)} bytes to the kernel: {error.strerror}") from error


def pending(sock: socket.socket) -> bool:
    """Something can be read at once."""
    return bool(select.select([sock], [], [], 0)[0])


def receive(sock: socket.socket, timeout: float) -> list[Message]:
    """The messages of the next datagram; Unavailable after `timeout` seconds, Overrun when some were lost."""
    if not select.select([sock], [], [], timeout)[0]:
        raise Unavailable(f"netlink: no answer within {timeout:g} s")
    try:
        return list(messages(sock.recv(1 << 20)))
    except OSError as error:
        if error.errno == errno.ENOBUFS:
            raise Overrun("netlink: events were lost") from error
        raise Unavailable(f"netlink: {error.strerror}") from error


def dump(sock: socket.socket, kind: int, body: bytes, seq: int, timeout: float = 10.0) -> list[Message]:
    """Everything of one kind; asked again when the kernel says that the list changed while it was read."""
    for _ in range(10):
        sock.send(message(kind, NLM_F_REQUEST | NLM_F_DUMP, seq, body))
        found: list[Message] = []
        torn = done = False
        while not done:
            for part in receive(sock, timeout):
                if part.seq != seq:
                    continue
                torn = torn or bool(part.flags & NLM_F_DUMP_INTR)
                if part.kind == NLMSG_ERROR and failure(part):
                    if failure(part) == errno.EINTR:
                        torn = done = True
                        continue
                    raise NetlinkError(failure(part), "netlink dump")
                done = done or part.kind in (NLMSG_DONE, NLMSG_ERROR)
                if part.kind not in (NLMSG_DONE, NLMSG_ERROR):
                    found.append(part)
        if not torn:
            return found
    raise Unavailable("netlink: the list kept changing while it was read")
