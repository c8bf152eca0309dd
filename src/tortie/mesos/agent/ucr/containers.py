"""Containers of the Mesos containerizer: an OCI runtime's, each with a shim that outlives the agent."""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from tortie.base import cgroups
from tortie.base.errors import Invalid, NotFound, TortieError, Unavailable
from tortie.mesos.agent.containerizer import Exit, Seen
from tortie.mesos.agent.docker_run import Launch
from tortie.mesos.agent.hearing import noticed, number_of
from tortie.mesos.agent.networks import Networks
from tortie.mesos.agent.streams import Session
from tortie.mesos.agent.ucr import bundle, connection, ending, making, process, shim
from tortie.mesos.agent.ucr.connection import Connection
from tortie.mesos.agent.ucr.images import Images, Ready, parse_reference
from tortie.mesos.agent.ucr.oci import SESSIONS, Runtime
from tortie.mesos.agent.ucr.place import Place, forget, number
from tortie.mesos.agent.ucr.streams import UcrStreams
from tortie.mesos.agent.ucr.users import user_of
from tortie.mesos.agent.ucr.wanted import wanted, wish
from tortie.mesos.resources import from_wire

log = logging.getLogger("agent")

AT_ONCE = 8
"""So many containers are made at the same time: a runtime is at work most of the time, it does not wait."""
AGAIN = 60.0
"""After so many seconds it is tried again to give back what could not be given back."""
MOST_SAID = 1 << 16
MASKS = ("SigBlk", "SigIgn", "SigCgt")


