"""Wakes a watcher when another process has committed: inotify on a file that writers touch after each commit.

The write-ahead log itself will not do: it changes before the commit is visible to a reader.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct

from tortie.base.errors import Unavailable

IN_MODIFY = 0x2
IN_CLOEXEC = 0o2000000
IN_NONBLOCK = 0o4000

_libc = ctypes.CDLL(None, use_errno=True)


class FileWatch:
    """`wait` returns True once the file was written since the last call, False at the time-out."""

    def __init__(self, path: str) -> None:
        self._fd = _libc.inotify_init1(IN_CLOEXEC | IN_NONBLOCK)
        if self._fd < 0 or _libc.inotify_add_watch(self._fd, path.encode(), IN_MODIFY) < 0:
            raise Unavailable(f"inotify on {path}: {os.strerror(ctypes.get_errno())}")
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._closed = False

    def wait(self, timeout: float) -> bool:
        poller = select.poll()
        poller.register(self._fd, select.POLLIN)
        poller.register(self._wake_read, select.POLLIN)
        ready = poller.poll(timeout * 1000)
        for fd, _ in ready:
            if fd == self._fd:
                os.read(self._fd, 65536)
        return bool(ready)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            os.write(self._wake_write, struct.pack("B", 1))

    def __del__(self) -> None:
        if hasattr(self, "_wake_write"):
            for fd in (self._fd, self._wake_read, self._wake_write):
                os.close(fd)
