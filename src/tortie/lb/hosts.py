"""Who serves a virtual host: two services cannot share one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tortie.lb.service import Service


def by_weight(services: Sequence[Service]) -> list[Service]:
    """In the order in which HAProxy is to ask: heavy ones first, else as they come."""
    return sorted(services, key=lambda service: -service.weight)


def without_doubles(services: Sequence[Service], said: list[str]) -> list[Service]:
    """The heavier service keeps a host and path that two claim, else the first; the other loses only that host."""
    owners: dict[tuple[str, str], str] = {}
    lost: dict[int, list[str]] = {}
    for service in by_weight(services):
        for vhost in service.vhosts:
            owner = owners.setdefault((vhost, service.path), service.name)
            if owner != service.name:
                lost.setdefault(id(service), []).append(vhost)
                where = f"{vhost} {service.path}".strip()
                said.append(f"{service.app_id}: port {service.index}: host {where} left out: it is {owner}'s")
    return [_without(service, lost[id(service)]) if id(service) in lost else service for service in services]


def _without(service: Service, vhosts: list[str]) -> Service:
    return replace(service, vhosts=tuple(vhost for vhost in service.vhosts if vhost not in vhosts))
