"""How long a container takes from the order until it runs: the agent's containerizer, `runc run`, `podman run`.

The same image, the same runtime, the host's network. Taken in turns.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.ucr_containers import Box
from tests.support.ucr_host import shims

import bench
from tortie.base import cgroups
from tortie.mesos.agent.docker_run import Launch
from tortie.mesos.agent.ucr.oci import choose

ROUNDS, MANY = 15, 30
CGROUP = "tortie-bench-podman"
PODMAN_OPTIONS = (
    "--network=host",
    "--ulimit=nofile=1000:1000",
    "--ulimit=nproc=1000:1000",
    f"--cgroup-parent=/{CGROUP}",
)


class Runc:
    """The runtime alone, on a bundle and a mounted root that are there already."""

    def __init__(self, box: Box, program: str) -> None:
        self.box, self.folder = box, box.work / "plain"
        self.base = [program, "--root", str(self.folder / "state")]

    async def prepare(self) -> None:
        """The bundle of a container of ours, on a root of its own."""
        async with self.box.running() as container_id:
            told = json.loads((self.box.place.container(container_id) / "config.json").read_bytes())
            layers = [str(path) for path in (self.box.work / "store/layers").iterdir()]
        for name in ("root", "upper", "work", "state"):
            (self.folder / name).mkdir(parents=True)
        options = f"lowerdir={':'.join(layers)},upperdir={self.folder}/upper,workdir={self.folder}/work"
        await _run(["mount", "-t", "overlay", "overlay", "-o", options, str(self.folder / "root")])
        told["root"]["path"] = str(self.folder / "root")
        told["linux"]["cgroupsPath"] = f"/{self.box.cgroup}/plain"
        (self.folder / "config.json").write_text(json.dumps(told))

    async def start(self) -> float:
        begun = time.perf_counter()
        await _run([*self.base, "run", "--detach", "--bundle", str(self.folder), "plain"])
        taken = time.perf_counter() - begun
        await _run([*self.base, "delete", "--force", "plain"])
        return taken

    async def close(self) -> None:
        await _run(["umount", str(self.folder / "root")])


class Podman:
    def __init__(self, work: Path) -> None:
        self.work = work / "podman"
        self.work.mkdir()
        (self.work / "containers.conf").write_text(
            '[network]\nnetwork_backend="cni"\n[engine]\ncgroup_manager="cgroupfs"\nevents_logger="file"\nruntime="runc"\n'
        )
        (self.work / "storage.conf").write_text(
            f'[storage]\ndriver="overlay"\ngraphroot="{self.work}/graph"\nrunroot="{self.work}/run"\n'
        )
        self.environment = {
            **os.environ,
            "CONTAINERS_CONF": str(self.work / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.work / "storage.conf"),
        }

    async def prepare(self, archive: Path) -> None:
        plain = self.work / "box.tar"
        plain.symlink_to(archive)
        await _run(["podman", "load", "-q", "-i", str(plain)], self.environment)

    async def start(self, name: str = "bench") -> float:
        begun = time.perf_counter()
        await self.run(name)
        taken = time.perf_counter() - begun
        await self.remove()
        return taken

    async def run(self, name: str) -> None:
        await _run(["podman", "run", "-d", "--name", name, *PODMAN_OPTIONS, "localhost/box:latest"], self.environment)

    async def remove(self) -> None:
        await _run(["podman", "rm", "--force", "--all", "--time", "0"], self.environment)


async def _run(words: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    """What it says goes to a file: a container holds it open."""
    nothing = subprocess.DEVNULL
    with tempfile.TemporaryFile() as said:
        process = await asyncio.create_subprocess_exec(
            *words, env=environment, stdin=nothing, stdout=nothing, stderr=said, start_new_session=True
        )
        if await process.wait():
            said.seek(0)
            raise RuntimeError(f"{' '.join(words)}: {said.read().decode(errors='replace')}")


async def _ours(box: Box) -> float:
    launch = box.launch(None)
    begun = time.perf_counter()
    await box.made.prepare(launch)
    await box.made.start(launch)
    taken = time.perf_counter() - begun
    await box.made.remove(launch.name)
    return taken


async def _many(box: Box, podman: Podman, count: int) -> list[tuple[str, str]]:
    launches = [box.launch(None) for _ in range(count)]
    ours = await _timed(lambda: _all(box.made.start, launches))
    private = [_private(pid) for pid in shims(box.work)]
    await _all(box.made.remove, [launch.name for launch in launches])
    begun = time.perf_counter()
    for number in range(count):
        await podman.run(f"many-{number}")
    theirs = time.perf_counter() - begun
    await podman.remove()
    return [
        (f"{count} containers at once, ours", f"{count / ours:.1f} /s"),
        (f"{count} containers, podman run -d in a loop", f"{count / theirs:.1f} /s"),
        ("ours / podman", f"{theirs / ours:.1f}"),
        ("memory of a shim of its own (median)", f"{statistics.median(private) / 1024:.1f} MiB"),
    ]


async def _all(call: Callable[[Any], Awaitable[None]], values: Sequence[Launch] | Sequence[str]) -> None:
    await asyncio.gather(*(call(value) for value in values))


async def _timed(call: Callable[[], Awaitable[None]]) -> float:
    begun = time.perf_counter()
    await call()
    return time.perf_counter() - begun


def _private(pid: int) -> int:
    """KiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Dirty:", "Private_Clean:")))


async def _measure(work: Path) -> list[tuple[str, str]]:
    rounds, many = (3, 5) if bench.quick() else (ROUNDS, MANY)
    box, found = Box(work), list[tuple[str, str]]()

    async def story() -> None:
        runc, podman = Runc(box, choose()), Podman(work)
        await runc.prepare()
        try:
            await podman.prepare(work / "images/box:latest.tar")
            taken: dict[str, list[float]] = {"ours": [], "runc run": [], "podman run -d": []}
            for _ in range(rounds):
                taken["ours"].append(await _ours(box))
                taken["runc run"].append(await runc.start())
                taken["podman run -d"].append(await podman.start())
            for name, all_ in taken.items():
                found.append((f"a container, {name} (median)", f"{statistics.median(all_) * 1000:.0f} ms"))
            for name in ("runc run", "podman run -d"):
                ratio = statistics.median(a / b for a, b in zip(taken["ours"], taken[name], strict=True))
                found.append((f"ours / {name} (median of neighbouring runs)", f"{ratio:.2f}"))
            found.extend(await _many(box, podman, many))
        finally:
            await runc.close()
            await podman.remove()

    await box.run(story)
    return found


def run() -> list[tuple[str, str]]:
    work = Path(tempfile.mkdtemp(prefix="tortie-bench-", dir="/var/tmp"))
    try:
        return asyncio.run(_measure(work))
    finally:
        _remove(work)


def _remove(work: Path) -> None:
    """podman leaves its store mounted on itself, and processes that mount it again a moment later."""
    for hierarchy in cgroups.hierarchies():
        cgroups.end(hierarchy / CGROUP)
    for _ in range(100):
        subprocess.run(["umount", str(work / "podman/graph/overlay")], check=False, capture_output=True)
        shutil.rmtree(work, ignore_errors=True)
        if not work.exists():
            return
        time.sleep(0.1)
