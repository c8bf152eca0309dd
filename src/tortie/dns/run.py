"""The name server as a program: follows the masters, keeps the zone, serves it."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path
from typing import Any

from tortie.dns.config import Config, resolver_address
from tortie.dns.follow import Follower, Masters
from tortie.dns.forward import Forwarder, make_zones
from tortie.dns.http import enumerate_tasks, make_app
from tortie.dns.listing import Listing
from tortie.dns.message import Forward, handle
from tortie.dns.records import MesosRecords
from tortie.dns.server import Server, shuffler
from tortie.dns.source import headers_of, tls_of
from tortie.dns.zone import Authority, Zone
from tortie.web.serve import serve, tcp_listener

log = logging.getLogger("dns")


class NameServer:
    """The zone of the configuration: `follower` keeps it true, `answer` serves it."""

    def __init__(self, config: Config, own: tuple[str, ...]) -> None:
        self.config = config
        self.listing = Listing(MesosRecords(config, own), Zone(config.apex))
        self.authority = Authority([self.listing.zone])
        refresh, timeout = float(config.refresh_seconds), float(config.state_timeout_seconds)
        login = config.login
        masters = Masters(config.masters, refresh, timeout, tls=tls_of(login), headers=headers_of(login))
        self.follower = Follower(masters, [self.listing], self.authority)
        self._dice = shuffler()

    def answer(self, query: bytes, tcp: bool) -> bytes | Forward | None:
        config = self.config
        return handle(
            query, self.authority, self._dice, tcp=tcp, recursion=config.recurse_on, mark_cut=config.set_truncate_bit
        )

    def tasks(self) -> dict[str, Any]:
        """The answer of `/v1/enumerate`."""
        return enumerate_tasks(self.follower.cluster, self.listing)


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
        group.create_task(names.follower.run())
        if config.dns_on:
            group.create_task(server.run())
        if http:
            group.create_task(serve(make_app(config, names.listing, names.tasks), http))
