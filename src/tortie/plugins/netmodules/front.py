"""net-modules as the launchers' service speaks it: requests in, exit codes and answers out."""

from __future__ import annotations

import logging
import math
import os
import traceback
from collections.abc import Mapping
from typing import Any

import msgspec

from tortie.base.errors import Conflict, Invalid, NotFound, TortieError, Unavailable
from tortie.plugins.calls import blocking
from tortie.plugins.netmodules.asking import Allocate, Asking, Cleanup, Isolate, Release, Reserve, read_asking
from tortie.plugins.netmodules.journal import Journal
from tortie.plugins.netmodules.plugin import Plugin
from tortie.plugins.spool import Spool
from tortie.plugins.wire import Request

log = logging.getLogger("netmodules")

DONE: Mapping[str, Any] = {"error": None}


class NetModulesFront:
    """Implements `service.Front`."""

    def __init__(self, plugin: Plugin, spool: Spool, journal: Journal) -> None:
        self._plugin = plugin
        self._spool = spool
        self._journal = journal

    def makes(self, request: Request) -> bool:
        return not isinstance(_understood(request), Cleanup | Release | None)

    async def answer(self, request: Request, namespace: int | None) -> bytes:
        said: Mapping[str, Any] = DONE
        code = b"0"
        try:
            said = await self._run(read_asking(request.stdin), request, namespace)
        except TortieError as error:
            code, said = b"1", {"error": str(error)}
        except Exception as error:
            log.exception("a call failed")
            code, said = b"1", {"error": f"Unhandled error {error}\n{traceback.format_exc()}"}
        if said["error"] is not None:
            log.info("%s: %s", self.about(request), said["error"])
        reply = msgspec.json.encode(said)
        await blocking(self._journal.write, request.stdin, reply)
        return code + reply

    async def _run(self, asking: Asking, request: Request, namespace: int | None) -> Mapping[str, Any]:
        match asking:
            case Allocate():
                addresses = await self._plugin.allocate(asking)
                four, six = ([a for a in addresses if (":" in a) == is_six] for is_six in (False, True))
                return {"ipv4": four, "ipv6": six, "error": None}
            case Reserve():
                await self._plugin.reserve(asking)
            case Isolate():
                await self._isolate(asking, request, namespace)
            case Cleanup() | Release():
                await self._clean(asking, request)
        return DONE

    async def _isolate(self, asking: Isolate, request: Request, namespace: int | None) -> None:
        """In the namespace that the launcher opened, or else that of the process: its id may be another's by now."""
        if namespace is not None and request.variables.get("PROCESS") == str(asking.pid):
            await self._plugin.isolate(asking, namespace)
            return
        try:
            own = os.open(f"/proc/{asking.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Invalid(f"process {asking.pid}: no network namespace: {error.strerror}") from error
        try:
            await self._plugin.isolate(asking, own)
        finally:
            os.close(own)

    async def _clean(self, asking: Cleanup | Release, request: Request) -> None:
        """Now or, when something that it needs is away, later."""
        try:
            await self._undo(asking, request)
        except (Unavailable, Conflict) as error:
            log.warning("%s is cleaned up later: %s", self.about(request), error)
            await blocking(self._spool.keep, request)

    async def _undo(self, asking: Asking, request: Request) -> None:
        if isinstance(asking, Cleanup):
            await self._plugin.cleanup(asking)
        elif isinstance(asking, Release):
            await self._plugin.release(asking, _moment(request))

    async def redo(self, request: Request) -> None:
        try:
            await self._undo(read_asking(request.stdin), request)
        except NotFound as error:
            log.debug("%s", error)  # it is gone already

    def undoing(self, request: Request, reply: bytes) -> Request | None:
        asking = _understood(request)
        if not reply.startswith(b"0"):
            return None
        if isinstance(asking, Isolate):
            return _request("cleanup", {"hostname": asking.hostname, "container_id": asking.container}, request)
        if isinstance(asking, Allocate | Reserve):
            return _request("release", {"uid": asking.uid}, request)
        return None

    def about(self, request: Request) -> str:
        match _understood(request):
            case Isolate(container=container) | Cleanup(container=container):
                return f"container {container}"
            case Allocate(uid=uid) | Reserve(uid=uid):
                return f"uid {uid}"
            case Release(uid=uid, addresses=addresses):
                return f"uid {uid}" if uid else f"addresses {', '.join(addresses)}"
        return "a call"


def _understood(request: Request) -> Asking | None:
    try:
        return read_asking(request.stdin)
    except Invalid:
        return None


def _request(command: str, args: Mapping[str, str], of: Request) -> Request:
    return Request({"PLUGIN": of.variables["PLUGIN"]}, msgspec.json.encode({"command": command, "args": args}))


def _moment(request: Request) -> float:
    """When the launcher was called."""
    text = request.variables.get("TIME", "")
    return int(text) / 1e9 if text.isdecimal() else math.inf
