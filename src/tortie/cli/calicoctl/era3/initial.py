"""What every write command makes sure of: the cluster's information, its tiers and the era of its names are there."""

from __future__ import annotations

from typing import Any

from tortie.base.errors import Conflict
from tortie.model.kinds.cluster_information import CLUSTER_INFORMATION, ClusterInformationSpec
from tortie.model.kinds.tier import BUILT_IN, TIER
from tortie.model.resource import Metadata, Resource
from tortie.store.client import Client


def initialise(client: Client) -> None:
    """Creates ClusterInformation `default` and the built-in tiers where they are absent; touches nothing else."""
    for name, spec in BUILT_IN.items():
        if client.datastore.get(TIER.key(name)) is None:
            _create(client, Resource(kind=TIER, metadata=Metadata(name=name), spec=spec))
    if client.datastore.get(CLUSTER_INFORMATION.key("default")) is None:
        from uuid import uuid4

        information = ClusterInformationSpec(cluster_guid=uuid4().hex, datastore_ready=True)
        _create(client, Resource(kind=CLUSTER_INFORMATION, metadata=Metadata(name="default"), spec=information))
    client.era()


def _create(client: Client, resource: Resource[Any]) -> None:
    try:
        client.create(resource)
    except Conflict:
        return  # somebody else was first
