"""The resources that policy depends on, as a store holds them. The doing part of this room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tortie.base.errors import Invalid
from tortie.model import eras
from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION
from tortie.model.kinds.global_network_set import GLOBAL_NETWORK_SET
from tortie.model.kinds.host_endpoint import HOST_ENDPOINT
from tortie.model.kinds.ip_pool import IP_POOL
from tortie.model.kinds.network_set import NETWORK_SET
from tortie.model.kinds.node import NODE
from tortie.model.kinds.profile import PROFILE
from tortie.model.kinds.tier import TIER
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.model.resource import Kind, Resource
from tortie.policy.policies import POLICIES, compile_policy
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


@dataclass(frozen=True, slots=True)
class Stored:
    """`unreadable`: keys that count as absent, as for the node agent."""

    resources: Mapping[str, Resource[Any]]
    unreadable: tuple[str, ...] = ()


def read_store(client: Client) -> Stored:
    """Raises Unavailable when the store does not answer."""
    found: dict[str, Resource[Any]] = {}
    unreadable: list[str] = []
    for kind in KINDS:
        listing = client.list(kind)
        unreadable += listing.unreadable
        for stored in listing.items:
            resource = eras.shown(stored)
            try:
                if kind in POLICIES:
                    compile_policy(resource)
            except Invalid:
                unreadable.append(stored.key)
                continue
            found[resource.key] = resource
    return Stored(found, tuple(unreadable))
