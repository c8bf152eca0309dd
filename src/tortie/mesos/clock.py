"""Time for daemons."""

from __future__ import annotations

import time


class SteadyClock:
    """Seconds since the epoch that never jump: the wall clock at the start, counted on by the monotonic one."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def __call__(self) -> float:
        return time.monotonic() + self._offset
