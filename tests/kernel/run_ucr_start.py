"""An agent that is killed while it starts a container: FOLDER STEP; STEP: before, joined or isolated."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio
from tests.support.ucr_containers import Box

from tortie.mesos.agent.networks import Joined, Wish
from tortie.mesos.agent.ucr.host_network import HostNetworks


class Deadly(HostNetworks):
    def __init__(self, step: str) -> None:
        self.step = step

    async def join(self, wish: Wish) -> Joined:
        self._die("before")
        return await super().join(wish)

    async def isolate(self, container_id: str, pid: int) -> None:
        self._die("isolated")

    def _die(self, step: str) -> None:
        if step == self.step:
            os._exit(9)


async def main(*words: str) -> None:
    folder, step = words
    box = Box(Path(folder), cgroup=Path(folder).name)
    containers = box.containers(Deadly(step))
    launch = box.launch("sleep 1000")
    if step == "shim":  # when it makes the container and cannot tell anybody
        async with anyio.create_task_group() as group:
            group.start_soon(containers.start, launch)
            await anyio.to_thread.run_sync(_when_there_is, box.place.container(launch.container_id) / "socket")
            os._exit(9)
    await containers.start(launch)


def _when_there_is(path: Path) -> None:
    while not path.exists():
        pass


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
