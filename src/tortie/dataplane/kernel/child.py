"""The process that owns the nftables socket.

It lives as long as its connection to the agent. Large transactions keep it busy, not the agent. Started as
`python -m tortie.dataplane.kernel.child REQUESTS NOTICES` with two descriptors.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import select
import signal
import socket
import sys
from collections.abc import Sequence

import msgspec

from tortie.base.errors import TortieError, Unavailable
from tortie.dataplane.kernel import nft, protocol
from tortie.dataplane.kernel.batch import Batch, batches
from tortie.dataplane.kernel.netlink import (
    NETLINK_NETFILTER,
    NetlinkError,
    Overrun,
    attributes,
    enlarge,
    listen,
    open_socket,
    receive,
)
from tortie.dataplane.steps import Refusal, Step
from tortie.dataplane.want import TABLE, TABLE_NAME

GROUP_NFTABLES = 7
NEWGEN = (10 << 8) | 15
NOT_OURS = (errno.EOPNOTSUPP, errno.EINVAL)
# A limit, not a reservation.
SEND_BUFFER = 256 << 20
WHAT = f"table {TABLE_NAME}"


class Table:
    """The kernel's table, seen from its one writer."""

    def __init__(self) -> None:
        self.raw = open_socket(NETLINK_NETFILTER)
        enlarge(self.raw, SEND_BUFFER)
        self.events = open_socket(NETLINK_NETFILTER)
        self._opened: protocol.Open | None = None
        self._flags = 0
        self._own: int | None = None

    def answer(self, request: protocol.Request) -> protocol.Reply:
        match request:
            case protocol.Open():
                self._opened = request
                return self.open(request)
            case protocol.Read():
                self.mend()
                return nft.read_table(self.raw, request.names)
            case protocol.Apply():
                return self._apply(request.prepare, request.commit)

    def mend(self) -> None:
        """Somebody may have deleted the table (closed first, then whatever the agent finds missing) or put it to
        sleep."""
        if self._opened is None:
            return
        flags = nft.table_flags(self.raw)
        if flags is None:
            self.open(self._opened)
        elif flags & nft.DORMANT:
            nft.take_table(self.raw, flags & ~nft.DORMANT)

    def open(self, request: protocol.Open) -> protocol.Opened:
        present = nft.table_flags(self.raw)
        reason = self._take(request.owner)
        self._flags = 0 if reason else nft.OWNER | nft.PERSIST
        if reason:
            # Nobody else can change an owned one: its events would only be our own.
            listen(self.events, GROUP_NFTABLES)
        if present is None:
            reply = self._apply((), request.closed)
            if isinstance(reply, protocol.Rejected):
                raise Unavailable(f"closed table: {reply.refusals}")
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

    def _apply(self, prepare: Sequence[Step], commit: Sequence[Step]) -> protocol.Reply:
        limit = self._opened.batch_bytes if self._opened else protocol.BATCH_BYTES
        found, refused = batches(prepare, commit, limit, self._flags)
        if refused:
            return protocol.Rejected([_named(refusal) for refusal in refused])
        try:
            for batch in found:
                self._transact(batch)
        except nft.Refused as error:
            if not error.refusals:
                raise
            return protocol.Rejected([_named(refusal) for refusal in error.refusals])
        return protocol.Done()

    def _transact(self, batch: Batch) -> None:
        if self._flags:
            return nft.transact(self.raw, batch, WHAT)
        before = nft.generation(self.raw)
        nft.transact(self.raw, batch, WHAT)
        after = nft.generation(self.raw)
        # Not one more: somebody else's transaction came between, and its events must be looked at.
        self._own = after if after == (before + 1) & 0xFFFFFFFF else None
        return None

    def foreign_change(self) -> bool:
        """Read what has arrived; True if somebody else changed our table, or if we cannot tell.

        Told by the port in each message's head: the process number in its generation event is that of another
        namespace wherever we run in one. Events of a large transaction of ours may be too many for the buffer: no
        harm, if nobody else has changed anything since.
        """
        port = int(self.raw.getsockname()[0])
        try:
            found = receive(self.events, 0)
        except Overrun:
            return self._own is None or nft.generation(self.raw) != self._own
        return any(
            part.kind != NEWGEN
            and part.port != port
            and dict(attributes(part.body[4:])).get(1, b"").rstrip(b"\0") == TABLE_NAME.encode()
            for part in found
        )


def _named(refusal: Refusal) -> Refusal:
    """With words for what it is about, for people."""
    about = f"chain {refusal.chain}" if refusal.chain else f"set {refusal.set}" if refusal.set else WHAT
    element = f" element {refusal.key}" if refusal.key else ""
    return Refusal(refusal.chain, refusal.set, refusal.key, f"{about}{element}: {refusal.reason}")


def serve(requests: socket.socket, notices: socket.socket) -> None:
    """Answer until the agent is gone; one byte on `notices` for every change of the table by somebody else."""
    table = Table()
    events = table.events
    notices.setblocking(False)
    decoder = msgspec.msgpack.Decoder(protocol.Request)
    while True:
        ready, _, _ = select.select([requests, events], [], [])
        if events in ready and table.foreign_change():
            # At once, without waiting for the agent: a table that is gone is open.
            with contextlib.suppress(Unavailable):
                table.mend()
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
    # A transaction is 100,000 small values without a cycle among them.
    gc.set_threshold(100_000)
    requests, notices = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    try:
        serve(requests, notices)
    except (Unavailable, ConnectionError, BrokenPipeError):
        return


if __name__ == "__main__":
    main()
