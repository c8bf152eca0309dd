"""A test's own thread in a host of the kernel tests: its sockets, and all programs and threads that it starts."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import wait_until

CLONE_NEWNET = 0x40000000


@contextmanager
def within(netns: str) -> Iterator[None]:
    """Only the thread that calls it."""
    back = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{netns}", os.O_RDONLY)
    try:
        _enter(there)
        try:
            yield
        finally:
            _enter(back)
    finally:
        os.close(there)
        os.close(back)


def has_come_to(pid: int, namespace: str) -> None:
    """Returns when a process is in the network namespace of this path. `nsenter` is a moment where it was started: who
    asks too early has the machine's own."""

    def there() -> bool:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino == Path(namespace).stat().st_ino

    wait_until(there, message=f"process {pid} in {namespace}")


def _enter(handle: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
