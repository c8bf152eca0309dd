"""Steps that several documents have: networks made on one agent, seen on another."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from tortie.lab.documents import CNI_CONFIGS
from tortie.lab.files import cni
from tortie.lab.walks.walk import PATIENCE, Walk
from tortie.packages.rollout.inventory import for_mesos

NETWORK = for_mesos().network


def create_networks(walk: Walk, lines: Sequence[str]) -> None:
    """Type each on agent-1; each prints the id of what it made. Without Docker: a file for each network."""
    if walk.runtime == "ucr":
        write_networks(walk)
        return
    for line in lines:
        printed = walk.must("agent-1", line)
        walk.check("prints the id", re.fullmatch(r"[0-9a-f]{64}\n", printed) is not None, printed)


def write_networks(walk: Walk) -> None:
    """A CNI file of each network on every agent, which looks for a name again when it does not know it; its profile is
    there from the beginning, as Docker's driver has it."""
    walk.progress.explain("The document creates Docker networks. Here tasks come to networks by CNI: a file for each.")
    agents = [host.name for host in walk.hosts if host.role in ("agent", "public")]
    for name in walk.probing.networks:
        for agent in agents:
            walk.must(agent, f"cat > {CNI_CONFIGS}/{name}.cni <<'END'\n{cni(name)}END")
        walk.must("agent-1", f"calicoctl profile add {name}")


def list_networks(walk: Walk) -> None:
    """`docker network ls` on the last agent has them, with the driver calico."""
    if walk.runtime == "ucr":
        listed_files = walk.must(walk.agents[-1], f"ls {CNI_CONFIGS}").split()
        brought = [NETWORK] if walk.bare else []  # by the package calico
        wanted = sorted(f"{name}.cni" for name in [*walk.probing.networks, *brought])
        walk.check("a file for each network", listed_files == wanted, " ".join(listed_files))
        return
    other = walk.agents[-1]

    def missing() -> list[str]:
        listed = walk.lab.hosts[other].run(["docker", "network", "ls", "--format", "{{.Name}} {{.Driver}}"])
        return [name for name in walk.probing.networks if f"{name} calico" not in listed.stdout.splitlines()]

    began = time.monotonic()
    listed = walk.wait(f"the networks to appear on {other}", lambda: not missing(), PATIENCE)
    walk.progress.explain(f"seen on {other} {time.monotonic() - began:.1f} s after the last one was made")
    walk.must(other, "docker network ls")
    walk.check(f"networks made on agent-1 are listed on {other}", listed, ", ".join(missing()))
