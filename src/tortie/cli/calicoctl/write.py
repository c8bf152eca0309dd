"""Create, replace, apply and delete as the Go clients do them, on the typed client."""

from __future__ import annotations

import time
from dataclasses import replace as with_fields
from typing import Any

import msgspec

from tortie.base.errors import Conflict, NotFound
from tortie.model.kinds.ip_pool import IP_POOL
from tortie.model.kinds.node import NODE
from tortie.model.resource import Metadata, Resource
from tortie.store.client import Client

ATTEMPTS = 5


class Exists(Conflict):
    """`create` of what is there already."""


class Stale(Conflict):
    """Somebody else changed it since the revision that was given."""


def create(client: Client, resource: Resource[Any]) -> Resource[Any]:
    """Writes a new resource with the name, namespace, labels and annotations given. Raises Exists, Invalid."""
    meta = resource.metadata
    fresh = Metadata(name=meta.name, namespace=meta.namespace, labels=meta.labels, annotations=meta.annotations)
    try:
        return client.create(with_fields(resource, metadata=fresh, revision=0))
    except Conflict as error:
        raise Exists(str(error)) from error


def replace(client: Client, resource: Resource[Any], revision: int | None = None) -> Resource[Any]:
    """Writes over what is there; it keeps its identity, the labels and annotations are those given.

    With `revision` it must still be at that one, else Stale; without, whatever is there is replaced. Raises NotFound.
    """
    for attempt in range(ATTEMPTS):
        there = client.find(resource.kind, resource.name, resource.metadata.namespace)
        if there is None:
            raise NotFound(f"{resource.kind.name} {resource.name} does not exist")
        if revision is not None and there.revision != revision:
            raise Stale(f"{resource.kind.name} {resource.name} is at revision {there.revision}, not {revision}")
        metadata = msgspec.structs.replace(
            there.metadata, labels=resource.metadata.labels, annotations=resource.metadata.annotations
        )
        wanted = with_fields(resource, metadata=metadata, revision=there.revision, unknown=there.unknown)
        try:
            return client.update(wanted)
        except Conflict as error:
            if revision is not None or attempt == ATTEMPTS - 1:
                raise Stale(str(error)) from error
    raise AssertionError("unreachable")


def apply(client: Client, resource: Resource[Any], revision: int | None = None) -> Resource[Any]:
    """Creates it, or replaces what is there."""
    try:
        return create(client, resource)
    except Exists:
        return replace(client, resource, revision)


def delete(client: Client, resource: Resource[Any]) -> None:
    """With what only it held: a Node's endpoints and addresses, the claims on a pool's blocks. Raises NotFound."""
    if resource.kind.name == NODE.name:
        from tortie.ipam.removal import remove_node
        from tortie.plugins.docker.holdings import drop_all

        drop_all(client.datastore, resource.name)
        remove_node(client.datastore, resource.name, now=time.time())
    elif resource.kind.name == IP_POOL.name:
        from tortie.ipam.removal import remove_pool

        remove_pool(client.datastore, resource.name, now=time.time())
    else:
        client.delete(resource.kind, resource.name, resource.metadata.namespace)
