"""The host's Docker engine, as the agent uses it: `docker` for what has its flags, the engine's API for the rest."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio

from tortie.base.errors import Conflict, Invalid, NotFound, TortieError, Unavailable
from tortie.mesos.agent.containerizer import Seen
from tortie.mesos.agent.docker_run import (
    LABEL_AGENT,
    LABEL_CONTAINER,
    Launch,
    create_arguments,
    docker_of,
    image_with_tag,
)
from tortie.mesos.agent.docker_seen import seen
from tortie.mesos.agent.hearing import COLUMNS, can_hear
from tortie.mesos.agent.sandbox_files import appending
from tortie.wire.docker import DEFAULT_SOCKET, DockerClient

STREAMS = {1: "stdout", 2: "stderr"}


class DockerContainers:
    """The Containerizer of tasks for Docker: containers of one agent; `owner` is what it writes on them."""

    def __init__(self, owner: str, *, docker: str = "docker", socket: str = DEFAULT_SOCKET) -> None:
        self.owner = owner
        self.command = [docker, "-H", f"unix://{socket}"]
        self.api = DockerClient(socket)

    async def close(self) -> None:
        await self.api.close()

    async def _docker(self, *args: str) -> subprocess.CompletedProcess[bytes]:
        try:
            return await anyio.run_process([*self.command, *args], check=False, stdin=subprocess.DEVNULL)
        except OSError as error:
            raise Unavailable(f"{self.command[0]}: {error.strerror}") from error
        except ValueError as error:
            raise Invalid(f"The task cannot be described to docker: {error}") from error

    def check(self, launch: Launch) -> None:
        create_arguments(launch)

    async def prepare(self, launch: Launch) -> None:
        """Makes sure that the image is there. Raises Unavailable with what `docker pull` said."""
        docker = docker_of(launch.task)[1]
        name, force = image_with_tag(docker.image), bool(docker.force_pull_image)
        if not force:
            try:
                await self.api.call("GET", f"/images/{quote(name, safe='/:@')}/json")
            except NotFound:
                force = True
        if force:
            pulled = await self._docker("pull", name)
            if status := pulled.returncode:
                said = _text(pulled.stderr)
                tried = " ".join([*self.command, "pull", name])
                raise Unavailable(f"Failed to run '{tried}': exited with status {status}; stderr='{said}\n'")

    async def start(self, launch: Launch) -> None:
        """Creates and starts it. Raises Invalid when Docker refuses; nothing of it is left then."""
        created = await self._docker("create", *create_arguments(launch))
        if created.returncode:
            await self.remove(launch.name)
            said = _text(created.stderr) or f"docker create exited with status {created.returncode}"
            raise Invalid(f"Failed to run docker container: {said}")
        try:
            await self.api.call("POST", f"/containers/{launch.name}/start")
        except TortieError as error:
            await self.remove(launch.name)
            raise Invalid(f"Failed to run docker container: {error}") from error

    async def look(self, name: str) -> Seen:
        return seen(await self._inspect(name))

    async def _inspect(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.api.call("GET", f"/containers/{name}/json")
        return found

    async def wait(self, name: str) -> None:
        """Until it does not run. Raises Unavailable when the engine goes away meanwhile."""
        await self.api.call("POST", f"/containers/{name}/wait", query={"condition": "not-running"})

    async def signal(self, name: str, signal: str) -> None:
        """To its process 1; one that has ended already is fine."""
        try:
            await self.api.call("POST", f"/containers/{name}/kill", query={"signal": signal})
        except (NotFound, Conflict):
            return

    async def hears(self, name: str, signal: str) -> bool:
        try:
            inspect = await self._inspect(name)
            top = await self.api.call("GET", f"/containers/{name}/top", query={"ps_args": f"-o {','.join(COLUMNS)}"})
        except TortieError:
            return True
        return can_hear(inspect, top, signal)

    async def release(self, name: str) -> None:
        """Nothing: the engine gives back what a container had when it ends."""

    async def remove(self, name: str) -> None:
        """Ended first when it runs. What is not there is fine; when the engine is silent, sweeping does it later."""
        try:
            await self.api.call("DELETE", f"/containers/{name}", query={"force": True, "v": True})
        except (NotFound, Conflict, Unavailable):
            return

    async def owned(self) -> list[tuple[str, str, bool]]:
        filters = {"label": [f"{LABEL_AGENT}={self.owner}"]}
        listed = await self.api.call("GET", "/containers/json", query={"all": True, "filters": filters})
        return [
            (c["Names"][0].lstrip("/"), c["Labels"].get(LABEL_CONTAINER, ""), c["State"] == "exited") for c in listed
        ]

    async def ended_before(self, name: str, moment: float) -> bool:
        try:
            finished = str((await self._inspect(name))["State"]["FinishedAt"])
            return datetime.fromisoformat(finished[:19] + "+00:00").timestamp() < moment
        except (NotFound, ValueError):
            return False

    async def follow_output(self, name: str, sandbox: Path, base: Mapping[str, int]) -> None:
        """From the engine's log; what is in the files beyond `base` has been written already."""
        while True:
            tty = bool((await self._inspect(name)).get("Config", {}).get("Tty"))
            await self._append(name, sandbox, base, tty=tty)
            if not (await self._inspect(name)).get("State", {}).get("Running"):
                return
            await anyio.sleep(1)

    async def _append(self, name: str, sandbox: Path, base: Mapping[str, int], *, tty: bool) -> None:
        """Until the log ends. A container with a terminal has one stream."""
        query = {"follow": True, "stdout": True, "stderr": True}
        demux = Demux()
        with appending(sandbox, "stdout") as out, appending(sandbox, "stderr") as err:
            files = {"stdout": out, "stderr": err}
            skip = {n: max(os.fstat(file.fileno()).st_size - base.get(n, 0), 0) for n, file in files.items()}
            async for data in self.api.chunks("GET", f"/containers/{name}/logs", query=query):
                for stream, part in [("stdout", data)] if tty else demux.feed(data):
                    seen = min(skip[stream], len(part))
                    skip[stream] -= seen
                    if seen < len(part):
                        files[stream].write(part[seen:])

    async def run_in(
        self, name: str, arguments: Sequence[str], *, environment: Mapping[str, str], timeout: float
    ) -> tuple[int, str]:
        settings = [part for variable, value in environment.items() for part in ("-e", f"{variable}={value}")]
        with anyio.move_on_after(timeout or None):
            done = await self._docker("exec", *settings, name, *arguments)
            return done.returncode, _text(done.stdout + done.stderr)
        raise Unavailable(f"no answer within {timeout:g} seconds")


def _text(said: bytes) -> str:
    return said.decode(errors="replace").strip()


class Demux:
    """Docker's stream of frames: one byte stream, three of zero, four of length, then the payload."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Sequence[tuple[str, bytes]]:
        self._buffer += data
        parts = []
        while len(self._buffer) >= 8:
            length = int.from_bytes(self._buffer[4:8], "big")
            if len(self._buffer) < 8 + length:
                break
            parts.append((STREAMS.get(self._buffer[0], "stdout"), bytes(self._buffer[8 : 8 + length])))
            del self._buffer[: 8 + length]
        return parts
