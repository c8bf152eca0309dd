"""What every write command makes sure of: the cluster's information and its tiers are there."""

from __future__ import annotations

from typing import Any

from tortie.base.errors import Conflict
from tortie.model.codec import from_builtins
from tortie.model.kinds import KINDS
from tortie.model.resource import Metadata, Resource
from tortie.store.client import Client

TIERS: dict[str, dict[str, Any]] = {
    "kube-admin": {"order": 1000, "defaultAction": "Pass"},
    "default": {"order": 1_000_000, "defaultAction": "Deny"},
    "kube-baseline": {"order": 10_000_000, "defaultAction": "Pass"},
}


def initialise(client: Client) -> None:
    """Creates ClusterInformation `default` and the built-in tiers where they are absent; touches nothing else."""
    for name, spec in TIERS.items():
        _ensure(client, "Tier", name, lambda spec=spec: spec)
    _ensure(client, "ClusterInformation", "default", _information)


def _information() -> dict[str, Any]:
    from uuid import uuid4

    return {"clusterGUID": uuid4().hex, "datastoreReady": True}


def _ensure(client: Client, kind_name: str, name: str, spec: Any) -> None:
    kind = KINDS.get(kind_name)
    if kind is None or client.datastore.get(kind.key(name)) is not None:
        return
    try:
        client.create(Resource(kind=kind, metadata=Metadata(name=name), spec=from_builtins(kind.spec, spec())))
    except Conflict:
        return  # somebody else was first
