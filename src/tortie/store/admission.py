"""Reads what a write depends on, and pins it: the transaction fails when it changed meanwhile."""

from __future__ import annotations

from typing import Any, NamedTuple

from tortie.base.errors import Invalid
from tortie.model import admission
from tortie.model.kinds import KINDS
from tortie.model.kinds.ip_pool import IP_POOL
from tortie.model.kinds.tier import BUILT_IN, TIER
from tortie.model.resource import Kind, Metadata, Resource, encode
from tortie.store.policies import readable
from tortie.store.port import Compare, Condition, Datastore, Put, Unchanged, Write
from tortie.store.stamp import stamped


class Admitted(NamedTuple):
    """What else is written, and what must still hold."""

    writes: tuple[Write, ...] = ()
    conditions: tuple[Condition, ...] = ()

    def __add__(self, other: object) -> Admitted:
        assert isinstance(other, Admitted)
        return Admitted((*self.writes, *other.writes), (*self.conditions, *other.conditions))


def of_write(datastore: Datastore, resource: Resource[Any], there: Resource[Any] | None) -> Admitted:
    """`there`: what it takes the place of. Raises Invalid with what forbids the write."""
    if there is not None and (faults := admission.changed(there, resource)):
        raise Invalid(*faults)
    admitted = Admitted()
    if (tier := admission.tier_named(resource)) is not None:
        admitted += _in_tier(datastore, tier)
    if resource.kind.name == IP_POOL.name and there is None:
        admitted += _new_pool(datastore, resource)
    for kind, name in admission.named(resource):
        admitted += _existing(datastore, kind, name)
    return admitted


def of_delete(datastore: Datastore, kind: Kind[Any], name: str) -> Admitted:
    """Raises Invalid for what cannot be removed, or not yet."""
    if (refused := admission.undeletable(kind, name)) is not None:
        raise refused
    if kind.name != TIER.name:
        return Admitted()
    conditions: list[Condition] = []
    for holder in sorted(admission.IN_TIERS):
        listing = datastore.list(KINDS[holder].prefix)
        conditions.append(Unchanged(KINDS[holder].prefix, listing.revision))
        policies = (policy for kv in listing.items if (policy := readable(KINDS[holder], kv)) is not None)
        if (refused := admission.held_tier(name, policies)) is not None:
            raise refused
    return Admitted(conditions=tuple(conditions))


def _in_tier(datastore: Datastore, name: str) -> Admitted:
    """The tier must exist; a built-in one that nobody has written yet is written along."""
    key = TIER.key(name)
    kv = datastore.get(key)
    if kv is not None:
        return Admitted(conditions=(Compare(key, kv.revision),))
    if name not in BUILT_IN:
        raise admission.Missing(TIER.name, name)
    return Admitted((Put(key, encode(built_in_tier(name))),), (Compare(key, 0),))


def built_in_tier(name: str) -> Resource[Any]:
    return stamped(Resource(kind=TIER, metadata=Metadata(name=name), spec=BUILT_IN[name]))


def _new_pool(datastore: Datastore, pool: Resource[Any]) -> Admitted:
    # Here and not above: a command that only reads needs none of it.
    from tortie.model.ipam import block_of_key, blocks_prefix

    listing = datastore.list(IP_POOL.prefix)
    others = [other for kv in listing.items if (other := readable(IP_POOL, kv)) is not None]
    version = 6 if ":" in pool.spec.cidr else 4
    blocks = [cidr for kv in datastore.list(blocks_prefix(version)).items if (cidr := block_of_key(kv.key)) is not None]
    if faults := list(admission.pool_faults(pool, others, blocks)):
        raise Invalid(*faults)
    return Admitted(conditions=(Unchanged(IP_POOL.prefix, listing.revision),))


def _existing(datastore: Datastore, kind: Kind[Any], name: str) -> Admitted:
    kv = datastore.get(kind.key(name))
    if kv is None:
        raise admission.Missing(kind.name, name)
    return Admitted(conditions=(Compare(kv.key, kv.revision),))
