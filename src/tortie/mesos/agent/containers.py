"""The host's Docker engine, as the agent uses it: `docker` for what has its flags, the engine's API for the rest."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio

from tortie.base.errors import Conflict, Invalid, NotFound, TortieError, Unavailable
from tortie.mesos.agent.docker_run import LABEL_AGENT, LABEL_CONTAINER, Launch, create_arguments, image_with_tag
from tortie.mesos.agent.hearing import COLUMNS, can_hear
from tortie.wire.docker import DEFAULT_SOCKET, DockerClient

STREAMS = {1: "stdout", 2: "stderr"}


class Containers:
    """Containers of one agent; `owner` is what it writes on them."""

    def __init__(self, owner: str, *, docker: str = "docker", socket: str = DEFAULT_SOCKET) -> None:
        self.owner = owner
        self.command = [docker, "-H", f"unix://{socket}"]
        self.api = DockerClient(socket)

    async def _docker(self, *args: str) -> tuple[int, str]:
        """Exit status and standard error."""
        try:
            done = await anyio.run_process([*self.command, *args], check=False, stdin=subprocess.DEVNULL)
        except OSError as error:
            raise Unavailable(f"{self.command[0]}: {error.strerror}") from error
        except ValueError as error:
            raise Invalid(f"The task cannot be described to docker: {error}") from error
        return done.returncode, done.stderr.decode(errors="replace").strip()

    async def pull(self, image: str, *, force: bool) -> None:
        """Makes sure that the image is there. Raises Unavailable with what `docker pull` said."""
        name = image_with_tag(image)
        if not force:
            try:
                await self.api.call("GET", f"/images/{quote(name, safe='/:@')}/json")
            except NotFound:
                force = True
        if force:
            status, said = await self._docker("pull", name)
            if status:
                tried = " ".join([*self.command, "pull", name])
                raise Unavailable(f"Failed to run '{tried}': exited with status {status}; stderr='{said}\n'")

    async def start(self, launch: Launch) -> None:
        """Creates and starts it. Raises Invalid when Docker refuses; nothing of it is left then."""
        status, said = await self._docker("create", *create_arguments(launch))
        if status:
            await self.remove(launch.name)
            raise Invalid(f"Failed to run docker container: {said or f'docker create exited with status {status}'}")
        try:
            await self.api.call("POST", f"/containers/{launch.name}/start")
        except TortieError as error:
            await self.remove(launch.name)
            raise Invalid(f"Failed to run docker container: {error}") from error

    async def inspect(self, name: str) -> dict[str, Any]:
        """Raises NotFound."""
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

    async def hears(self, name: str, inspect: Mapping[str, Any], signal: str) -> bool:
        """Whether its first process may notice the signal; True whenever the engine cannot tell."""
        try:
            top = await self.api.call("GET", f"/containers/{name}/top", query={"ps_args": f"-o {','.join(COLUMNS)}"})
        except TortieError:
            return True
        return can_hear(inspect, top, signal)

    async def remove(self, name: str) -> None:
        """Ended first when it runs. What is not there is fine; when the engine is silent, sweeping does it later."""
        try:
            await self.api.call("DELETE", f"/containers/{name}", query={"force": True, "v": True})
        except (NotFound, Conflict, Unavailable):
            return

    async def owned(self) -> list[tuple[str, str, str]]:
        """(name, our container id, engine's state) of every container that this agent made."""
        filters = {"label": [f"{LABEL_AGENT}={self.owner}"]}
        listed = await self.api.call("GET", "/containers/json", query={"all": True, "filters": filters})
        return [(c["Names"][0].lstrip("/"), c["Labels"].get(LABEL_CONTAINER, ""), c["State"]) for c in listed]

    async def ended_before(self, name: str, moment: float) -> bool:
        try:
            finished = str((await self.inspect(name))["State"]["FinishedAt"])
            return datetime.fromisoformat(finished[:19] + "+00:00").timestamp() < moment
        except (NotFound, ValueError):
            return False

    async def follow_logs(self, name: str, sandbox: Path, base: Mapping[str, int], *, tty: bool) -> None:
        """Appends its output to `stdout` and `stderr` until it ends.

        A container with a terminal has one stream. `base`: how long each file was before its output; what is in the
        files beyond that has been written already.
        """
        skip = {n: max((sandbox / n).stat().st_size - base.get(n, 0), 0) for n in STREAMS.values()}
        query = {"follow": True, "stdout": True, "stderr": True}
        demux = Demux()
        with (sandbox / "stdout").open("ab", 0) as out, (sandbox / "stderr").open("ab", 0) as err:
            files = {"stdout": out, "stderr": err}
            async for data in self.api.chunks("GET", f"/containers/{name}/logs", query=query):
                for stream, part in [("stdout", data)] if tty else demux.feed(data):
                    seen = min(skip[stream], len(part))
                    skip[stream] -= seen
                    if seen < len(part):
                        files[stream].write(part[seen:])


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
