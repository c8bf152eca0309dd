"""A watch on etcd: one connection of its own, opened at the first `next`, opened anew whenever it breaks."""

from __future__ import annotations

import logging
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Sequence

from tortie.base.errors import Unavailable
from tortie.store.etcd import wire
from tortie.store.etcd.channel import Channel
from tortie.store.etcd.stream import Stream
from tortie.store.port import Compacted, Event

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
READ_BYTES = 1 << 18
_log = logging.getLogger(__name__)


class EtcdWatch:
    """Goes on after a lost connection where it was: nothing is lost, nothing told twice. An outage is waited out.

    etcd is asked for the changes *from* the revision that is known, not from the one after it. A compaction at just
    that next revision takes its deletions along without a word; asked this way, etcd answers that it was compacted.
    """

    def __init__(self, channel: Channel, prefix: str, after: int) -> None:
        self._channel = channel
        self._prefix = prefix
        self._after = after
        self._closed = False
        self._busy = threading.Lock()
        self._bell_lock = threading.Lock()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._sock: socket.socket | None = None
        self._stream = Stream()
        self._token = ""
        self._renewed = False
        self._pause = FIRST_PAUSE
        self._not_before = 0.0
        self._cluster = 0
        self._highest = 0

    def next(self, timeout: float | None = None) -> Sequence[Event]:
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._busy:
            while not self._closed:
                if self._channel.closed:
                    self._disconnect()
                    raise Unavailable(f"store {self._channel.address.url}: closed")
                events = self._look()
                if events:
                    return events
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return []
                self._wait(left)
        self._end()
        return []

    def close(self) -> None:
        self._closed = True
        self.wake()
        self._end()

    def wake(self) -> None:
        """A `next` that waits looks again whether there is still something to wait for."""
        with self._bell_lock:
            if self._bell >= 0:
                os.eventfd_write(self._bell, 1)

    def __del__(self) -> None:
        if self._bell >= 0:
            os.close(self._bell)

    def _end(self) -> None:
        """Give back what it holds, unless a `next` is at it, which does so when it ends."""
        if self._busy.acquire(blocking=False):
            try:
                self._disconnect()
                with self._bell_lock:
                    bell, self._bell = self._bell, -1
                if bell >= 0:
                    os.close(bell)
            finally:
                self._busy.release()

    def _look(self) -> list[Event]:
        """Connect if need be; what has arrived of changes, without waiting for more."""
        try:
            if self._sock is None:
                if time.monotonic() < self._not_before:
                    return []
                self._connect()
            return self._read()
        except (Unavailable, OSError) as error:
            self._lost(error)
            return []

    def _connect(self) -> None:
        self._token = self._channel.token(instead_of=self._token if self._renewed else None)
        request = {
            **wire.prefix_range(self._prefix),
            "start_revision": str(max(self._after, 1)),
            "prev_kv": True,
            "progress_notify": True,
        }
        self._stream = Stream()
        self._sock = self._channel.open_stream("/v3/watch", {"create_request": request}, self._token)

    def _read(self) -> list[Event]:
        events: list[Event] = []
        while not events and self._sock is not None:
            if self._stream.ended:
                raise Unavailable("the connection ended")
            try:
                data = self._sock.recv(READ_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                return []
            if not data:
                raise Unavailable("the connection ended")
            for line in self._stream.feed(data):
                events += self._learn(line)
        return events

    def _learn(self, line: bytes) -> list[Event]:
        if self._stream.status != 200:
            said = wire.failure_of(self._stream.status, line)
            self._refused(said.code, said.message or said.error)
            return []
        message = wire.decode(line, wire.WatchMessage)
        if message.error:
            self._refused(message.error.grpc_code, message.error.message)
            return []
        result = message.result or wire.WatchResult()
        if result.compact_revision:
            raise self._compacted(f"revision {self._after} is no longer in the change log")
        if result.canceled:
            self._refused(wire.PERMISSION_DENIED, result.cancel_reason or "the watch was refused")
            return []
        if result.created:
            self._welcome(result.header)
        events = [wire.event(told) for told in result.events if told.kv.mod_revision > self._after]
        # A message without events tells the progress: everything up to its revision has been told.
        reached = result.header.revision if not result.created and not result.events else 0
        self._after = max([self._after, reached, *(event.revision for event in events)])
        self._highest = max(self._highest, self._after if events else reached)
        return events

    def _welcome(self, header: wire.Header) -> None:
        """The watch is in place. That the cluster is another one, or was put back to an older state, is a loss."""
        self._pause, self._renewed = FIRST_PAUSE, False
        if (self._cluster and header.cluster_id != self._cluster) or header.revision < self._highest:
            raise self._compacted("the cluster was replaced or put back to an older state")
        self._cluster, self._highest = header.cluster_id, max(self._highest, header.revision)

    def _compacted(self, why: str) -> Compacted:
        self._disconnect()
        return Compacted(f"store {self._channel.address.url}: {why}")

    def _refused(self, code: int, message: str) -> None:
        """A token may have grown old: once with a new one; a member without a cluster: another one; else it is told."""
        token, stale = self._token, message in wire.STALE_TOKEN or code == wire.PERMISSION_DENIED
        self._disconnect()
        if token and stale and not self._renewed:
            self._renewed = True
            return
        error = wire.refusal(self._channel.address.url, code, message)
        self._renewed = False
        if isinstance(error, Unavailable):
            self._lost(error)
            return
        raise error

    def _lost(self, error: Exception) -> None:
        if self._channel.closed or self._closed:
            return
        _log.log(
            logging.WARNING if self._pause == FIRST_PAUSE else logging.DEBUG,
            "watch of %s at %s: %s; trying again",
            self._prefix,
            self._channel.address.url,
            error,
        )
        if self._sock is not None:
            self._channel.blame()
        self._disconnect()
        self._not_before = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _disconnect(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()

    def _wait(self, left: float | None) -> None:
        """Until something arrives, it is time to connect, `wake` was called, or the time is over."""
        poller = select.poll()
        poller.register(self._bell, select.POLLIN)
        if self._sock is not None:
            poller.register(self._sock, select.POLLIN)
        else:
            pause = max(0.0, self._not_before - time.monotonic())
            left = pause if left is None else min(left, pause)
        if any(fd == self._bell for fd, _ in poller.poll(None if left is None else max(0.0, left) * 1000)):
            os.eventfd_read(self._bell)
