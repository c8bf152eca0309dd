"""Docker as a source of the living, for `Audit`."""

from __future__ import annotations

from collections.abc import Callable, Collection

from tortie.base.errors import Invalid
from tortie.ipam.audit import Source
from tortie.ipam.check import Living
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.plugins.docker.holdings import every
from tortie.plugins.docker.living import HANDLES, living
from tortie.store.client import Client
from tortie.store.port import Datastore


def docker_source(
    datastore: Datastore, engine: Callable[[], Collection[str]] | None = None, *, node: str = ""
) -> Source:
    """Speaks for the addresses of this driver on one node, or on every node by what the store has of each: a host's
    driver writes a record before it takes an address and drops it after the address is free. `engine` gives the ids of
    the endpoints that this host's engine has besides; everything counts as alive when it cannot be asked."""

    def ask() -> Living:
        ids = engine() if engine is not None else ()
        endpoints = Client(datastore).list(WORKLOAD_ENDPOINT)
        if endpoints.unreadable:
            raise Invalid(f"endpoints that make no sense: {', '.join(endpoints.unreadable)}")
        return living(every(datastore), endpoints.items, ids)

    return Source("docker", HANDLES, ask, node)
