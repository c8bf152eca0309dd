"""The HTTP API of a host's resolver: its zones, and any name as the resolver answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import dns.exception
import dns.message
import dns.name
import dns.rdatatype
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tortie.dns.forward import Forwarder
from tortie.dns.http import version
from tortie.dns.listing import Listing
from tortie.dns.resolver import Resolver

Ask = Callable[[bytes], Awaitable[bytes | None]]


def records(listings: Sequence[Listing]) -> list[dict[str, Any]]:
    """Every record of the resolver's own zones."""
    return [record for listing in listings for record in _of_zone(listing)]


def _of_zone(listing: Listing) -> Iterator[dict[str, Any]]:
    ttl = listing.zone.apex.ttl
    for name in sorted(listing.book.names()):
        found = listing.book.owned(name)
        for rtype, texts in (("A", found.a), ("AAAA", found.aaaa)) if found else ():
            for text in texts:
                yield {"name": f"{name}.", "type": rtype, "ttl": ttl, "value": text}


async def _asked(ask: Ask, name: str, kind: str) -> dns.message.Message | None:
    """The resolver's own answer over the way that TCP has: whole. None for what is no name."""
    try:
        query = dns.message.make_query(dns.name.from_text(name), kind)
        reply = await ask(query.to_wire())
        return dns.message.from_wire(reply) if reply else None
    except (dns.exception.DNSException, UnicodeError):
        return None


async def hosts(ask: Ask, name: str) -> list[dict[str, str]]:
    """Addresses of a name; one empty object when there are none."""
    listed = []
    for kind in ("A", "AAAA"):
        message = await _asked(ask, name, kind)
        for rrset in message.answer if message else ():
            if rrset.rdtype == dns.rdatatype.from_text(kind):
                listed += [{"host": rrset.name.to_text(), "ip": data.address} for data in rrset]
    return listed or [{"host": "", "ip": ""}]


async def services(ask: Ask, name: str) -> list[dict[str, str]]:
    """SRV records of a name with the addresses of each target; one empty object when there are none."""
    listed = []
    message = await _asked(ask, name, "SRV")
    for rrset in message.answer if message else ():
        for data in rrset if rrset.rdtype == dns.rdatatype.SRV else ():
            for found in await hosts(ask, data.target.to_text()):
                listed.append(
                    {"service": name, "host": data.target.to_text(), "ip": found["ip"], "port": str(data.port)}
                )
    return listed or [{"service": "", "host": "", "ip": "", "port": ""}]


def make_app(resolver: Resolver, forwarder: Forwarder, listings: Sequence[Listing], ask: Ask) -> Starlette:
    """`/v1/records` is 503 until the first state has been read."""

    async def config(_: Request) -> Response:
        return JSONResponse(
            {
                "Listeners": [f"{address}:{port}" for address, port in resolver.listen],
                "Masters": list(resolver.masters),
                "Zones": [listing.zone.apex.domain for listing in listings],
                "Forwards": {zone: list(hosts) for zone, hosts in forwarder.named().items()},
                "Upstreams": list(forwarder.others),
            }
        )

    async def host(request: Request) -> Response:
        return JSONResponse(await hosts(ask, str(request.path_params["name"])))

    async def service(request: Request) -> Response:
        return JSONResponse(await services(ask, str(request.path_params["name"])))

    async def every(_: Request) -> Response:
        if not all(listing.zone.ready for listing in listings):
            return PlainTextResponse("no state of a Mesos master has been read yet\n", 503)
        return JSONResponse(records(listings))

    return Starlette(
        routes=[
            Route("/v1/version", version("tortie-resolver"), methods=["GET"]),
            Route("/v1/config", config, methods=["GET"]),
            Route("/v1/hosts/{name}", host, methods=["GET"]),
            Route("/v1/services/{name}", service, methods=["GET"]),
            Route("/v1/records", every, methods=["GET"]),
        ]
    )
