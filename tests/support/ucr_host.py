"""A master and an agent that runs containers by an OCI runtime, and what such containers would leave behind."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from tests.support.mesos_client import Framework, scalar, task
from tests.support.mesos_cluster import MesosCluster
from tests.support.ucr_box import box
from tests.support.waiting import wait_until
from tortie.base import cgroups

Json = dict[str, Any]


class UcrHost(MesosCluster):
    """`work` on a file system that overlayfs can use; the image `box` is there."""

    def __init__(self, work: Path, *, agent: Sequence[str] = (), containerizers: str = "mesos") -> None:
        self.work, self.images = work, work / "images"
        self.cgroup = f"tortie-test-ucr-{os.getpid()}"
        self.run, self.store = work / "run", work / "store-of-images"
        box(self.images, work.parent / "recipes")
        super().__init__(
            work,
            agent=[
                *("--containerizers", containerizers, "--runtime-dir", str(self.run)),
                *("--image-providers", "docker", "--docker-registry", str(self.images)),
                *("--docker-store-dir", str(self.store), "--cgroups-root", self.cgroup, *agent),
            ],
        )

    def __exit__(self, *problem: object) -> None:
        super().__exit__(*problem)
        for path in (self.run / "ucr").glob("*/*/socket"):
            kill_shim(path.parent)
        for hierarchy in cgroups.hierarchies():
            cgroups.end(hierarchy / self.cgroup)

    # -- what there is -------------------------------------------------------------------------------------------------

    def container(self, container_id: str) -> Path:
        return self.run / "ucr/containers" / container_id

    def sandbox(self, task_id: str) -> Path:
        return next((self.work_dir / "slaves").glob(f"*/frameworks/*/executors/{task_id}/runs/latest"))

    def said(self, task_id: str, stream: str = "stdout") -> str:
        return (self.sandbox(task_id) / stream).read_text(errors="replace")

    def limit(self, controller: str, container_id: str, name: str) -> str:
        return (cgroups.controlled_by(controller) / self.cgroup / container_id / name).read_text().strip()

    def leaks(self) -> list[str]:
        """Everything of containers that should have gone with them."""
        found = [str(path) for path in (self.store / "containers").glob("*")]
        found += [str(path) for path in (self.run / "ucr/runtime").glob("*")]
        found += [str(path) for path in (self.run / "ucr/sessions").glob("*")]
        found += [str(path) for path in cgroups.left(self.cgroup) if path.name != self.cgroup]
        mounts = Path("/proc/self/mountinfo").read_text()
        found += [line for line in mounts.splitlines() if str(self.work) in line]
        found += [f"shim {pid}" for pid in shims(self.run)]
        return found

    def clean(self) -> bool:
        return not self.leaks()


def shims(below: Path) -> list[int]:
    """Processes of shims whose folder is below this one."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word.startswith(b"dir=" + os.fsencode(below)) for word in words):
            found.append(int(path.parent.name))
    return found


def kill_shim(folder: Path) -> None:
    for pid in shims(folder):
        with suppress(ProcessLookupError):
            os.kill(pid, 9)


class Tasks:
    """A framework and what it asks of one agent."""

    def __init__(self, host: UcrHost) -> None:
        self.host = host
        self.framework = Framework(host.master.port, capabilities=[{"type": "TASK_KILLING_STATE"}]).subscribe()
        self.asked: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, problem: object, *_: object) -> None:
        """Everything is ended, and has left nothing."""
        try:
            if self.host.agent.process is not None and self.host.agent.process.poll() is None:
                self.framework.call("TEARDOWN")
                if problem is None:
                    wait_until(self.host.clean, message=lambda: f"nothing is left: {self.host.leaks()}")
        finally:
            self.framework.close()

    def run(self, task_id: str, line: str | None, **parts: Any) -> None:
        """`container` None: on the host's own root; else what is asked beside the image."""
        image = parts.pop("image", "box")
        container = parts.pop("container", {})
        command: Json = {"shell": True, "value": line} if line is not None else {"shell": False}
        command |= parts.pop("command", {})
        if container is not None:
            mesos = {"mesos": {"image": {"type": "DOCKER", "docker": {"name": image}}}} if image else {}
            parts["container"] = {"type": "MESOS", **mesos, **container}
        given = {"resources": [scalar("cpus", parts.pop("cpus", 0.1)), scalar("mem", parts.pop("mem", 32))]}
        offer = self.framework.offer()
        self.asked.append(task_id)
        self.framework.accept(offer, task(offer, task_id, command=command, **given, **parts))

    def started(self, task_id: str, line: str | None, **parts: Any) -> Json:
        self.run(task_id, line, **parts)
        return self.running(task_id)

    def running(self, task_id: str) -> Json:
        return self.framework.wait(lambda e: _is(e, task_id, "TASK_RUNNING", "TASK_FAILED"))["update"]["status"]  # type: ignore[no-any-return]

    def ended(self, task_id: str) -> Json:
        states = ("TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_LOST", "TASK_ERROR")
        return self.framework.wait(lambda e: _is(e, task_id, *states))["update"]["status"]  # type: ignore[no-any-return]

    def kill(self, task_id: str, grace: float | None = None) -> None:
        policy = {} if grace is None else {"kill_policy": {"grace_period": {"nanoseconds": int(grace * 1e9)}}}
        self.framework.call("KILL", {"task_id": {"value": task_id}, **policy})


def _is(event: Json, task_id: str, *states: str) -> bool:
    status = event.get("update", {}).get("status", {})
    return bool(status) and status["task_id"]["value"] == task_id and status["state"] in states


def container_of(status: Json) -> str:
    found: str = status["container_status"]["container_id"]["value"]
    return found
