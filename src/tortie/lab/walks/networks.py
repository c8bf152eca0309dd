"""Steps that several documents have: networks made on one agent, seen on another."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from tortie.lab.walks.walk import PATIENCE, Walk


def create_networks(walk: Walk, lines: Sequence[str]) -> None:
    """Type each on agent-1; each prints the id of what it made."""
    for line in lines:
        printed = walk.must("agent-1", line)
        walk.check("prints the id", re.fullmatch(r"[0-9a-f]{64}\n", printed) is not None, printed)


def list_networks(walk: Walk) -> None:
    """`docker network ls` on the last agent has them, with the driver calico."""
    other = walk.agents[-1]

    def missing() -> list[str]:
        listed = walk.lab.hosts[other].run(["docker", "network", "ls", "--format", "{{.Name}} {{.Driver}}"])
        return [name for name in walk.probing.networks if f"{name} calico" not in listed.stdout.splitlines()]

    began = time.monotonic()
    listed = walk.wait(f"the networks to appear on {other}", lambda: not missing(), PATIENCE)
    walk.progress.explain(f"seen on {other} {time.monotonic() - began:.1f} s after the last one was made")
    walk.must(other, "docker network ls")
    walk.check(f"networks made on agent-1 are listed on {other}", listed, ", ".join(missing()))
