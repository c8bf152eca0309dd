"""What the launchers of one host talk to, as one task: their socket, what was kept for later, the clean-up."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import anyio

from tortie.base.errors import Conflict, TortieError, Unavailable
from tortie.plugins.calls import blocking
from tortie.plugins.cleanup import Cleanup, Collecting
from tortie.plugins.launching import SOCKET, SPOOL
from tortie.plugins.spool import Spool, make_spool
from tortie.plugins.wire import Request, receive
from tortie.web.serve import unix_listener

log = logging.getLogger("plugins")

CALLS = 64
"""Calls that are answered at a time; more of them wait."""
REPLAY_SECONDS = 10.0


class Front(Protocol):
    """One protocol's side of the service: what its launcher's calls mean, and how they are answered."""

    def makes(self, request: Request) -> bool:
        """Whether it asks for something new: what was kept is done before, for it may be about the same container."""

    async def answer(self, request: Request, namespace: int | None) -> bytes:
        """The launcher's exit code as a digit, then what it is to print. Whatever fails is an answer, too."""

    async def redo(self, request: Request) -> None:
        """A clean-up that was kept. Raises Unavailable or Conflict when it has to wait on."""

    def undoing(self, request: Request, reply: bytes) -> Request | None:
        """The clean-up of what this reply told, when nobody heard it; None where there is nothing to undo."""

    def about(self, request: Request) -> str:
        """What the call is about, for the log."""


async def run_plugins(
    fronts: Mapping[str, Front],
    spool: Spool,
    plugins: Sequence[Collecting],
    *,
    path: Path = Path(SOCKET),
    folder: Path = Path(SPOOL),
) -> None:
    """Serve until cancelled; `fronts` by the names that launchers are run by. Raises Unavailable when the socket cannot
    be made."""
    make_spool(folder)
    service = Service(fronts, spool)
    listener = unix_listener(path)
    listener.setblocking(False)
    async with anyio.create_task_group() as group:
        group.start_soon(service.replay_always)
        for plugin in plugins:
            group.start_soon(Cleanup(plugin).run)
        log.info("serving %s", path)
        try:
            await service.serve(listener)
        finally:
            listener.close()


class Service:
    """Answers launchers."""

    def __init__(self, fronts: Mapping[str, Front], spool: Spool) -> None:
        self._fronts = fronts
        self._spool = spool
        self._calls = anyio.CapacityLimiter(CALLS)
        self._replaying = anyio.Lock()

    async def serve(self, listener: socket.socket) -> None:
        """Each connection is one call."""
        async with anyio.create_task_group() as group:
            while True:
                await anyio.wait_readable(listener)
                try:
                    connection, _ = listener.accept()
                except BlockingIOError:
                    continue
                group.start_soon(self._serve_one, connection)

    async def _serve_one(self, connection: socket.socket) -> None:
        async with self._calls:
            with connection:
                try:
                    request, namespace = await blocking(receive, connection)
                except (OSError, TortieError) as error:
                    log.warning("a call was not understood: %s", error)
                    return
                try:
                    reply = await self._reply(request, namespace)
                finally:
                    if namespace is not None:
                        os.close(namespace)
                if reply is None:
                    return
                try:
                    await blocking(connection.sendall, reply)
                except OSError:
                    await self._nobody_heard(request, reply)

    async def _reply(self, request: Request, namespace: int | None) -> bytes | None:
        front = self._front(request)
        if front is None:
            return None
        if front.makes(request):
            await self.replay()
        return await front.answer(request, namespace)

    def _front(self, request: Request) -> Front | None:
        plugin = request.variables.get("PLUGIN", "")
        if plugin not in self._fronts:
            log.warning("a call of %r, which is none of our plug-ins", plugin)
        return self._fronts.get(plugin)

    async def _nobody_heard(self, request: Request, reply: bytes) -> None:
        """The runtime ended its call meanwhile: it takes it for failed, and may never ask to undo it."""
        front = self._front(request)
        undoing = front.undoing(request, reply) if front else None
        if front is None or undoing is None:
            return
        log.info("%s: nobody waits for it any more", front.about(request))
        await blocking(self._spool.keep, undoing)
        await self.replay()

    async def replay_always(self) -> None:
        while True:
            await self.replay()
            await anyio.sleep(REPLAY_SECONDS)

    async def replay(self) -> None:
        """Does what was kept, in its order; what still cannot be done stays."""
        if await blocking(self._spool.is_empty):
            return
        async with self._replaying:
            for file, request in await blocking(self._spool.kept):
                front = self._front(request)
                if front is not None and not await self._redone(front, request):
                    continue
                await blocking(file.unlink, missing_ok=True)

    async def _redone(self, front: Front, request: Request) -> bool:
        """Whether it is over: a call that makes no sense will never be done."""
        try:
            await front.redo(request)
            log.info("%s is cleaned up", front.about(request))
        except (Unavailable, Conflict) as error:
            log.warning("%s is not cleaned up yet: %s", front.about(request), error)
            return False
        except TortieError as error:
            log.warning("%s: its clean-up made no sense: %s", front.about(request), error)
        return True
