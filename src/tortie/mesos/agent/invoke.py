"""Runs a plug-in: bounded in time and in what it may say, and never longer than the agent lives."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import anyio
from anyio.abc import Process

from tortie.base.errors import Unavailable

LARGEST = 1 << 20
AFTERWARDS = 2.0
"""For what it has written when it ended; a child of its own may hold the pipe open for ever."""
_SETPRIV = shutil.which("setpriv") or "/usr/bin/setpriv"


@dataclass(frozen=True, slots=True)
class Outcome:
    status: int
    stdout: bytes
    stderr: bytes

    def quoted(self, limit: int = 2000) -> str:
        shown = [data[:limit].decode(errors="replace") for data in (self.stdout, self.stderr)]
        return f"stdout='{shown[0]}', stderr='{shown[1]}'"


async def invoke(
    plugin: str,
    environment: Mapping[str, str],
    request: Path,
    timeout: float,
    *,
    arguments: Sequence[str] = (),
    largest: int = LARGEST,
) -> Outcome:
    """Its standard input is the file `request`. Raises Unavailable when it has not ended in time or says more than
    `largest` bytes; then, and when this is cancelled, it is killed with its process group.

    It also dies with the agent: nobody else would know what it was about to do.
    """
    command = [_SETPRIV, "--pdeathsig", "KILL", "--", plugin, *arguments]
    with _Pipe(largest) as out, _Pipe(largest) as err:
        try:
            with request.open("rb") as stdin:
                process = await anyio.open_process(
                    command, stdin=stdin.fileno(), stdout=out.theirs, stderr=err.theirs, env=environment,
                    start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            raise Unavailable(f"{plugin}: {error.strerror}") from error
        out.hand_over()
        err.hand_over()
        try:
            return await _outcome(process, out, err, timeout)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            with anyio.CancelScope(shield=True):
                await process.wait()


async def _outcome(process: Process, out: _Pipe, err: _Pipe, timeout: float) -> Outcome:
    with anyio.move_on_after(timeout) as deadline:
        async with anyio.create_task_group() as group:
            group.start_soon(out.read, group.cancel_scope)
            group.start_soon(err.read, group.cancel_scope)
            status = await process.wait()
            with anyio.move_on_after(AFTERWARDS):
                await out.ended.wait()
                await err.ended.wait()
            group.cancel_scope.cancel()
            return Outcome(status, bytes(out.data), bytes(err.data))
    if deadline.cancelled_caught:
        raise Unavailable(f"no answer within {timeout:g} seconds")
    raise Unavailable(f"more than {out.largest} bytes of output")


class _Pipe:
    """What a program says. Not the event loop's own pipes: with them a program has not ended for some Pythons before
    every child that it left behind has."""

    def __init__(self, largest: int) -> None:
        self.largest = largest
        self.ours, self.theirs = os.pipe()
        os.set_blocking(self.ours, False)
        self.data = bytearray()
        self.ended = anyio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        os.close(self.ours)
        self.hand_over()

    def hand_over(self) -> None:
        if self.theirs >= 0:
            os.close(self.theirs)
            self.theirs = -1

    async def read(self, scope: anyio.CancelScope) -> None:
        """To its end; too much of it ends everything."""
        while len(self.data) <= self.largest:
            await anyio.wait_readable(self.ours)
            with contextlib.suppress(BlockingIOError):
                part = os.read(self.ours, 1 << 16)
                if not part:
                    self.ended.set()
                    return
                self.data += part
        scope.cancel()
