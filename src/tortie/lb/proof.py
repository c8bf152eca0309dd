"""Trying servers before they get requests: a container that runs does not listen yet, and policy may not let us in."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from tortie.lb.admission import Key, Who, admit, strangers
from tortie.lb.change import Have
from tortie.lb.service import Server, Service

log = logging.getLogger("lb")

_WITHIN = 3.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_AT_ONCE, _A_SECOND = 64, 50
_SETTLE = 0.1
_SPARE = 1000
_GOOD = re.compile(rb"HTTP/\d\.\d [23]\d\d")


class Proof:
    """`sift` answers at once; `changed` is called when a server has answered later."""

    def __init__(
        self, spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]], changed: Callable[[], None]
    ) -> None:
        self._spawn = spawn
        self._changed = changed
        self._answered: dict[Key, Who] = {}
        self._tries: dict[Key, tuple[Server, asyncio.Task[None]]] = {}
        self._done: dict[int, Service] = {}
        self._few = asyncio.Semaphore(_AT_ONCE)

    def adopt(self, services: Sequence[Service], have: Mapping[Key, Have]) -> None:
        """Servers that an HAProxy of an earlier program serves by have answered to that one."""
        for service in services:
            for server in (*service.servers, *service.leaving):
                now = have.get((service.name, server.name))
                if now and now.serves and (now.address, now.port) == (server.address, server.port):
                    self._know(service, server)

    async def sift(self, services: Sequence[Service]) -> list[Service]:
        """The services with the servers that may get requests now; the others are tried until they answer or go."""
        open_ = [service for service in services if self._done.get(id(service)) is not service]
        unknown = {key: (service, server) for key, service, server in strangers(open_, self._answered)}
        for key, (tried, task) in list(self._tries.items()):
            if key not in unknown or unknown[key][1] != tried or unknown[key][1].task != tried.task:
                task.cancel()
                del self._tries[key]
        fresh = [key for key in unknown if key not in self._tries]
        for key in fresh:
            service, server = unknown[key]
            self._tries[key] = (server, self._spawn(self._try_on(key, service, server)))
        if fresh:
            await asyncio.wait([self._tries[key][1] for key in fresh], timeout=_SETTLE)
        admitted = dict(zip(map(id, open_), admit(open_, self._answered), strict=True))
        unproven = {key[0] for key in unknown}
        # A service that did not change is the very same value: nothing is to be done for it the next time.
        self._done = {
            id(s): s
            for s in services
            if admitted.get(id(s), s) is s and (id(s) not in admitted or s.name not in unproven)
        }
        self._forget(services)
        return [admitted.get(id(service), service) for service in services]

    def _forget(self, services: Sequence[Service]) -> None:
        """Servers that went. They do no harm: another task has to answer for itself."""
        if len(self._answered) > 2 * sum(len(service.servers) for service in services) + _SPARE:
            there = {(s.name, server.name) for s in services for server in (*s.servers, *s.leaving)}
            self._answered = {key: who for key, who in self._answered.items() if key in there}

    def waiting(self) -> list[str]:
        """The servers that have not answered, as `backend/name`."""
        return sorted("/".join(key) for key, (_, task) in self._tries.items() if not task.done())

    async def _try_on(self, key: Key, service: Service, server: Server) -> None:
        pause = _FIRST_PAUSE
        while True:
            async with self._few:
                why = await refusal(service, server)
            if not why:
                break
            log.debug("%s/%s does not answer yet: %s", *key, why)
            await asyncio.sleep(pause)
            pause = min(max(_LONGEST_PAUSE, len(self._tries) / _A_SECOND), pause * 1.5)
        self._know(service, server)
        self._changed()

    def _know(self, service: Service, server: Server) -> None:
        self._answered[service.name, server.name] = Who(server.address, server.port, server.task)


async def refusal(service: Service, server: Server) -> str:
    """Why a server cannot get requests; empty when it can. Where HAProxy would ask for a page, so do we."""
    check = service.health
    path = (check.path or "/") if check and check.protocol.upper() in ("HTTP", "MESOS_HTTP") else ""
    try:
        async with asyncio.timeout(_WITHIN):
            if path and service.mode == "http":
                return await _page(server.address, server.check_port or server.port, path)
            _, writer = await asyncio.open_connection(server.address, server.port)
            writer.close()
    except TimeoutError:
        return "no answer"
    except OSError as error:
        return error.strerror or str(error)
    return ""


async def _page(address: str, port: int, path: str) -> str:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        line = await reader.readline()
    except ValueError:
        return "it does not speak HTTP"
    finally:
        writer.close()
    return "" if _GOOD.match(line) else f"{path}: {line.decode(errors='replace').strip()[:80] or 'nothing'}"
