"""Containers inside tasks' containers: sessions, which live as long as their reader, and others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from tortie.base.errors import Conflict, Invalid, NotFound, TortieError
from tortie.mesos.agent.nested_call import path_of, root_of, session_of
from tortie.mesos.agent.sandbox_files import SandboxFiles
from tortie.mesos.agent.streams import Streams, closing
from tortie.wire import mesos as wire
from tortie.wire.mesos import agent_api as v1

log = logging.getLogger("agent")
REMEMBERED = 2000
"""So many that have ended are known with how they ended."""
KILLED = 9
REMOVING = 30.0

Spawn = Callable[..., None]
"""Starts a function of ours beside everything else: the function, then its arguments."""


@dataclass(slots=True)
class Nested:
    """`status` is wait(2)'s, once `ended`."""

    container_id: wire.ContainerID
    status: int | None = None
    ended: anyio.Event = field(default_factory=anyio.Event)

    @property
    def id(self) -> str:
        return self.container_id.value


@dataclass(frozen=True, slots=True)
class Parent:
    """A task's container that runs. `docker`: no sessions there."""

    sandbox: Path
    docker: bool = False


class NestedContainers:
    """`parent` finds a task's container by its id. Errors are in the original's words where it has any."""

    def __init__(self, streams: Streams | None, parent: Callable[[str], Parent | None], spawn: Spawn) -> None:
        self.streams = streams
        self.parent = parent
        self.spawn = spawn
        self.known: dict[str, Nested] = {}
        self._inputs: set[str] = set()

    # -- which container is meant ------------------------------------------------------------------------------------

    def find(self, container_id: wire.ContainerID) -> Nested | None:
        """What this id names: a nested one, or None for a task's own container. Raises NotFound."""
        if container_id.parent is None:
            if self.parent(container_id.value) is None:
                raise _not_found(container_id)
            return None
        found = self.known.get(container_id.value)
        if found is None or path_of(found.container_id) != path_of(container_id):
            raise _not_found(container_id)
        return found

    def open(self, container_id: wire.ContainerID) -> Streams:
        """The streams of a container that is there. Raises NotFound, or Invalid for one that Docker runs."""
        self.find(container_id)
        return self._streams(container_id)

    def _streams(self, container_id: wire.ContainerID) -> Streams:
        parent = self.parent(root_of(container_id))
        if self.streams is None or (parent is not None and parent.docker):
            raise Invalid(f"Container {path_of(container_id)} is not run by the Mesos containerizer: no sessions there")
        return self.streams

    # -- beginning -----------------------------------------------------------------------------------------------------

    async def launch(self, asked: v1.LaunchNested, *, session: bool) -> Nested | None:
        """None: it exists already. A session begins when its output is read, another at once, with files of its own."""
        container_id = asked.container_id
        wanted = session_of(asked)
        parent = self.parent(wanted.parent)
        if parent is None or not self._whole_line(container_id):
            raise _not_found(container_id)
        streams = self._streams(container_id)
        if container_id.value in self.known or self.parent(container_id.value) is not None:
            same = self.known.get(container_id.value)
            if session or same is None or path_of(same.container_id) != path_of(container_id):
                raise Conflict(f"Container {path_of(container_id)} exists already")
            return None
        made = self.known[container_id.value] = Nested(container_id)
        files = None
        try:
            files = None if session else SandboxFiles(parent.sandbox, container_id.value)
            await streams.launch(wanted)
        except BaseException as error:
            del self.known[container_id.value]
            if files is not None:
                files.close()
            if isinstance(error, NotFound):
                raise _not_found(container_id) from None
            raise
        self._forget_old()
        self.spawn(self._until_ended, streams, made)
        if files is not None:
            self.spawn(self._keep_output, streams, made, files)
        return made

    def _whole_line(self, container_id: wire.ContainerID) -> bool:
        """Whether everything between it and the task's container exists and runs."""
        above = container_id.parent
        while above is not None and above.parent is not None:
            found = self.known.get(above.value)
            if found is None or found.ended.is_set() or path_of(found.container_id) != path_of(above):
                return False
            above = above.parent
        return above is not None

    async def _until_ended(self, streams: Streams, nested: Nested) -> None:
        status = KILLED
        try:
            status = await streams.wait(nested.id)
        except (TortieError, OSError) as error:
            log.debug("container %s: %s", path_of(nested.container_id), error)
        finally:
            nested.status = status
            nested.ended.set()

    async def _keep_output(self, streams: Streams, nested: Nested, files: SandboxFiles) -> None:
        """What the disk does not take is lost; the container goes on."""
        lost = 0
        with files:
            try:
                async with closing(streams.output(nested.id)) as output:
                    async for stream, data in output:
                        lost += files.write(stream, data)
            except (TortieError, OSError) as error:
                log.warning("output of container %s: %s", path_of(nested.container_id), error)
        if lost:
            log.warning("output of container %s: the disk did not take %d bytes", path_of(nested.container_id), lost)
        await nested.ended.wait()
        await self.end(nested)

    def _forget_old(self) -> None:
        ended = [nested.id for nested in self.known.values() if nested.ended.is_set()]
        for name in ended[: max(len(ended) - REMEMBERED, 0)]:
            del self.known[name]

    # -- ending --------------------------------------------------------------------------------------------------------

    async def end(self, nested: Nested, *, by_itself: bool = False) -> None:
        """With everything it started; how it ended stays known. `by_itself`: its output is over already."""
        if self.streams is None:
            return
        with anyio.move_on_after(REMOVING, shield=True) as limit:
            if by_itself:
                await nested.ended.wait()
            try:
                await self.streams.remove(nested.id)
            except NotFound:
                return
            except (TortieError, OSError) as error:
                log.warning("container %s could not be removed: %s", path_of(nested.container_id), error)
        if limit.cancelled_caught:
            log.warning("container %s could not be removed within %g s", path_of(nested.container_id), REMOVING)

    async def end_all_in(self, root: str) -> None:
        """The task's container has ended: nothing in it goes on."""
        for nested in self.running():
            if root_of(nested.container_id) == root:
                await self.end(nested)

    async def wait(self, container_id: wire.ContainerID) -> int:
        found = self.find(container_id)
        if found is None:
            try:
                return await self._streams(container_id).wait(container_id.value)
            except NotFound:
                raise _not_found(container_id) from None
        await found.ended.wait()
        assert found.status is not None
        return found.status

    async def kill(self, container_id: wire.ContainerID, number: int | None) -> None:
        number = KILLED if number is None else number
        if not 0 < number < 65:
            raise Invalid(f"There is no signal {number}")
        found = self.find(container_id)
        streams = self._streams(container_id)
        if found is not None and found.ended.is_set():
            raise _not_found(container_id)
        try:
            await streams.signal(container_id.value, number)
        except NotFound:
            raise _not_found(container_id) from None

    async def remove(self, container_id: wire.ContainerID) -> None:
        """What is not there is fine while its parent is. Raises StillRuns."""
        if self.parent(root_of(container_id)) is None:
            return
        try:
            found = self.find(container_id)
        except NotFound:
            return
        if found is None or not found.ended.is_set():
            raise StillRuns(f"Container {path_of(container_id)} has not terminated yet")
        await self.end(found)
        del self.known[found.id]

    # -- input ---------------------------------------------------------------------------------------------------------

    def take_input(self, container_id: wire.ContainerID) -> Callable[[], None]:
        """Its one input is the caller's until the answer is called. Raises Conflict."""
        name = container_id.value
        if name in self._inputs:
            raise Conflict("Multiple input connections are not allowed")
        self._inputs.add(name)
        return lambda: self._inputs.discard(name)

    def running(self) -> list[Nested]:
        return [nested for nested in self.known.values() if not nested.ended.is_set()]


class StillRuns(TortieError):
    """What must have ended has not."""


def _not_found(container_id: wire.ContainerID) -> NotFound:
    return NotFound(f"Container {path_of(container_id)} cannot be found")
