"""What the agent finds on its host when its flags do not say."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tortie.mesos.resources import Key, Quantity, Resources

MIB = 1024 * 1024


def with_detected(given: Resources, work_dir: Path, role: str = "*") -> Resources:
    """`given` and, for each of cpus, mem, disk and ports that it does not mention, what the host has."""
    mentioned = {key.name for key, _ in given}
    detected: dict[str, Quantity] = {
        "cpus": (os.cpu_count() or 1) * 1000,
        "mem": _spared(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB, 1024) * 1000,
        "disk": _spared(shutil.disk_usage(work_dir).total // MIB, 5 * 1024) * 1000,
        "ports": ((31000, 32000),),
    }
    return given + Resources({Key(n, role): v for n, v in detected.items() if n not in mentioned})


def _spared(total: int, spare: int) -> int:
    """All but `spare`; half of a small host."""
    return total - spare if total > 2 * spare else total // 2
