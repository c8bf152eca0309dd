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


def docker_source(datastore: Datastore, engine: Callable[[], Collection[str]] | None = None) -> Source:
    """Speaks for every address of this driver on every node, by what the store has; `engine` gives the ids of the
    endpoints that an engine has besides, and everything counts as alive when it cannot be asked."""

    def ask() -> Living:
        ids = engine() if engine is not None else ()
        endpoints = Client(datastore).list(WORKLOAD_ENDPOINT)
        if endpoints.unreadable:
            raise Invalid(f"endpoints that make no sense: {', '.join(endpoints.unreadable)}")
        return living(every(datastore), endpoints.items, ids)

    return Source("docker", HANDLES, ask)
