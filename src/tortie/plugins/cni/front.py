"""CNI as the launchers' service speaks it: calls in, exit codes and answers out."""

from __future__ import annotations

import logging

from tortie.base.errors import Conflict, TortieError, Unavailable
from tortie.plugins.calls import blocking
from tortie.plugins.cni import failures
from tortie.plugins.cni.call import Call, read_call
from tortie.plugins.cni.failures import OTHER, CniError
from tortie.plugins.cni.plugin import Plugin
from tortie.plugins.spool import Spool
from tortie.plugins.wire import Request

log = logging.getLogger("cni")


class CniFront:
    """Implements `service.Front`."""

    def __init__(self, plugin: Plugin, spool: Spool) -> None:
        self._plugin = plugin
        self._spool = spool

    def makes(self, request: Request) -> bool:
        return request.variables.get("CNI_COMMAND") == "ADD"

    async def answer(self, request: Request, namespace: int | None) -> bytes:
        version, command = "", request.variables.get("CNI_COMMAND", "")
        try:
            call = _call(request)
            version = call.version
            return b"0" + await self._run(call, request, namespace)
        except TortieError as error:
            failure = failures.of(error)
        except Exception as error:
            log.exception("%s failed", command)
            failure = CniError(OTHER, f"{type(error).__name__}: {error}")
        log.info("%s of %s: %s", command, self.about(request), failure)
        return b"1" + failures.body(failure, version)

    async def _run(self, call: Call, request: Request, namespace: int | None) -> bytes:
        match call.command:
            case "ADD":
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

    async def redo(self, request: Request) -> None:
        await self._plugin.delete(_call(request))

    def undoing(self, request: Request, reply: bytes) -> Request | None:
        if not self.makes(request) or not reply.startswith(b"0"):
            return None
        return Request({**request.variables, "CNI_COMMAND": "DEL"}, request.stdin)

    def about(self, request: Request) -> str:
        return f"container {request.variables.get('CNI_CONTAINERID', '-')}"


def _call(request: Request) -> Call:
    variables = request.variables
    return read_call(variables.get("PLUGIN", ""), variables, request.stdin, variables.get("STAMP", ""))
