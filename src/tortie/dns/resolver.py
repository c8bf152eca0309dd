"""The resolver of one host: DC/OS's own zones, made from the masters' state, and names of others by those who know."""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import dataclass

from tortie.dns import dcos
from tortie.dns.forward import Forwarder
from tortie.dns.listing import Listing
from tortie.dns.message import Forward, handle
from tortie.dns.server import Server, shuffler
from tortie.dns.state import Cluster
from tortie.dns.zone import Authority, Zone

log = logging.getLogger("dns")

_REFRESH = 30.0
_WHILE_HEARING = 300.0
"""Every host has a resolver: together they should not keep the master busy with what it has told them already."""
_STATE_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Resolver:
    """What one host's resolver is told: where it answers and for whom. Without `masters` it has no zones of a cluster.

    `cluster_id`: the label of the cluster below `dcos.directory`, where its zones answer as well. `http`: where its
    HTTP API listens, if at all.
    """

    listen: tuple[tuple[str, int], ...]
    masters: tuple[str, ...] = ()
    cluster_id: str = ""
    http: tuple[str, int] | None = None


def _aliases(label: str, cluster_id: str) -> list[str]:
    """The other names of the zone `label.thisdcos.directory`."""
    labels = (label, "dclb") if label == "l4lb" else (label,)
    below = [dcos.DIRECTORY, dcos.GLOBAL, *([f"{cluster_id}.dcos.directory"] if cluster_id else [])]
    return [f"{name}.{parent}" for name in labels for parent in below][1:]


def host_listings(addresses: tuple[str, ...]) -> list[Listing]:
    """The zones that hang on no cluster, filled: the resolver's own names, and localhost, which leaves no host."""
    listings = [
        Listing(giver, Zone(dcos.apex(giver.domain)))
        for giver in (dcos.HostRecords("spartan", addresses), dcos.HostRecords("localhost", addresses))
    ]
    for listing in listings:
        for _ in listing.whole(Cluster()):
            pass
    return listings


def cluster_listings(resolver: Resolver) -> list[Listing]:
    givers = (dcos.TaskRecords(resolver.masters), dcos.VipRecords(), dcos.ComponentRecords(resolver.masters))
    return [
        Listing(
            giver, Zone(dcos.apex(giver.domain), aliases=_aliases(giver.domain.partition(".")[0], resolver.cluster_id))
        )
        for giver in givers
    ]


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
