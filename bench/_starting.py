"""Short commands from start to end, beside an interpreter that does nothing.

Taken in turns, so that a load on the machine meets them alike; the least of each says what the work itself takes.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

import bench

ROUNDS = 20
NOTHING = "python3 -c pass"


def figures(commands: Mapping[str, tuple[Sequence[str], Mapping[str, str]]]) -> list[tuple[str, str]]:
    """`commands`: name of the figure -> the words of a command and its variables."""
    lines = {NOTHING: ([sys.executable, "-c", "pass"], {}), **commands}
    taken: dict[str, list[float]] = {name: [] for name in lines}
    for _ in range(3 if bench.quick() else ROUNDS):
        for name, (argv, variables) in lines.items():
            taken[name].append(_milliseconds(argv, variables))
    bare = min(taken[NOTHING])
    return [
        (name, f"{min(all_):.0f} ms least, {statistics.median(all_):.0f} ms median, {min(all_) / bare:.1f} x")
        for name, all_ in taken.items()
    ]


def _milliseconds(argv: Sequence[str], variables: Mapping[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(argv, env={**os.environ, **variables}, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - start) * 1000
