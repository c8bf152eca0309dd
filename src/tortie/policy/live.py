"""The resources that policy depends on, as a store holds them. The doing part of this room."""

from __future__ import annotations

from typing import Any

from tortie.base.errors import Invalid
from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION
from tortie.model.kinds.global_network_set import GLOBAL_NETWORK_SET
from tortie.model.kinds.host_endpoint import HOST_ENDPOINT
from tortie.model.kinds.ip_pool import IP_POOL
from tortie.model.kinds.network_set import NETWORK_SET
from tortie.model.kinds.node import NODE
from tortie.model.kinds.profile import PROFILE
from tortie.model.kinds.tier import TIER
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.model.resource import Kind, Resource, decode_at, encode
from tortie.policy.policies import POLICIES, compile_policy
from tortie.policy.reading import Stored, Unread
from tortie.store.client import Client

KINDS: tuple[Kind[Any], ...] = (
    TIER,
    PROFILE,
    *POLICIES,
    NETWORK_SET,
    GLOBAL_NETWORK_SET,
    WORKLOAD_ENDPOINT,
    HOST_ENDPOINT,
    NODE,
    IP_POOL,
    FELIX_CONFIGURATION,
)


def read_store(client: Client) -> Stored:
    """Raises Unavailable when the store does not answer."""
    found: dict[str, Resource[Any]] = {}
    unread: list[Unread] = []
    for kind in KINDS:
        listing = client.list(kind)
        for resource in listing.items:
            if (why := _fault(kind, resource)) is None:
                found[resource.key] = resource
            else:
                unread.append(Unread(kind, resource.key, encode(resource), why))
        unread += [item for key in listing.unreadable if (item := _unread(client, kind, key)) is not None]
    return Stored(found, tuple(unread))


def _fault(kind: Kind[Any], resource: Resource[Any]) -> str | None:
    """Why a policy that can be read cannot be placed."""
    if kind in POLICIES:
        try:
            compile_policy(resource)
        except Invalid as error:
            return str(error)
    return None


def _unread(client: Client, kind: Kind[Any], key: str) -> Unread | None:
    """None for one that is gone or mended by now."""
    stored = client.datastore.get(key)
    try:
        if stored is not None:
            decode_at(kind, key, stored.value)
    except Invalid as error:
        return Unread(kind, key, stored.value, str(error)) if stored is not None else None
    return None
