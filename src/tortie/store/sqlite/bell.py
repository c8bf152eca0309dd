"""Tells the watchers of one process that some process has committed.

Writers touch a file after each commit; one thread per process sees that by inotify and wakes every watcher. The
write-ahead log itself will not do: it changes before the commit is visible to a reader. One inotify instance per store,
not per watch: a user has 128 of them on many systems.
"""

from __future__ import annotations

import ctypes
import logging
import os
import select
import struct
import threading
from collections.abc import Callable

from tortie.base.errors import TortieError

IN_MODIFY = 0x2
IN_ATTRIB = 0x4
IN_CLOEXEC = 0o2000000
IN_NONBLOCK = 0o4000

TICK = 1.0
POLL = 0.02

_EVENT = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)
_log = logging.getLogger(__name__)


class Bell:
    """`wait` returns when the file was written since `count` was read. `tick` is called about once a second."""

    def __init__(self, path: str, tick: Callable[[], object]) -> None:
        self.count = 0
        self.gone = False
        self._path = path
        self._tick = tick
        self._changed = threading.Condition()
        self._closed = False
        self._inotify = _inotify(path)
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._written = self._mtime()
        self._thread = threading.Thread(target=self._run, name="store-bell", daemon=True)
        self._thread.start()

    def wait(self, seen: int, timeout: float) -> None:
        """Returns at the next ring after `seen` was the count, when `wake` is called, or after `timeout` seconds."""
        with self._changed:
            if self.count == seen and not self.gone:
                self._changed.wait(timeout)

    def wake(self) -> None:
        """Makes every waiter look again."""
        with self._changed:
            self.count += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Ends the thread. Closing twice is fine."""
        if self._closed:
            return
        self._closed = True
        os.write(self._wake_write, b"1")
        if self._thread is not threading.current_thread():
            self._thread.join()
        for fd in (self._inotify, self._wake_read, self._wake_write):
            if fd is not None:
                os.close(fd)
        self.gone = True
        self.wake()

    def _run(self) -> None:
        poller = select.poll()
        poller.register(self._wake_read, select.POLLIN)
        if self._inotify is not None:
            poller.register(self._inotify, select.POLLIN)
        left = TICK
        while not self._closed:
            pause = TICK if self._inotify is not None else POLL
            ready = [fd for fd, _ in poller.poll(pause * 1000)]
            if self._inotify in ready:
                self._read_events()
                continue
            if self._inotify is None and (now := self._mtime()) != self._written:
                self._written = now
                self.wake()
            left -= pause
            if left <= 0 and not self._closed:
                left = TICK
                self._do_tick()

    def _read_events(self) -> None:
        assert self._inotify is not None
        data, at = os.read(self._inotify, 65536), 0
        while at < len(data):
            _, mask, _, length = _EVENT.unpack_from(data, at)
            at += _EVENT.size + length
            if mask & IN_ATTRIB:
                # The writers' own descriptors keep the removed file alive: what tells is its name.
                self._mtime()
        self.wake()

    def _do_tick(self) -> None:
        try:
            self._tick()
        except TortieError as error:
            # Leases are ended by the next commit as well; the watchers meet the same error by themselves.
            _log.warning("leases not looked after: %s", error)

    def _mtime(self) -> int:
        """The file's time of change; notes when the file is gone."""
        try:
            return os.stat(self._path).st_mtime_ns
        except OSError:
            self.gone = True
            return 0


def _inotify(path: str) -> int | None:
    """A descriptor; None when the system has no more to give, then the file's time is looked at instead."""
    fd = int(_libc.inotify_init1(IN_CLOEXEC | IN_NONBLOCK))
    if fd >= 0 and _libc.inotify_add_watch(fd, path.encode(), IN_MODIFY | IN_ATTRIB) >= 0:
        return fd
    _log.warning("no inotify on %s (%s): looking at its time instead", path, os.strerror(ctypes.get_errno()))
    if fd >= 0:
        os.close(fd)
    return None
