"""The name server as a program: follows the master, keeps the zone, serves it."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

from tortie.base.errors import TortieError, Unavailable
from tortie.dns.config import Config, resolver_address
from tortie.dns.forward import Forwarder, make_zones
from tortie.dns.http import enumerate_tasks, make_app
from tortie.dns.message import Forward, handle
from tortie.dns.records import build, names_to_resolve
from tortie.dns.server import Server, shuffler
from tortie.dns.source import MesosMaster, NoStream, resolve_host
from tortie.dns.state import State
from tortie.dns.zone import Zone, encode, wire_name
from tortie.web.serve import serve, tcp_listener

log = logging.getLogger("dns")

_SETTLE = 0.02
_RESOLVE_EVERY = 60.0


class NameServer:
    """Holds the zone; `follow` keeps it true, `answer` serves it."""

    def __init__(self, config: Config, own: tuple[str, ...]) -> None:
        self.config = config
        self.zone: Zone | None = None
        self._own = own
        self._apex = wire_name(config.domain)
        self._dice = shuffler()
        self._dirty = asyncio.Event()
        self._hosts: dict[str, tuple[str, ...]] = {}
        self._resolved_at = 0.0
        self._state: State | None = None
        self._reachable: bool | None = None
        self._cost = 0.0
        self._making = asyncio.Lock()

    def answer(self, query: bytes, tcp: bool) -> bytes | Forward | None:
        config = self.config
        return handle(
            query, self.zone, self._dice, tcp=tcp, recursion=config.recurse_on,
            mark_cut=config.set_truncate_bit, apex=self._apex,
        )  # fmt: skip

    async def follow(self) -> None:
        """Read the state at every change that the master tells of, and every refreshSeconds in any case."""
        async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
            master = MesosMaster(http, self.config.masters, float(self.config.state_timeout_seconds))
            group.create_task(self._hear(master))
            group.create_task(self._resolve())
            while True:
                self._dirty.clear()
                began = time.monotonic()
                pause = await self._refresh_once(master, began)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._dirty.wait()
                took = time.monotonic() - began
                # A large state is read at most a third of the time, a small one after the events have settled.
                await asyncio.sleep(max(_SETTLE, 3 * self._cost - took))

    async def _refresh_once(self, master: MesosMaster, began: float) -> float:
        """Read and publish; the seconds to wait until the next look."""
        try:
            self._state = await master.read()
        except TortieError as problem:
            if self._reachable is not False:
                log.warning("no state from the Mesos master, keeping the records: %s", problem)
            self._reachable = False
            return min(self.config.refresh_seconds, 2.0)
        await self._publish()
        self._cost = time.monotonic() - began
        if self._reachable is not True:
            log.info("reading state from %s", master.leader)
        self._reachable = True
        return float(self.config.refresh_seconds)

    async def _publish(self) -> None:
        """Make the zone from the last state, in a thread: questions are answered meanwhile, from the old one."""
        async with self._making:
            if self._state is None:
                return
            zone = await asyncio.to_thread(self._make, self._state, dict(self._hosts), self.zone)
            if zone is not None:
                level = logging.INFO if self.zone is None else logging.DEBUG
                log.log(level, "zone %s serial=%d names=%d", self.config.domain, zone.serial, len(zone.names))
                self.zone = zone

    def _make(self, state: State, hosts: Mapping[str, tuple[str, ...]], before: Zone | None) -> Zone | None:
        """None when no record changed."""
        records = build(state, self.config, self._own, hosts)
        if before is not None and records == before.records:
            return None
        return encode(records, self.config, int(time.time()), before, random.Random())

    def tasks(self) -> dict[str, Any]:
        """The answer of `/v1/enumerate`."""
        return enumerate_tasks(self._state or State(), self.config, self._hosts)

    async def _hear(self, master: MesosMaster) -> None:
        """Subscribe to the master's events; a master that offers none is asked again now and then."""
        while True:
            pause = 0.5
            try:
                await master.hear(self._dirty.set)
                self._dirty.set()
            except NoStream as problem:
                log.debug("no event stream: %s", problem)
                pause = 15.0
            except Unavailable as problem:
                log.debug("event stream: %s", problem)
                self._dirty.set()
            await asyncio.sleep(pause)

    async def _resolve(self) -> None:
        """Look up the host names in the state, beside the refresh: a slow resolver delays no task's record."""
        while True:
            await asyncio.sleep(0.5)
            if self._state is None:
                continue
            now = time.monotonic()
            wanted = names_to_resolve(self._state, self.config)
            if wanted <= self._hosts.keys() and now - self._resolved_at < _RESOLVE_EVERY:
                continue
            found = {name: await resolve_host(name) or self._hosts.get(name, ()) for name in sorted(wanted)}
            self._resolved_at = now
            if found != self._hosts:
                self._hosts = found
                await self._publish()


def own_addresses(listener: str) -> tuple[str, ...]:
    """The listener's address; for a wildcard every address of this host that is not loopback."""
    if listener not in ("0.0.0.0", "::"):
        return (listener,)
    from pyroute2 import IPRoute

    with IPRoute() as route:
        found = [dict(entry["attrs"]).get("IFA_ADDRESS", "") for entry in route.get_addr()]
    return tuple(a for a in found if a and not a.startswith(("127.", "fe80")) and a != "::1")


def system_resolvers(own: tuple[str, ...], path: Path = Path("/etc/resolv.conf")) -> tuple[str, ...]:
    """The name servers of resolv.conf that are not this host itself: asking ourselves would go round in a circle."""
    try:
        lines = path.read_text().splitlines()
    except OSError as problem:
        log.warning("%s: %s", path, problem.strerror)
        return ()
    servers = [line.split()[1] for line in lines if line.startswith("nameserver") and len(line.split()) > 1]
    return tuple(resolver_address(s) for s in servers if s not in own and not s.startswith("127.") and s != "::1")


def make_forwarder(config: Config, own: tuple[str, ...]) -> Forwarder:
    """No resolver named: names of others are refused. An empty list: those of the system, as in the original."""
    others: tuple[str, ...] = ()
    if config.external_on and config.resolvers is not None:
        others = config.resolvers or system_resolvers(own)
    zones = make_zones(config.zone_resolvers) if config.external_on else {}
    return Forwarder(zones, others, float(config.timeout), config.recurse_on)


async def run(config: Config) -> None:
    """Serve until cancelled. Unavailable when an address is taken."""
    own = own_addresses(config.listener)
    names = NameServer(config, own)
    server = Server(config.listener, config.port, names.answer, make_forwarder(config, own))
    http: list[socket.socket] = []
    if config.dns_on:
        server.bind()
    if config.http_on:
        http.append(tcp_listener(config.http_listener, config.http_port))
    log.info("listening on %s:%d, masters %s", config.listener, server.port, ", ".join(config.masters))
    async with asyncio.TaskGroup() as group:
        group.create_task(names.follow())
        if config.dns_on:
            group.create_task(server.run())
        if http:
            group.create_task(serve(make_app(config, lambda: names.zone, names.tasks), http))
