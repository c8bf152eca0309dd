"""A host's resolver at work: it answers what is its own, and passes every other name to those who know."""

from __future__ import annotations

import asyncio
import logging
import socket

from tortie.dns.forward import Forwarder
from tortie.dns.message import Forward, handle
from tortie.dns.resolver import Resolver, cluster_listings, host_listings
from tortie.dns.server import Server, shuffler
from tortie.dns.zone import Authority

log = logging.getLogger("dns")

_REFRESH = 30.0
_WHILE_HEARING = 300.0
"""Every host has a resolver: together they should not keep the master busy with what it has told them already."""
_STATE_TIMEOUT = 60.0


async def run_resolver(resolver: Resolver, forwarder: Forwarder) -> None:
    """Answer what is ours, pass every other question on, caching nothing. Serve until cancelled."""
    own = host_listings(tuple(dict.fromkeys(address for address, _ in resolver.listen)))
    listings = cluster_listings(resolver) if resolver.masters else []
    names = Authority(listing.zone for listing in (*own, *listings))
    for listing in own:
        names.open(listing.zone)
    dice = shuffler()

    def answer(query: bytes, tcp: bool) -> bytes | Forward | None:
        return handle(query, names, dice, tcp=tcp, recursion=True, mark_cut=True)

    servers = [Server(address, port, answer, forwarder) for address, port in resolver.listen]
    for server in servers:
        server.bind()
    http = _http_socket(resolver)
    log.info("answering on %s", ", ".join(f"{server.host}:{server.port}" for server in servers))
    async with asyncio.TaskGroup() as group:
        for server in servers:
            group.create_task(server.run())
        if listings:
            from tortie.dns.follow import Follower, Masters

            masters = Masters(resolver.masters, _REFRESH, _STATE_TIMEOUT, _WHILE_HEARING)
            group.create_task(Follower(masters, listings, names).run())
        if http is not None:
            from tortie.dns.resolver_http import make_app
            from tortie.web.serve import serve

            group.create_task(serve(make_app(resolver, forwarder, (*own, *listings), servers[0].ask), [http]))


def _http_socket(resolver: Resolver) -> socket.socket | None:
    if resolver.http is None:
        return None
    from tortie.web.serve import tcp_listener

    return tcp_listener(*resolver.http)
