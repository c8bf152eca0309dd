"""The process that owns the nftables socket.

It lives as long as its connection to the agent. libnftables may end the process it runs in, and its calls block: here
neither harms the agent. Started as `python -m tortie.dataplane.kernel.child REQUESTS EVENTS` with two descriptors.
"""

from __future__ import annotations

import contextlib
import errno
import select
import signal
import socket
import sys

import msgspec

from tortie.base.errors import TortieError, Unavailable
from tortie.dataplane.kernel import nft, protocol
from tortie.dataplane.kernel.libnft import Nft
from tortie.dataplane.kernel.netlink import (
    NETLINK_NETFILTER,
    NetlinkError,
    Overrun,
    attributes,
    enlarge,
    open_socket,
    receive,
)
from tortie.dataplane.want import TABLE, TABLE_NAME

GROUP_NFTABLES = 7
NEWGEN = (10 << 8) | 15
NOT_OURS = (errno.EOPNOTSUPP, errno.EINVAL)


class Table:
    """The kernel's table, seen from its one writer."""

    def __init__(self) -> None:
        self._nft = Nft()
        self.raw = self._nft.sock or open_socket(NETLINK_NETFILTER)
        enlarge(self.raw)
        self._opened: protocol.Open | None = None

    def answer(self, request: protocol.Request) -> protocol.Reply:
        match request:
            case protocol.Open():
                self._opened = request
                return self.open(request)
            case protocol.Read():
                if self._opened is not None:
                    self._mend(self._opened)
                return nft.read_table(self.raw)
            case protocol.Text():
                self._nft.run(request.text)
            case protocol.Elements():
                nft.change_elements(self.raw, request.changes)
        return protocol.Done()

    def _mend(self, opened: protocol.Open) -> None:
        """Somebody may have deleted the table (closed first, then whatever the agent finds missing) or put it to
        sleep."""
        flags = nft.table_flags(self.raw)
        if flags is None:
            self.open(opened)
        elif flags & nft.DORMANT:
            nft.take_table(self.raw, flags & ~nft.DORMANT)

    def open(self, request: protocol.Open) -> protocol.Opened:
        present = nft.table_flags(self.raw)
        reason = self._take(request.owner and self._nft.sock is not None)
        if present is None:
            self._nft.run(request.closed)
        return protocol.Opened(owned=not reason, made=present is None, reason=reason)

    def _take(self, owner: bool) -> str:
        """Make or adopt the table; the reason why it is not owned, or empty."""
        if owner:
            try:
                nft.take_table(self.raw, nft.OWNER | nft.PERSIST)
                return ""
            except NetlinkError as error:
                if error.code == errno.EPERM:
                    raise Unavailable(f"table {TABLE} belongs to another running process") from error
                if error.code not in NOT_OURS:
                    raise
        flags = nft.table_flags(self.raw)
        if flags is None or flags & nft.DORMANT:
            nft.take_table(self.raw, (flags or 0) & ~nft.DORMANT)
        return (
            "asked not to" if not owner else "this kernel, or the table that is there, does not know owner and persist"
        )

    def port(self) -> int:
        return int(self.raw.getsockname()[0])


def foreign_change(events: socket.socket, own_port: int) -> bool:
    """Read what has arrived; True if somebody else changed our table, or if we cannot tell.

    Told by the port in each message's head: the process number in its generation event is that of another namespace
    wherever we run in one.
    """
    try:
        found = receive(events, 0)
    except Overrun:
        return True
    return any(
        part.kind != NEWGEN
        and part.port != own_port
        and dict(attributes(part.body[4:])).get(1, b"").rstrip(b"\0") == TABLE_NAME.encode()
        for part in found
    )


def serve(requests: socket.socket, notices: socket.socket) -> None:
    """Answer until the agent is gone; one byte on `notices` for every change of the table by somebody else."""
    table = Table()
    events = open_socket(NETLINK_NETFILTER, [GROUP_NFTABLES])
    notices.setblocking(False)
    decoder = msgspec.msgpack.Decoder(protocol.Request)
    while True:
        ready, _, _ = select.select([requests, events], [], [])
        if events in ready and foreign_change(events, table.port()):
            # A full buffer holds notices that the agent has not read yet: one more would say nothing new.
            with contextlib.suppress(BlockingIOError):
                notices.send(b"!")
        if requests in ready:
            request = decoder.decode(protocol.receive(requests))
            try:
                reply = table.answer(request)
            except (TortieError, OSError) as error:
                reply = protocol.Failed(str(error))
            protocol.send(requests, reply)


def main() -> None:
    # The agent decides when this process ends: a signal to the whole group must not end it first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    requests, notices = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    try:
        serve(requests, notices)
    except (Unavailable, ConnectionError, BrokenPipeError):
        return


if __name__ == "__main__":
    main()
