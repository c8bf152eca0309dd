"""The plug-in of one host as one task: the socket of the launchers, what was kept for later, the clean-up."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

import anyio
import anyio.to_thread

from tortie.base.errors import Conflict, TortieError, Unavailable
from tortie.plugins.calls import blocking
from tortie.plugins.cni import failures
from tortie.plugins.cni.call import Call, read_call
from tortie.plugins.cni.cleanup import Cleanup
from tortie.plugins.cni.failures import OTHER, CniError
from tortie.plugins.cni.launcher import SOCKET, SPOOL
from tortie.plugins.cni.plugin import Plugin
from tortie.plugins.cni.spool import Spool, make_spool
from tortie.plugins.cni.wire import Request, receive
from tortie.web.serve import unix_listener

log = logging.getLogger("cni")

CALLS = 64
"""Calls that are answered at a time; more of them wait."""
REPLAY_SECONDS = 10.0


async def run_cni(plugin: Plugin, *, path: Path = Path(SOCKET), spool: Path = Path(SPOOL)) -> None:
    """Serve until cancelled. Raises Unavailable when the socket cannot be made."""
    make_spool(spool)
    service = Service(plugin, Spool(spool))
    listener = unix_listener(path)
    listener.setblocking(False)
    async with anyio.create_task_group() as group:
        group.start_soon(service.replay_always)
        group.start_soon(Cleanup(plugin).run)
        log.info("serving %s", path)
        try:
            await service.serve(listener)
        finally:
            listener.close()


class Service:
    """Answers launchers."""

    def __init__(self, plugin: Plugin, spool: Spool) -> None:
        self._plugin = plugin
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
                try:
                    await blocking(connection.sendall, reply)
                except OSError:
                    await self._nobody_heard(request, reply)

    async def _reply(self, request: Request, namespace: int | None) -> bytes:
        """The launcher's exit code as a digit, then what it is to print."""
        version, command = "", request.variables.get("CNI_COMMAND", "")
        try:
            call = read_call(
                request.variables.get("PLUGIN", ""),
                request.variables,
                request.stdin,
                request.variables.get("STAMP", ""),
            )
            version = call.version
            return b"0" + await self._run(call, request, namespace)
        except TortieError as error:
            failure = failures.of(error)
        except Exception as error:
            log.exception("%s failed", command)
            failure = CniError(OTHER, f"{type(error).__name__}: {error}")
        log.info("%s of container %s: %s", command, request.variables.get("CNI_CONTAINERID", "-"), failure)
        return b"1" + failures.body(failure, version)

    async def _run(self, call: Call, request: Request, namespace: int | None) -> bytes:
        match call.command:
            case "ADD":
                await self.replay()  # a clean-up of this container may wait, and must not come after
                return await self._plugin.add(call, namespace)
            case "DEL":
                await self._delete(call, request)
            case "CHECK":
                await self._plugin.check(call, namespace)
            case "GC":
                await self._plugin.collect(call)
            case "STATUS":
                self._plugin.status()
        return b""

    async def _delete(self, call: Call, request: Request) -> None:
        """Now or, when something that it needs is away, later."""
        try:
            await self._plugin.delete(call)
        except (Unavailable, Conflict) as error:
            log.warning("container %s is cleaned up later: %s", call.container, error)
            await blocking(self._spool.keep, request)

    async def _nobody_heard(self, request: Request, reply: bytes) -> None:
        """The runtime ended its call meanwhile: it takes it for failed, and may never ask to undo it."""
        if request.variables.get("CNI_COMMAND") != "ADD" or not reply.startswith(b"0"):
            return
        log.info("container %s: nobody waits for it any more", request.variables.get("CNI_CONTAINERID"))
        await blocking(self._spool.keep, Request({**request.variables, "CNI_COMMAND": "DEL"}, request.stdin))
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
                container = request.variables.get("CNI_CONTAINERID")
                try:
                    await self._plugin.delete(_call(request))
                    log.info("container %s is cleaned up", container)
                except (Unavailable, Conflict) as error:
                    log.warning("container %s is not cleaned up yet: %s", container, error)
                    continue
                except TortieError as error:
                    log.warning("container %s: its DEL made no sense: %s", container, error)
                await blocking(file.unlink, missing_ok=True)


def _call(request: Request) -> Call:
    variables = request.variables
    return read_call(variables.get("PLUGIN", ""), variables, request.stdin, variables.get("STAMP", ""))
