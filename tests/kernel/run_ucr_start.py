"""An agent that is killed while it starts a container: FOLDER STEP; STEP: before, shim or isolated."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import anyio
from tests.support.ucr_containers import Box

from tortie.mesos.agent.networks import Joined
from tortie.mesos.agent.ucr.host_network import HostNetworks


class Deadly(HostNetworks):
    def __init__(self, step: str) -> None:
        self.step = step

    def joined(self, container_id: str) -> Joined | None:
        self._die("before")
        return super().joined(container_id)

    async def isolate(self, container_id: str, pid: int) -> None:
        self._die("isolated")
        await anyio.sleep_forever()

    def _die(self, step: str) -> None:
        if step == self.step:
            os._exit(9)


async def main(*words: str) -> None:
    folder, step = words
    box = Box(Path(folder), cgroup=Path(folder).name, recipes=Path(folder).parent.parent / "recipes")
    containers = box.containers(Deadly(step))
    launch = box.launch("sleep 1000")
    if step == "shim":  # when it makes the container and cannot tell anybody
        async with anyio.create_task_group() as group:
            group.start_soon(containers.start, launch)
            await anyio.to_thread.run_sync(_when_there_is, box.place.container(launch.container_id) / "socket")
            os._exit(9)
    await containers.prepare(launch)
    await containers.start(launch)


def _when_there_is(path: Path) -> None:
    while not path.exists():
        time.sleep(0.001)


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
