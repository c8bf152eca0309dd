"""The lab's cgroups, in whatever hierarchies the machine has: v1, both, or v2 alone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from tortie.base.errors import Unavailable

ROOT = Path("/sys/fs/cgroup")
TRACKERS = ("systemd", "unified")
"""Hierarchies that only group processes: there a host is moved out of the session that started it."""


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


def join(cgroup: str) -> None:
    """Move this process to `cgroup` of the hierarchies that end with a session; limits elsewhere stay as they are."""
    for hierarchy in hierarchies():
        if hierarchy == ROOT or hierarchy.name in TRACKERS:
            path = hierarchy / cgroup
            path.mkdir(parents=True, exist_ok=True)
            (path / "cgroup.procs").write_text(str(os.getpid()))


def left(cgroup: str) -> list[Path]:
    """Every directory of `cgroup` and below that exists, deepest first."""
    found: list[Path] = []
    for hierarchy in hierarchies():
        for path, _, _ in os.walk(hierarchy / cgroup, topdown=False):
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
