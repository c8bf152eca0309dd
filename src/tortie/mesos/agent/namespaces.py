"""Network namespaces that outlive the agent: each is held by a mount of its own on a file."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tortie.base.errors import Unavailable

_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
MS_BIND = 4096
MNT_DETACH = 2
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def make(path: Path) -> None:
    """A new one with nothing but `lo`, up, held at `path`. Raises Unavailable; nothing of it is left then."""
    try:
        path.touch(exist_ok=False)
        try:
            # A thread that has left its namespace is good for nothing else, so it is one of its own.
            with ThreadPoolExecutor(1) as pool:
                pool.submit(_make, path).result()
        except OSError:
            path.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Unavailable(f"network namespace {path}: {error.strerror}") from error


def _make(path: Path) -> None:
    _done(_libc.unshare(CLONE_NEWNET))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as lo:
        name = struct.pack("16sH22x", b"lo", 0)
        flags = struct.unpack("16sH22x", fcntl.ioctl(lo, SIOCGIFFLAGS, name))[1]
        fcntl.ioctl(lo, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | IFF_UP))
    _done(_libc.mount(b"/proc/thread-self/ns/net", os.fsencode(path), b"none", MS_BIND, None))


def drop(path: Path) -> None:
    """It lives on as long as anything is in it. What is not there is fine."""
    while _libc.umount2(os.fsencode(path), MNT_DETACH) == 0:
        pass
    code = ctypes.get_errno()
    if code not in (errno.EINVAL, errno.ENOENT):
        raise Unavailable(f"network namespace {path}: {os.strerror(code)}")
    path.unlink(missing_ok=True)


def is_namespace(path: Path) -> bool:
    """False also for the plain file that is left when its mount is gone, as after a reboot."""
    try:
        return path.stat().st_dev == os.stat("/proc/self/ns/net").st_dev
    except OSError:
        return False


def _done(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
