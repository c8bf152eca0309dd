"""The HTTP API of the name server, in Mesos-DNS's shapes."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tortie.dns.config import Config
from tortie.dns.records import Records, by_task
from tortie.dns.state import State
from tortie.dns.zone import Zone


def hosts(records: Records, config: Config, name: str) -> list[dict[str, str]]:
    """Addresses of a name, given with or without the domain; one empty object when there are none."""
    owner = _full(name, config)
    found = sorted(records.a.get(owner, ())) + sorted(records.aaaa.get(owner, ()))
    return [{"host": f"{owner}.", "ip": address} for address in found] or [{"host": "", "ip": ""}]


def services(records: Records, config: Config, name: str) -> list[dict[str, str]]:
    """SRV records of a name with an address of each target; one empty object when there are none."""
    found = []
    for target, port in sorted(records.srv.get(_full(name, config), ())):
        addresses = sorted(records.a.get(target, ())) + sorted(records.aaaa.get(target, ()))
        for address in addresses or [""]:
            found.append({"service": name, "host": f"{target}.", "ip": address, "port": str(port)})
    return found or [{"service": "", "host": "", "ip": "", "port": ""}]


def enumerate_tasks(state: State, config: Config, known: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Every record made for a task."""
    return {
        "frameworks": [
            {
                "name": framework.name,
                "tasks": [{"name": task.name, "id": task.id, "records": _listed(made)} for task, made in tasks],
            }
            for framework, tasks in by_task(state, config, known)
        ]
    }


def _listed(records: Records) -> list[dict[str, str]]:
    found = [(name, address, "A") for name, addresses in records.a.items() for address in sorted(addresses)]
    found += [(name, address, "AAAA") for name, addresses in records.aaaa.items() for address in sorted(addresses)]
    found += [(name, f"{to}.:{port}", "SRV") for name, data in records.srv.items() for to, port in sorted(data)]
    return [{"name": f"{name}.", "host": host, "rtype": rtype} for name, host, rtype in found]


def axfr(records: Records, config: Config, serial: int) -> dict[str, Any]:
    """The whole zone."""
    return {
        "TTL": config.ttl,
        "Serial": serial,
        "RefreshSeconds": config.refresh_seconds,
        "Mname": f"{config.soa_mname}.",
        "Rname": f"{config.soa_rname}.",
        "Domain": config.domain,
        "Records": {
            "As": {f"{name}.": sorted(found) for name, found in sorted(records.a.items())},
            "AAAAs": {f"{name}.": sorted(found) for name, found in sorted(records.aaaa.items())},
            "SRVs": {
                f"{name}.": [f"{target}.:{port}" for target, port in sorted(found)]
                for name, found in sorted(records.srv.items())
            },
        },
    }


def _full(name: str, config: Config) -> str:
    plain = name.lower().rstrip(".")
    return plain if plain == config.domain or plain.endswith(f".{config.domain}") else f"{plain}.{config.domain}"


def make_app(config: Config, zone: Callable[[], Zone | None], tasks: Callable[[], dict[str, Any]]) -> Starlette:
    """503 until the first state has been read; the version answers always."""

    def on_zone(answer: Callable[[Zone, Request], Any], *, listing: bool = False) -> Callable[[Request], Any]:
        async def handle(request: Request) -> Response:
            if listing and not config.enumeration_on:
                return PlainTextResponse("enumeration is off\n", 404)
            found = zone()
            if found is None:
                return PlainTextResponse("no state of the Mesos master has been read yet\n", 503)
            return JSONResponse(answer(found, request))

        return handle

    async def version(_: Request) -> Response:
        number = importlib.metadata.version("tortie")
        return JSONResponse({"Service": "Mesos-DNS", "Version": f"tortie {number}", "URL": ""})

    async def effective(_: Request) -> Response:
        found = zone()
        return JSONResponse(config.public(found.serial if found else 0))

    async def ports(_: Request) -> Response:
        return PlainTextResponse("ports of a host are not offered\n", 501)

    def of(request: Request) -> str:
        return str(request.path_params["name"])

    return Starlette(
        routes=[
            Route("/v1/version", version, methods=["GET"]),
            Route("/v1/config", effective, methods=["GET"]),
            Route("/v1/hosts/{name}/ports", ports, methods=["GET"]),
            Route("/v1/hosts/{name}", on_zone(lambda z, r: hosts(z.records, config, of(r))), methods=["GET"]),
            Route("/v1/services/{name}", on_zone(lambda z, r: services(z.records, config, of(r))), methods=["GET"]),
            Route("/v1/enumerate", on_zone(lambda _z, _r: tasks(), listing=True), methods=["GET"]),
            Route("/v1/axfr", on_zone(lambda z, _: axfr(z.records, config, z.serial), listing=True), methods=["GET"]),
        ]
    )
