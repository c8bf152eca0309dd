"""Which servers may get requests, and when a reload may be made. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from tortie.lb.service import Server, Service

Key = tuple[str, str]
"""Backend and name of a server."""

_LONGEST_PAUSE = 60.0


@dataclass(frozen=True, slots=True)
class Who:
    """Who answered at an address: another task that came to live there has not. An empty task is anyone."""

    address: str
    port: int
    task: str

    def is_(self, server: Server) -> bool:
        same = (self.address, self.port) == (server.address, server.port)
        return same and (not self.task or self.task == server.task)


def strangers(services: Collection[Service], answered: Mapping[Key, Who]) -> Iterator[tuple[Key, Service, Server]]:
    """The servers that have not answered yet."""
    for service in services:
        for server in service.servers:
            if not _knows(service, server, answered):
                yield (service.name, server.name), service, server


def admit(services: Collection[Service], answered: Mapping[Key, Who]) -> list[Service]:
    """The services with the servers that may get requests.

    Those are the servers that answered. Where none did, those whose tasks are being killed go on meanwhile: a killed
    task has its grace to do so. Where there is none of these either, all may: there is nothing to lose.
    """
    found = []
    for service in services:
        known = [server for server in service.servers if _knows(service, server, answered)]
        if any(not server.disabled for server in known):
            servers = tuple(known)
        else:
            names = {server.name for server in known}
            leaving = [s for s in service.leaving if s.name not in names and _knows(service, s, answered)]
            servers = (*known, *leaving) if leaving else service.servers
        found.append(service if servers == service.servers else replace(service, servers=servers))
    return found


def _knows(service: Service, server: Server, answered: Mapping[Key, Who]) -> bool:
    who = answered.get((service.name, server.name))
    return who is not None and who.is_(server)


def pause_before_reload(now: float, last: float, interval: float, old_workers: int) -> float:
    """How long a reload has to wait. Each worker that still finishes its connections doubles the interval, up to a
    minute: front ends that change all the time cannot pile up processes.
    """
    wanted = min(max(interval, _LONGEST_PAUSE), interval * 2.0 ** min(old_workers, 16))
    return max(0.0, last + wanted - now)