class UcrContainers:
    """The Containerizer of one agent for tasks without Docker; `streams` for their input and output."""

    def __init__(
        self, options: making.Options, place: Place, runtime: Runtime, images: Images, networks: Networks
    ) -> None:
        self.options = options
        self.streams = UcrStreams(place, runtime)
        self._place, self._runtime, self._images, self._networks = place, runtime, images, networks
        self._making = anyio.CapacityLimiter(AT_ONCE)
        place.make()
        images.clear()
        self._old_sessions = list(place.sessions())
        self._busy: dict[str, anyio.Lock] = {}
        self._again: dict[str, float] = {}

    # -- to its start --------------------------------------------------------------------------------------------------

    def check(self, launch: Launch) -> None:
        try:
            self._check(launch)
        except Invalid as error:
            raise Invalid(f"Failed to launch container: {error}") from error

    def _check(self, launch: Launch) -> None:
        asked = wanted(launch)
        if asked.image:
            parse_reference(asked.image)
        bundle.volumes(asked.container, launch.sandbox, own_root=bool(asked.image))
        bundle.process(_nothing(), asked.container)
        process.environment(asked.command, None, {}, {})
        if not asked.image:
            process.arguments(asked.command, None, as_docker=asked.as_docker)
        user_of(launch.user)
        self._networks.check(wish(launch, asked))

    async def prepare(self, launch: Launch) -> None:
        """Its networks, too: somebody else's program may take its time for them."""
        asked = wanted(launch)
        if asked.image:
            await anyio.to_thread.run_sync(self._images.get, asked.image, abandon_on_cancel=True)
        await self._networks.join(wish(launch, asked))

    async def start(self, launch: Launch) -> None:
        try:
            async with self._making:
                await self._start(launch)
        except (TortieError, OSError) as error:
            try:
                await self.remove(launch.name)
            except TortieError as left:
                log.warning("%s", left)
            raise Invalid(f"Failed to launch container: {error}") from error

    async def _start(self, launch: Launch) -> None:
        asked = wanted(launch)
        image = await anyio.to_thread.run_sync(self._images.get, asked.image) if asked.image else None
        folder, data = self._place.container(launch.container_id), self._data(launch.container_id)
        limits = bundle.limits_of(
            from_wire(launch.task.resources), hard=self.options.hard, processes=self.options.processes
        )
        stop = (image and asked.as_docker and image.config.stop_signal) or "SIGTERM"
        folder.mkdir(mode=0o700)
        making.keep(folder, making.Known(owner=self.options.owner, stop_signal=stop, memory=limits.memory))
        making.make_data(data, self.options.owner)
        joined = self._networks.joined(launch.container_id)
        if joined is None:
            raise Unavailable("its networks are gone")
        shape = bundle.Shape(
            process=making.process_of(self.options, launch, asked, image, joined),
            root=str(data / "rootfs"),
            cgroup=self._runtime.cgroup(launch.container_id),
            hostname=joined.hostname,
            network=joined.namespace,
            mounts=making.mounts(launch, asked, joined),
            limits=limits,
            container=asked.container,
            privileged=asked.privileged,
            agents_pid=asked.agents_pid,
        )
        (folder / "config.json").write_bytes(msgspec.json.encode(bundle.config(shape)))
        await self._make(launch, folder, data, image, terminal=asked.terminal)
        pid = number(folder / "pid")
        if pid is None:
            raise Unavailable("the runtime has made no process")
        await self._networks.isolate(launch.container_id, pid)
        async with await Connection.open(folder) as found:
            await found.order(shim.BEGIN)

    async def _make(self, launch: Launch, folder: Path, data: Path, image: Ready | None, *, terminal: bool) -> None:
        given: dict[str, object] = {"dir": folder, "root": data / "rootfs", "console": int(terminal)}
        if image is not None:
            given["lower"] = ":".join(map(str, reversed(image.layers)))
            given |= {"upper": data / "upper", "work": data / "work"}
        else:
            given["bind"] = "/"
        given |= {name: f"{launch.sandbox}/{name}" for name in ("stdout", "stderr")}
        given |= {"size": self.options.size, "files": self.options.files}
        given["memory"] = self._runtime.controlled_by("memory", launch.container_id)
        make = self._runtime.create(launch.container_id, folder, terminal=terminal)
        await connection.start(self._place.shim, given, make, self._runtime.begin(launch.container_id))

    def cgroup(self, container_id: str) -> Path:
        """In one of the hierarchies; it is the same in all of them."""
        return self._runtime.controlled_by(SESSIONS, container_id)

    def _data(self, container_id: str) -> Path:
        return self.options.data / "containers" / container_id

    # -- while it runs -------------------------------------------------------------------------------------------------

    async def look(self, name: str) -> Seen:
        container_id = _id(name)
        folder = self._folder(container_id)
        known = making.known(folder, self.options.owner)
        joined = self._networks.joined(container_id)
        return Seen(
            started=(folder / "begun").exists(),
            exit=await self._exit(folder, known),
            networks=joined.infos if joined else (),
            pid=number(folder / "pid") or 0,
            stop_signal=known.stop_signal,
        )

    async def _exit(self, folder: Path, known: making.Known) -> Exit | None:
        if not (folder / "begun").exists():
            return None
        status = number(folder / "status")
        if status is None:
            try:
                (await Connection.open(folder)).close()
                return None
            except NotFound:
                status = number(folder / "status")  # it may just have ended
        if status is None:
            return ending.lost()
        oom = folder / "oom"
        return ending.ended(status, out_of_memory=oom.exists(), requested=known.memory, peak=number(oom) or 0)

    def _folder(self, container_id: str) -> Path:
        folder = self._place.container(container_id)
        if not folder.is_dir():
            raise NotFound(f"Container {container_id} cannot be found")
        return folder

    async def wait(self, name: str) -> None:
        await self.streams.wait(_id(name))

    async def follow_output(self, name: str, sandbox: Path, base: Mapping[str, int]) -> None:
        """The shim does it."""
        await self.wait(name)

    async def signal(self, name: str, signal: str) -> None:
        """To every process of it, as the original does."""
        container_id = _id(name)
        self._folder(container_id)
        if not (number_ := number_of(signal)):
            raise Invalid(f"'{signal}' is no signal")
        await anyio.to_thread.run_sync(cgroups.send, self.cgroup(container_id), number_)

    async def hears(self, name: str, signal: str) -> bool:
        """False when its first process is alone, but for sessions, and the kernel shields it."""
        container_id = _id(name)
        first = number(self._folder(container_id) / "pid")
        inside = cgroups.processes_in(self.cgroup(container_id))
        if first is None or inside != [first]:
            return True
        return noticed(_masks(first), number_of(signal))

    async def run_in(
        self, name: str, arguments: Sequence[str], *, environment: Mapping[str, str], timeout: float
    ) -> tuple[int, str]:
        session = Session(id=f"check-{uuid.uuid4()}", parent=_id(name), arguments=arguments, environment=environment)
        said = bytearray()
        with anyio.move_on_after(timeout or None):
            async with self._session(session):
                async for _, data in self.streams.output(session.id):
                    said += data[: MOST_SAID - len(said)]
                ended = Exit(status=await self.streams.wait(session.id), message="")
                return ended.code, said.decode(errors="replace").strip()
        raise Unavailable(f"no answer within {timeout:g} seconds")

    @asynccontextmanager
    async def _session(self, session: Session) -> AsyncIterator[None]:
        await self.streams.launch(session)
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await self.streams.remove(session.id)

    # -- after its end -------------------------------------------------------------------------------------------------

    async def release(self, name: str) -> None:
        container_id = _id(name)
        folder = self._place.container(container_id)
        async with self._alone(container_id):
            if (folder / "released").exists():
                return
            await self._release(container_id)
            if folder.is_dir():
                (folder / "released").touch()

    async def _release(self, container_id: str) -> None:
        """Goes on past every failure, then tells of them."""
        failed: list[Exception] = []
        for step in (self._kill, self._networks.leave, self._runtime.delete, self._forget_data):
            try:
                await step(container_id)
            except (TortieError, OSError) as error:
                failed.append(error)
        if failed:
            raise Unavailable(f"container {container_id}: {'; '.join(map(str, failed))}") from failed[0]

    async def _kill(self, container_id: str) -> None:
        """Whatever is left in it; with it ends its shim, if it has one."""
        await anyio.to_thread.run_sync(cgroups.end, self.cgroup(container_id))

    async def _forget_data(self, container_id: str) -> None:
        await anyio.to_thread.run_sync(cgroups.remove, self._runtime.cgroup(container_id))
        await anyio.to_thread.run_sync(forget, self._data(container_id))

    async def remove(self, name: str) -> None:
        container_id = _id(name)
        folder = self._place.container(container_id)
        await connection.end(folder)
        await self.release(name)
        await self.streams.remove_all(container_id)
        await anyio.to_thread.run_sync(forget, folder)
        self._busy.pop(container_id, None)
        self._again.pop(container_id, None)

    def _alone(self, container_id: str) -> anyio.Lock:
        return self._busy.setdefault(container_id, anyio.Lock())

    async def owned(self) -> list[tuple[str, str, bool]]:
        """Also what is left of containers that a restart of the host has ended."""
        old, self._old_sessions = self._old_sessions, []
        for session_id in old:
            await self.streams.remove(session_id)
        found = {}
        for container_id in self._place.containers():
            folder = self._place.container(container_id)
            if making.known(folder, self.options.owner).owner == self.options.owner:
                found[container_id] = await self._has_ended(container_id)
        for path in (self.options.data / "containers").glob("*"):
            if path.name not in found and making.owner_of(path) == self.options.owner:
                found[path.name] = False
        return [(_name(container_id), container_id, has_ended) for container_id, has_ended in found.items()]

    async def _has_ended(self, container_id: str) -> bool:
        """What could not be given back at its end is tried again."""
        if (await self.look(_name(container_id))).exit is None:
            return False
        now = anyio.current_time()
        if now < self._again.get(container_id, now):
            return True
        self._again[container_id] = now + AGAIN
        try:
            await self.release(_name(container_id))
        except TortieError as error:
            log.warning("%s", error)
        return True

    async def ended_before(self, name: str, moment: float) -> bool:
        folder = self._place.container(_id(name))
        try:
            return max(path.stat().st_mtime for path in (folder / "status", folder) if path.exists()) < moment
        except (OSError, ValueError):
            return False

    async def close(self) -> None:
        self.streams.close()


def _nothing() -> process.Process:
    return process.Process(arguments=(), environment={}, directory="/", user=process.User())


def _name(container_id: str) -> str:
    return f"mesos-{container_id}"


def _id(name: str) -> str:
    return name.removeprefix("mesos-")


def _masks(pid: int) -> list[str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return []
    return [line.partition(":")[2].strip() for line in lines if line.partition(":")[0] in MASKS]
