"""The Streams of an agent over plain processes and pseudo-terminals, without containers around them."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import struct
import subprocess
import termios
from collections.abc import AsyncIterator
from contextlib import suppress

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from tortie.base.errors import NotFound, Unavailable
from tortie.mesos.agent.streams import Output, Session

Part = tuple[Output, bytes]
LAG = 64
"""So many parts may wait for a reader that nobody waits for."""


class LocalStreams:
    """`run` begins a task's process; sessions are begun by their first reader."""

    def __init__(self) -> None:
        self.processes: dict[str, _Process] = {}
        self.resized: list[tuple[str, int, int]] = []

    def run(self, container_id: str, *arguments: str, terminal: bool = False) -> None:
        process = _Process(Session(id=container_id, parent="", arguments=arguments, terminal=terminal), patient=False)
        self.processes[container_id] = process
        process.begin()

    def _of(self, container_id: str) -> _Process:
        try:
            return self.processes[container_id]
        except KeyError:
            raise NotFound(f"no container {container_id}") from None

    async def launch(self, session: Session) -> None:
        self._of(session.parent)
        self.processes[session.id] = _Process(session, patient=True)

    async def output(self, container_id: str) -> AsyncIterator[Part]:
        process = self._of(container_id)
        reader = process.subscribe()
        try:
            async with reader.parts:
                async for part in reader.parts:
                    yield part
            if reader.cut:
                raise Unavailable(f"a reader of {container_id} was too slow")
        finally:
            process.readers.remove(reader)

    async def write(self, container_id: str, data: bytes) -> None:
        process = self._of(container_id)
        if not process.begun:
            await process.started.wait()
        while data and process.input >= 0 and not process.ended.is_set():
            try:
                data = data[os.write(process.input, data) :]
            except BlockingIOError:
                with anyio.move_on_after(0.1):
                    await anyio.wait_writable(process.input)
            except OSError:
                return

    async def close_input(self, container_id: str) -> None:
        process = self._of(container_id)
        if not process.session.terminal:
            process.close_input()

    async def resize(self, container_id: str, rows: int, columns: int) -> None:
        process = self._of(container_id)
        self.resized.append((container_id, rows, columns))
        process.resize(rows, columns)

    async def wait(self, container_id: str) -> int:
        process = self._of(container_id)
        await process.ended.wait()
        return process.status

    async def signal(self, container_id: str, number: int) -> None:
        process = self._of(container_id)
        if process.popen is not None:
            with suppress(ProcessLookupError):
                os.kill(process.popen.pid, number)

    async def remove(self, container_id: str) -> None:
        process = self._of(container_id)
        process.kill()
        del self.processes[container_id]

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()


class _Reader:
    def __init__(self, *, patient: bool) -> None:
        self.patient = patient
        self.cut = False
        self.send: MemoryObjectSendStream[Part]
        self.parts: MemoryObjectReceiveStream[Part]
        self.send, self.parts = anyio.create_memory_object_stream[Part](0 if patient else LAG)


class _Process:
    def __init__(self, session: Session, *, patient: bool) -> None:
        self.session = session
        self.patient = patient
        self.begun = False
        self.started = anyio.Event()
        self.popen: subprocess.Popen[bytes] | None = None
        self.readers: list[_Reader] = []
        self.ended = anyio.Event()
        self.status = signal.SIGKILL.value
        self.input = -1
        self.sources: dict[int, Output] = {}
        self._size = (session.rows, session.columns)
        self._watch: asyncio.Task[None] | None = None

    def subscribe(self) -> _Reader:
        reader = _Reader(patient=self.patient and not self.readers)
        self.readers.append(reader)
        if self.ended.is_set():
            reader.send.close()
        elif not self.begun:
            self.begin()
        return reader

    def begin(self) -> None:
        self.begun = True
        environment = {**os.environ, **self.session.environment}
        shell: list[str] = []
        if self.session.terminal:
            master, slave = os.openpty()
            # The first terminal that the leader of a session opens is its own.
            own = os.ttyname(slave)
            shell = ["sh", "-c", f'exec "$@" <{own} >{own} 2>&1', "sh"]
            stdin = stdout = stderr = slave
            self.input, self.sources = os.dup(master), {master: "STDOUT"}
        else:
            (stdin, self.input), (out, stdout), (err, stderr) = os.pipe(), os.pipe(), os.pipe()
            self.sources = {out: "STDOUT", err: "STDERR"}
        try:
            self.popen = subprocess.Popen(
                # Whoever runs the tests in the background has INT and QUIT ignored.
                ["env", "--default-signal", *shell, *self.session.arguments],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            os.write(stderr, f"{self.session.arguments[0]}: {error.strerror}\n".encode())
        for end in {stdin, stdout, stderr}:
            os.close(end)
        for end in (self.input, *self.sources):
            os.set_blocking(end, False)
        self.resize(*self._size)
        self.started.set()
        self._watch = asyncio.get_running_loop().create_task(self._run())

    def resize(self, rows: int, columns: int) -> None:
        self._size = (rows, columns)
        if self.session.terminal and self.input >= 0:
            fcntl.ioctl(self.input, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def _run(self) -> None:
        async with anyio.create_task_group() as group:
            for source, kind in self.sources.items():
                group.start_soon(self._pump, source, kind)
            if self.popen is None:
                self.status = 127 << 8
            else:
                watched = os.pidfd_open(self.popen.pid)
                try:
                    await anyio.wait_readable(watched)
                finally:
                    os.close(watched)
                code = self.popen.wait()
                self.status = -code if code < 0 else code << 8
            self.kill()
            # What it wrote before it ended is in the pipes, and is handed on before they are closed.
        self.ended.set()
        for reader in self.readers:
            reader.send.close()
        self.close_input()

    async def _pump(self, source: int, kind: Output) -> None:
        try:
            while True:
                try:
                    data = os.read(source, 65536)
                except BlockingIOError:
                    await anyio.wait_readable(source)
                    continue
                except OSError:
                    return
                if not data:
                    return
                for reader in list(self.readers):
                    await _hand(reader, (kind, data))
        finally:
            os.close(source)

    def kill(self) -> None:
        if self.popen is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.popen.pid, signal.SIGKILL)
        elif not self.begun:
            self.ended.set()
            for reader in self.readers:
                reader.send.close()

    def close_input(self) -> None:
        if self.input >= 0:
            os.close(self.input)
            self.input = -1


async def _hand(reader: _Reader, part: Part) -> None:
    if reader.cut:
        return
    try:
        if reader.patient:
            await reader.send.send(part)
        else:
            reader.send.send_nowait(part)
    except anyio.WouldBlock:
        reader.cut = True
        reader.send.close()
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        return
