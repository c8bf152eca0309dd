"""Input and output of UCR containers and of sessions in them, by their shims."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from tortie.base import cgroups
from tortie.base.errors import Conflict, Invalid, NotFound, Unavailable
from tortie.mesos.agent.streams import Output, Session
from tortie.mesos.agent.ucr import connection, shim
from tortie.mesos.agent.ucr.bundle import session_process
from tortie.mesos.agent.ucr.connection import Connection
from tortie.mesos.agent.ucr.oci import Runtime
from tortie.mesos.agent.ucr.place import Place, forget, number
from tortie.mesos.agent.ucr.users import user_of

KINDS: dict[bytes, Output] = {shim.STDOUT: "STDOUT", shim.STDERR: "STDERR"}
PART = 1 << 16
KILLED = int(signal.SIGKILL)


class UcrStreams:
    """The Streams of one agent.

    A task without a terminal has /dev/null as its input: what is written to it is dropped. A session's slow reader
    holds the session back; of a task's output a reader that lags 8 MiB behind is cut off (Unavailable).
    """

    def __init__(self, place: Place, runtime: Runtime) -> None:
        self._place, self._runtime = place, runtime
        self._writers: dict[str, Connection] = {}

    async def launch(self, session: Session) -> None:
        """Raises Conflict when there is a session of this name."""
        parent = self._place.container(session.parent)
        if not (parent / "begun").exists() or (parent / "status").exists():
            raise NotFound(f"Container {session.parent} cannot be found")
        folder = self._place.session(session.id)
        user = user_of(session.user) if session.user else None
        told = msgspec.json.decode((parent / "config.json").read_bytes())["process"]
        process = session_process(told, session, user)
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError as error:
            raise Conflict(f"Container {session.id} exists already") from error
        (folder / "parent").write_text(session.parent)
        (folder / "process.json").write_bytes(msgspec.json.encode(process))
        given = {"dir": folder, "console": int(session.terminal), "input": 1, "patience": 1}
        try:
            cgroup = self._runtime.make_session_cgroup(session.parent, session.id)
            begin = self._runtime.execute(session.parent, folder, cgroup, terminal=session.terminal)
            await connection.start(self._place.shim, given, (), begin)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self.remove(session.id)
            raise

    async def output(self, container_id: str) -> AsyncIterator[tuple[Output, bytes]]:
        folder = self._place.of(container_id)
        began = False
        try:
            async with await Connection.open(folder) as found:
                async for kind, data in found.output():
                    began = True
                    yield KINDS[kind], data
        except (NotFound, Unavailable):
            # A shim that has nobody left to tell does not wait for those who come now.
            if began or not (folder / "status").exists():
                raise

    async def write(self, container_id: str, data: bytes) -> None:
        """Raises Conflict while somebody else's data waits to be taken."""
        for at in range(0, len(data), PART):
            await self._tell(container_id, shim.INPUT, data[at : at + PART])

    async def close_input(self, container_id: str) -> None:
        await self._tell(container_id, shim.CLOSE)

    async def resize(self, container_id: str, rows: int, columns: int) -> None:
        if not (0 <= rows < 1 << 16 and 0 <= columns < 1 << 16):
            raise Invalid(f"A terminal of {rows} rows and {columns} columns cannot be")
        await self._tell(container_id, shim.SIZE, rows.to_bytes(2, "big") + columns.to_bytes(2, "big"))

    async def signal(self, container_id: str, number: int) -> None:
        if not 0 < number < signal.NSIG:
            raise Invalid(f"{number} is no signal")
        await self._tell(container_id, shim.SIGNAL, bytes([number]))

    async def _tell(self, container_id: str, kind: bytes, data: bytes = b"") -> None:
        """One conversation for all orders, so that they are done in their order. To what has ended there is nothing to
        say."""
        folder = self._place.of(container_id)
        if (folder / "status").exists():
            self._hang_up(container_id)
            return
        found = self._writers.pop(container_id, None) or await Connection.open(folder)
        try:
            await found.order(kind, data)
        except Conflict:
            self._keep(container_id, found)
            raise
        except Unavailable:
            found.close()
            if not (folder / "status").exists():
                raise
        except BaseException:
            found.close()
            raise
        else:
            self._keep(container_id, found)

    def _hang_up(self, container_id: str) -> None:
        if found := self._writers.pop(container_id, None):
            found.close()

    def _keep(self, container_id: str, found: Connection) -> None:
        if self._writers.setdefault(container_id, found) is not found:
            found.close()

    async def wait(self, container_id: str) -> int:
        """A shim that was killed takes its session with it."""
        folder = self._place.of(container_id)
        if (ended := number(folder / "status")) is not None:
            return ended
        try:
            async with await Connection.open(folder) as found:
                return await found.status()
        except (NotFound, Unavailable):
            ended = number(folder / "status")
            return KILLED if ended is None else ended

    async def remove(self, container_id: str) -> None:
        """What is not there is fine."""
        self._hang_up(container_id)
        folder = self._place.session(container_id)
        if not folder.is_dir():
            return
        await connection.end(folder)
        if parent := _parent(folder):
            await self._end_all(parent, container_id)
        await anyio.to_thread.run_sync(forget, folder)

    async def _end_all(self, parent: str, session_id: str) -> None:
        cgroup = self._runtime.session_cgroup(parent, session_id)
        if cgroup.is_dir():
            await anyio.to_thread.run_sync(cgroups.end, cgroup)

    async def remove_all(self, parent: str | None = None) -> None:
        """Every session of a container, or of all: nobody is left who could want them."""
        for session_id in self._place.sessions():
            if parent is None or _parent(self._place.session(session_id)) == parent:
                await self.remove(session_id)

    def close(self) -> None:
        for found in self._writers.values():
            found.close()
        self._writers.clear()


def _parent(folder: Path) -> str:
    """Of a session; nothing when its agent was killed before it could say so."""
    try:
        return (folder / "parent").read_text()
    except OSError:
        return ""
