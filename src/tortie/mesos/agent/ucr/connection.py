"""The agent's side of a shim's socket, and how a shim is started."""

from __future__ import annotations

import asyncio
import os
import py_compile
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import anyio

from tortie.base.errors import Conflict, Invalid, NotFound, Unavailable
from tortie.mesos.agent.ucr import shim

MAKING = 100.0
"""So long a runtime may take to make a container."""
PATIENCE = 60.0
"""So long a shim may take to hear that it is to end."""


async def start(program: Path, given: Mapping[str, object], make: Sequence[str], begin: Sequence[str]) -> None:
    """A shim that has made its container; `program`: as `compile_program` made it.

    Raises Invalid with the runtime's words: it has ended then. It is not cancelled half-way, when nobody could find it.
    """
    settings = [f"{name}={value}" for name, value in {**given, "making": MAKING}.items()]
    command = [sys.executable, "-I", "-S", str(program), *settings, "--", *make, "--", *begin]
    try:
        with anyio.fail_after(MAKING + PATIENCE, shield=True):
            done = await anyio.run_process(command, check=False, stdin=subprocess.DEVNULL)
    except TimeoutError as error:
        raise Unavailable(f"the container was not made within {MAKING + PATIENCE:g} seconds") from error
    except ValueError as error:
        raise Invalid(f"the container cannot be described: {error}") from error
    if done.stdout != b"\n":
        said = (done.stdout + done.stderr).decode(errors="replace").strip()
        raise Invalid(said or f"the shim ended with status {done.returncode}")


def compile_program(target: Path) -> None:
    """A shim that need not be compiled begins sooner, and has a third less memory for as long as it lives."""
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(shim.__file__, os.fspath(beside), doraise=True, optimize=2, invalidation_mode=mode)
    beside.rename(target)


class Connection:
    """One conversation. Every wait may be cancelled, and the conversation is over then."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, folder: Path) -> Connection:
        """Raises NotFound when nobody answers there."""
        found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            # By a descriptor: a path may be longer than the address of a socket.
            place = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                found.connect(f"/proc/self/fd/{place}/socket")
            finally:
                os.close(place)
            found.setblocking(False)
            return cls(*await asyncio.open_unix_connection(sock=found))
        except OSError as error:
            found.close()
            raise NotFound(f"container {folder.name}: nobody watches over it: {error.strerror}") from error

    def close(self) -> None:
        self._writer.transport.abort()

    @property
    def pid(self) -> int:
        """Of the shim."""
        given = self._writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int.from_bytes(given[:4], sys.byteorder)

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def order(self, kind: bytes, data: bytes = b"") -> None:
        """Until it is done. Raises Conflict with the words of a refusal, Unavailable when the shim has ended."""
        await self._send(kind, data)
        answer, words = await self._frame()
        if answer == shim.REFUSED:
            raise Conflict(words.decode(errors="replace"))

    async def output(self) -> AsyncIterator[tuple[bytes, bytes]]:
        """Begins, and then all that it says, as (STDOUT or STDERR, data), until it ends."""
        await self._send(shim.OUTPUT)
        while True:
            kind, data = await self._frame()
            if kind == shim.STATUS:
                return
            yield kind, data

    async def status(self) -> int:
        """wait(2)'s, when it has ended."""
        await self._send(shim.WAIT)
        _, data = await self._frame()
        return int(data)

    async def _send(self, kind: bytes, data: bytes = b"") -> None:
        try:
            self._writer.write(shim.frame(kind, data))
            await self._writer.drain()
        except OSError as error:
            raise _gone() from error

    async def _frame(self) -> tuple[bytes, bytes]:
        try:
            head = await self._reader.readexactly(5)
            return head[:1], await self._reader.readexactly(int.from_bytes(head[1:], "big"))
        except (asyncio.IncompleteReadError, OSError) as error:
            raise _gone() from error


async def end(folder: Path) -> None:
    """Ends a shim and the first process that it watches over. One that makes a container finishes that first; one that
    does not hear is killed. None is fine."""
    try:
        async with await Connection.open(folder) as found:
            with anyio.move_on_after(PATIENCE):
                await found.order(shim.QUIT)
                return
            os.kill(found.pid, signal.SIGKILL)
    except (NotFound, Unavailable, ProcessLookupError):
        return


def _gone() -> Unavailable:
    return Unavailable("the container's shim has ended, or its reader was too slow")
