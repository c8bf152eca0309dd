"""The lab's cgroups, and how a host gets into its own."""

from __future__ import annotations

import os

from tortie.base.cgroups import ROOT, hierarchies, left, remove

__all__ = ["hierarchies", "join", "left", "remove"]

TRACKERS = ("systemd", "unified")
"""Hierarchies that only group processes: there a host is moved out of the session that started it."""


def join(cgroup: str) -> None:
    """Move this process to `cgroup` of the hierarchies that end with a session; limits elsewhere stay as they are."""
    for hierarchy in hierarchies():
        if hierarchy == ROOT or hierarchy.name in TRACKERS:
            path = hierarchy / cgroup
            path.mkdir(parents=True, exist_ok=True)
            (path / "cgroup.procs").write_text(str(os.getpid()))
