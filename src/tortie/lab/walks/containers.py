"""Where the containers of a walk are and how to get into their networks: those that Docker runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tortie.lab.walks.matrix import Party
from tortie.lab.walks.parties import Found
from tortie.lab.walks.ports import Host
from tortie.lab.walks.walk import Walk

PEER_PREFIX = "walk-peer-"
TASK_PREFIX = "mesos-"
PEER_IMAGE = "calico/star:v0.5.0"


class DockerContainers:
    """Every task and every peer on the document's networks; other containers not."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk

    def running(self) -> Found:
        return [item for host in self._walk.hosts for item in self._of_host(host)]

    def _of_host(self, host: Host) -> Found:
        found, listens = [], self._walk.probing.listens
        for container in _inspect_all(host):
            for network, attached in container["NetworkSettings"]["Networks"].items():
                if network not in listens or not container["State"]["Running"]:
                    continue
                name = container["Name"].lstrip("/")
                peer = name.startswith(PEER_PREFIX)
                if not peer and not name.startswith(TASK_PREFIX):
                    continue
                party = Party(
                    name=f"{network}@{host.name}" if peer else network,
                    role="peer" if peer else "app",
                    host=host.name,
                    address=attached["IPAddress"],
                    network=network,
                    listens=frozenset() if peer else listens[network],
                )
                found.append((party, host.netns_of(container["State"]["Pid"])))
        return found

    def add_peers(self) -> None:
        walk = self._walk
        walk.progress.explain(f"a second container for each network on {', '.join(walk.agents)}")
        walk.on_agents(dict.fromkeys(walk.agents, _add_peers(walk.probing.networks)), "a second container")

    def remove_peers(self) -> None:
        names = " ".join(PEER_PREFIX + network for network in self._walk.probing.networks)
        self._walk.on_agents(dict.fromkeys(self._walk.agents, f"docker rm -f {names} 2>/dev/null"))


def _add_peers(networks: Sequence[str]) -> str:
    """A shell's line that makes those that are not there yet, and fails with the first that cannot be made."""
    options = f"-m 32m --entrypoint sleep {PEER_IMAGE} 86400"
    return "set -e; " + "; ".join(
        f"docker start {PEER_PREFIX}{network} >/dev/null 2>&1 ||"
        f" docker run -d --name {PEER_PREFIX}{network} --net {network} {options} >/dev/null"
        for network in networks
    )


def _inspect_all(host: Host) -> list[dict[str, Any]]:
    listed = host.run(["bash", "-c", "command -v docker >/dev/null && docker ps -q"])
    ids = listed.stdout.split()
    if listed.returncode != 0 or not ids:
        return []
    inspected: list[dict[str, Any]] = json.loads(host.run(["docker", "inspect", *ids]).stdout)
    return inspected
