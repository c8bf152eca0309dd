"""What master and agent say of the machine that they run on."""

from __future__ import annotations

import os
from typing import Any


def stats() -> dict[str, Any]:
    """/system/stats.json."""
    load = os.getloadavg()
    page = os.sysconf("SC_PAGE_SIZE")
    return {
        "avg_load_1min": load[0],
        "avg_load_5min": load[1],
        "avg_load_15min": load[2],
        "cpus_total": os.cpu_count() or 1,
        "mem_total_bytes": page * os.sysconf("SC_PHYS_PAGES"),
        "mem_free_bytes": page * os.sysconf("SC_AVPHYS_PAGES"),
    }


def metrics() -> dict[str, Any]:
    """The system's part of /metrics/snapshot."""
    found = stats()
    names = {f"avg_load_{m}min": f"load_{m}min" for m in (1, 5, 15)}
    return {f"system/{names.get(name, name)}": value for name, value in found.items()}
