"""Short commands of the three grammars from start to end, beside an interpreter that does nothing: performance row 36.

Taken in turns, so that a load on the machine meets them alike; the least of each says what the work itself takes.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.etcd_server import ETCD, etcd

from tortie.model.v0.profile import fresh_profile
from tortie.store.client import Client
from tortie.store.open import open_store

ROUNDS = 20
NOTHING = "python3 -c pass"
COMMANDS = {
    "3": ("get profile", "get profile web -o yaml", "get globalnetworkpolicies"),
    "1.3": ("get profile", "get profile -o yaml"),
    "0.19": ("profile web rule show", "profile show"),
}


def run() -> list[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as directory:
        found = _on("sqlite", f"sqlite://{directory}/store")
        if ETCD is None:
            return [*found, ("etcd", "not on this machine (package etcd-server)")]
        with etcd(Path(directory) / "etcd") as server:
            return [*found, *_on("etcd", server.url)]


def _on(store: str, url: str) -> list[tuple[str, str]]:
    Client(open_store(url)).create(fresh_profile("web"))
    program = shutil.which("calicoctl", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") or "calicoctl"
    lines: dict[str, tuple[list[str], dict[str, str]]] = {NOTHING: ([sys.executable, "-c", "pass"], {})}
    for grammar, commands in COMMANDS.items():
        variables = {"CALICOCTL_GRAMMAR": grammar, "TORTIE_STORE": url}
        lines |= {f"calicoctl {words} ({grammar})": ([program, *words.split()], variables) for words in commands}
    taken: dict[str, list[float]] = {name: [] for name in lines}
    for _ in range(ROUNDS):
        for name, (argv, variables) in lines.items():
            taken[name].append(_milliseconds(argv, variables))
    bare = min(taken[NOTHING])
    return [
        (
            f"{store}: {name}",
            f"{min(all_):.0f} ms least, {statistics.median(all_):.0f} ms median, {min(all_) / bare:.1f} x",
        )
        for name, all_ in taken.items()
    ]


def _milliseconds(argv: Sequence[str], variables: Mapping[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(argv, env={**os.environ, **variables}, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - start) * 1000
