"""Cgroups, in whatever hierarchies the machine has: v1, both, or v2 alone. A cgroup has the same path in each."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tortie.base.errors import Unavailable

ROOT = Path("/sys/fs/cgroup")


def hierarchies(root: Path = ROOT) -> Iterator[Path]:
    """The mount point of each hierarchy, once."""
    if (root / "cgroup.controllers").exists():
        yield root
        return
    seen = set()
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if path.is_dir() and not path.is_symlink() and (path / "cgroup.procs").exists():
            device = path.stat().st_dev
            if device not in seen:
                seen.add(device)
                yield path


def unified(root: Path = ROOT) -> bool:
    """Whether version 2 has the controllers."""
    return (root / "cgroup.controllers").exists()


def controlled_by(controller: str, root: Path = ROOT) -> Path:
    """The mount point of the hierarchy in which this controller sets limits."""
    return root if unified(root) else root / controller


def processes(cgroup: Path) -> list[int]:
    """Of it and of those below; none when it does not exist."""
    return [pid for path, _, _ in os.walk(cgroup) for pid in processes_in(Path(path))]


def processes_in(cgroup: Path) -> list[int]:
    """Of it alone."""
    try:
        return [int(pid) for pid in (cgroup / "cgroup.procs").read_text().split()]
    except OSError:
        return []


def send(cgroup: Path, number: int) -> int:
    """A signal to every process of it and below; how many there were. A number that was given anew meanwhile to a
    process of somebody else is left alone."""
    found = processes(cgroup)
    for pid in found:
        try:
            handle = os.pidfd_open(pid)
        except OSError:
            continue
        try:
            if pid in processes(cgroup):
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            pass  # it has ended since
        finally:
            os.close(handle)
    return len(found)


def end(cgroup: Path, timeout: float = 60.0) -> None:
    """Kills everything in a cgroup and below, and removes it from this hierarchy. Unavailable when that takes too
    long."""
    deadline = time.monotonic() + timeout
    while cgroup.is_dir():
        send(cgroup, signal.SIGKILL)
        for path, _, _ in os.walk(cgroup, topdown=False):
            with suppress(OSError):
                Path(path).rmdir()
        if time.monotonic() > deadline:
            raise Unavailable(f"cgroup {cgroup} is still in use")
        time.sleep(0.01)


def left(cgroup: str) -> list[Path]:
    """Every directory of `cgroup` and below that exists, deepest first."""
    found: list[Path] = []
    for hierarchy in hierarchies():
        for path, _, _ in os.walk(hierarchy / cgroup.lstrip("/"), topdown=False):
            found.append(Path(path))
    return found


def remove(cgroup: str, timeout: float = 60.0) -> None:
    """Remove it from every hierarchy once its processes are gone; Unavailable names what is still there then."""
    deadline = time.monotonic() + timeout
    while True:
        for path in left(cgroup):
            try:
                path.rmdir()
            except FileNotFoundError:
                continue
            except OSError:  # busy: a process is still on its way out
                break
        remaining = left(cgroup)
        if not remaining:
            return
        if time.monotonic() > deadline:
            raise Unavailable(f"cgroup {remaining[0]} is still in use")
        time.sleep(0.02)
