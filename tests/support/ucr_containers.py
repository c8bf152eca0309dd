"""Containers of the Mesos containerizer without an agent around them."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.ucr_box import box
from tests.support.ucr_host import shims
from tests.support.waiting import until
from tortie.base import cgroups
from tortie.mesos.agent.docker_run import Launch
from tortie.mesos.agent.networks import Networks
from tortie.mesos.agent.ucr.containers import UcrContainers
from tortie.mesos.agent.ucr.host_network import HostNetworks
from tortie.mesos.agent.ucr.images import Images
from tortie.mesos.agent.ucr.making import Options
from tortie.mesos.agent.ucr.oci import Runtime, choose
from tortie.mesos.agent.ucr.place import Place
from tortie.wire import mesos as wire


class Box:
    """Containers below one folder, which is on a file system that overlayfs can use. `recipes`: where the image is kept
    for others."""

    def __init__(self, work: Path, *, cgroup: str = "", recipes: Path | None = None) -> None:
        self.work = work
        self.cgroup = cgroup or f"tortie-test-box-{os.getpid()}"
        box(work / "images", recipes or work / "recipes")
        self.place = Place(work / "run")
        self.made = self.containers()

    def containers(self, networks: Networks | None = None, *, program: str = "") -> UcrContainers:
        """As an agent that comes anew sees them."""
        runtime = Runtime(program or choose(), self.place.runtime, self.cgroup)
        images = Images([self.work / "images"], self.work / "store")
        options = Options(owner=str(self.work), data=self.work / "store")
        return UcrContainers(options, self.place, runtime, images, networks or HostNetworks())

    def launch(self, line: str | None, **parts: Any) -> Launch:
        container_id = str(uuid.uuid4())
        sandbox = self.work / "sandboxes" / container_id
        sandbox.mkdir(parents=True)
        for name in ("stdout", "stderr"):
            (sandbox / name).touch()
        command = wire.CommandInfo(value=line) if line is not None else wire.CommandInfo(shell=False)
        image = {"image": {"type": "DOCKER", "docker": {"name": "box"}}}
        container = wire.ContainerInfo(type="MESOS", mesos=image, **parts)
        task = wire.TaskInfo(
            name="t",
            task_id=wire.ID(value="t"),
            agent_id=wire.ID(value="a"),
            command=command,
            container=container,
        )
        return Launch(task, container_id, str(sandbox), str(self.work))

    @asynccontextmanager
    async def running(self, line: str = "sleep 1000", **parts: Any) -> AsyncIterator[str]:
        """The id of a container."""
        launch = self.launch(line, **parts)
        await self.made.prepare(launch)
        await self.made.start(launch)
        try:
            yield launch.container_id
        finally:
            await self.made.remove(launch.name)

    def leaks(self) -> Sequence[str]:
        found = [
            str(path) for name in ("containers", "sessions", "runtime") for path in (self.place.root / name).glob("*")
        ]
        found += [str(path) for path in (self.work / "store/containers").glob("*")]
        found += [str(path) for path in cgroups.left(self.cgroup) if path.name != self.cgroup]
        found += [
            line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f"{self.work}/store" in line
        ]
        return [*found, *(f"shim {pid}" for pid in shims(self.work))]

    async def run(self, story: Callable[[], Awaitable[None]]) -> None:
        """And nothing is left of it."""
        try:
            await story()
            await until(lambda: not self.leaks(), message=lambda: f"nothing is left: {self.leaks()}")
        finally:
            await self.made.close()
            for hierarchy in cgroups.hierarchies():
                cgroups.end(hierarchy / self.cgroup)
