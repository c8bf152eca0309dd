"""The HTTP API of the name server, in Mesos-DNS's shapes."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tortie.dns.book import AAAA, SRV, A, Book, Entry, NameRecords
from tortie.dns.config import Config
from tortie.dns.listing import Listing
from tortie.dns.state import Cluster


def hosts(book: Book, config: Config, name: str) -> list[dict[str, str]]:
    """Addresses of a name, given with or without the domain; one empty object when there are none."""
    owner = _full(name, config)
    found = book.owned(owner) or NameRecords()
    listed = [{"host": f"{owner}.", "ip": address} for address in (*found.a, *found.aaaa)]
    return listed or [{"host": "", "ip": ""}]


def services(book: Book, config: Config, name: str) -> list[dict[str, str]]:
    """SRV records of a name with the addresses of each target; one empty object when there are none."""
    listed = []
    for target, port in (book.owned(_full(name, config)) or NameRecords()).srv:
        found = book.owned(target) or NameRecords()
        for address in (*found.a, *found.aaaa) or ("",):
            listed.append({"service": name, "host": f"{target}.", "ip": address, "port": str(port)})
    return listed or [{"service": "", "host": "", "ip": "", "port": ""}]


def enumerate_tasks(cluster: Cluster, listing: Listing) -> dict[str, Any]:
    """Every record made for a task."""
    tasks: dict[str, list[dict[str, Any]]] = {key: [] for key in cluster.frameworks}
    for key in cluster.tasks:
        if (found := cluster.running(key)) is not None:
            task = found[1]
            tasks[key[0]].append({"name": task.name, "id": task.id, "records": _listed(listing.of_task(key))})
    return {"frameworks": [{"name": cluster.frameworks[key].name, "tasks": tasks[key]} for key in tasks]}


def _listed(entries: Iterable[Entry]) -> list[dict[str, str]]:
    words = {A: "A", AAAA: "AAAA", SRV: "SRV"}
    return [
        {"name": f"{name}.", "host": data if isinstance(data, str) else f"{data[0]}.:{data[1]}", "rtype": words[kind]}
        for name, kind, data in sorted(entries, key=lambda entry: entry[1])
    ]


def axfr(book: Book, config: Config, serial: int) -> dict[str, Any]:
    """The whole zone."""
    a: dict[str, list[str]] = {}
    aaaa: dict[str, list[str]] = {}
    srv: dict[str, list[str]] = {}
    for name in sorted(book.names()):
        found = book.owned(name) or NameRecords()
        for table, data in ((a, found.a), (aaaa, found.aaaa), (srv, [f"{to}.:{port}" for to, port in found.srv])):
            if data:
                table[f"{name}."] = list(data)
    return {
        "TTL": config.ttl,
        "Serial": serial,
        "RefreshSeconds": config.refresh_seconds,
        "Mname": f"{config.soa_mname}.",
        "Rname": f"{config.soa_rname}.",
        "Domain": config.domain,
        "Records": {"As": a, "AAAAs": aaaa, "SRVs": srv},
    }


def _full(name: str, config: Config) -> str:
    plain = name.lower().rstrip(".")
    return plain if plain == config.domain or plain.endswith(f".{config.domain}") else f"{plain}.{config.domain}"


def make_app(config: Config, listing: Listing, tasks: Callable[[], dict[str, Any]]) -> Starlette:
    """503 until the first state has been read; the version answers always."""
    zone, book = listing.zone, listing.book

    def on_zone(answer: Callable[[Request], Any], *, listing: bool = False) -> Callable[[Request], Any]:
        async def handle(request: Request) -> Response:
            if listing and not config.enumeration_on:
                return PlainTextResponse("enumeration is off\n", 404)
            if not zone.ready:
                return PlainTextResponse("no state of the Mesos master has been read yet\n", 503)
            return JSONResponse(answer(request))

        return handle

    async def effective(_: Request) -> Response:
        return JSONResponse(config.public(zone.serial))

    async def ports(_: Request) -> Response:
        return PlainTextResponse("ports of a host are not offered\n", 501)

    def of(request: Request) -> str:
        return str(request.path_params["name"])

    return Starlette(
        routes=[
            Route("/v1/version", version("Mesos-DNS"), methods=["GET"]),
            Route("/v1/config", effective, methods=["GET"]),
            Route("/v1/hosts/{name}/ports", ports, methods=["GET"]),
            Route("/v1/hosts/{name}", on_zone(lambda r: hosts(book, config, of(r))), methods=["GET"]),
            Route("/v1/services/{name}", on_zone(lambda r: services(book, config, of(r))), methods=["GET"]),
            Route("/v1/enumerate", on_zone(lambda _: tasks(), listing=True), methods=["GET"]),
            Route("/v1/axfr", on_zone(lambda _: axfr(book, config, zone.serial), listing=True), methods=["GET"]),
        ]
    )


def version(service: str) -> Callable[[Request], Awaitable[Response]]:
    """`/v1/version` of a service."""

    async def answer(_: Request) -> Response:
        number = importlib.metadata.version("tortie")
        return JSONResponse({"Service": service, "Version": f"tortie {number}", "URL": ""})

    return answer
