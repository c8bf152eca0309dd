"""What is left over: containers that no task knows, what ended long ago, networks that were not given back."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import anyio
import anyio.to_thread

from tortie.base.errors import TortieError
from tortie.mesos.agent.checkpoint import WorkDir
from tortie.mesos.agent.choice import DOCKER, MESOS
from tortie.mesos.agent.containerizer import Containerizer
from tortie.mesos.agent.left_networks import LeftNetworks
from tortie.mesos.agent.live import LiveTask
from tortie.mesos.agent.networks import Networks

log = logging.getLogger("agent")
EVERY = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """`tasks`: the agent's, as they are when it is called. `kill_orphans`: whether Docker's containers that belong to
    no task are ended, too. Times in seconds."""

    containerizers: Mapping[str, Containerizer]
    networks: Networks | None
    workdir: WorkDir
    clock: Callable[[], float]
    tasks: Callable[[], Collection[LiveTask]]
    remove_delay: float
    gc_delay: float
    kill_orphans: bool

    async def run(self) -> None:
        """Until cancelled. Once the agent knows its tasks, not before."""
        async with anyio.create_task_group() as group:
            if self.networks is not None:
                group.start_soon(LeftNetworks(self.networks, self._with_networks).run)
            while True:
                for name in self.containerizers:
                    await self._containers(name)
                await self._sandboxes()
                await anyio.sleep(EVERY)

    async def _containers(self, containerizer: str) -> None:
        by = self.containerizers[containerizer]
        try:
            listed = await by.owned()
        except (TortieError, OSError) as error:
            log.debug("sweep: %s", error)
            return
        live = {task.saved.container_id for task in self.tasks()}
        for name, container_id, has_ended in listed:
            if container_id not in live:
                try:
                    await self._container(by, name, has_ended=has_ended, spared=containerizer == DOCKER)
                except (TortieError, OSError) as error:
                    log.warning("sweep: %s", error)

    async def _container(self, by: Containerizer, name: str, *, has_ended: bool, spared: bool) -> None:
        if has_ended:
            if await by.ended_before(name, self.clock() - self.remove_delay):
                await by.remove(name)
        elif self.kill_orphans or not spared:
            log.warning("container %s belongs to no task, removing it", name)
            await by.remove(name)

    async def _with_networks(self) -> Collection[str]:
        """Containers that have networks or are about to: of tasks, and those that wait to be swept."""
        live = {task.saved.container_id for task in self.tasks() if not task.terminal}
        if self.networks is None or live.issuperset(self.networks.kept()) or MESOS not in self.containerizers:
            return live
        owned = await self.containerizers[MESOS].owned()
        return live | {container_id for _, container_id, has_ended in owned if not has_ended}

    async def _sandboxes(self) -> None:
        kept = {task.sandbox for task in self.tasks()}
        try:
            for path in self.workdir.old_sandboxes(self.clock() - self.gc_delay):
                if path not in kept:
                    await anyio.to_thread.run_sync(shutil.rmtree, path, True)
        except OSError as error:
            log.debug("sweep: %s", error)
