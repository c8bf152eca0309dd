"""Which networks a task of the Mesos containerizer asks for, and who brings it there. Values only."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import msgspec

from tortie.base.errors import Invalid
from tortie.mesos.agent.docker_run import network
from tortie.wire import mesos as wire


class Way(Enum):
    HOST = "the host's network"
    CNI = "CNI"
    MODULES = "net-modules"


def way(asked: Sequence[wire.NetworkInfo], *, modules: bool) -> Way:
    """A name of a network is CNI's. Without one it is for net-modules, where they are configured."""
    if any(info.name for info in asked):
        return Way.CNI
    return Way.MODULES if asked and modules else Way.HOST


def asked_networks(task: wire.TaskInfo) -> list[wire.NetworkInfo]:
    """As the task has them; of one that was written for Docker, as CNI would be asked: the network's name and the
    addresses of its parameters `net`, `ip` and `ip6`. Raises Invalid for a network that only Docker has.
    """
    container = task.container
    if container is None:
        return []
    if container.type != "DOCKER" or container.docker is None:
        return container.network_infos
    name, parameters = network(container, container.docker)
    if name in (None, "host"):
        return []
    if name in ("bridge", "none", "default") or ":" in str(name):
        raise Invalid(f"Docker's network '{name}' is not served without Docker: the name of a CNI network is expected")
    first = container.network_infos[0] if container.network_infos else wire.NetworkInfo()
    fixed = [wire.IPAddress(ip_address=p.value) for p in parameters if p.key in ("ip", "ip6")]
    return [msgspec.structs.replace(first, name=name, ip_addresses=fixed or first.ip_addresses)]
