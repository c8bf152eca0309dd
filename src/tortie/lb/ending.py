"""The ends of processes that may not be our children."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path


async def ended(pid: int) -> None:
    """Returns when a process has ended, at once when there is none of this number."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(descriptor, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def runs(pid: int, name: str, argument: str) -> bool:
    """Whether this process is that program, started with such an argument: a pid may have become somebody else's.

    The arguments cannot be read while a process executes something: then its name has to do.
    """
    try:
        found, _, fields = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
        if fields.split()[0] == "Z":
            return False
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except (OSError, IndexError):
        return False
    return argument in arguments if arguments else found.startswith(name)


def reap_strangers(own: int) -> None:
    """As process 1 of a container: take leave of processes that were left to us, but for the child `own`.

    Children that the event loop waits for are its own: only those that HAProxy's end left behind are waited for here.
    """
    if os.getpid() != 1:
        return
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            pid, fields = int(status.parent.name), status.read_text().rpartition(")")[2].split()
            if pid != own and fields[:2] == ["Z", "1"] and status.with_name("comm").read_text().strip() == "haproxy":
                os.waitpid(pid, os.WNOHANG)
