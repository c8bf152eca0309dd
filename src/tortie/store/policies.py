"""Policies in a datastore: their names in keys changed over Calico's releases (`model.eras` has the rules)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Invalid
from tortie.model import eras
from tortie.model.codec import UNREADABLE
from tortie.model.eras import Era
from tortie.model.kinds import KINDS
from tortie.model.kinds.cluster_information import CLUSTER_INFORMATION
from tortie.model.policy_parts import DEFAULT_TIER
from tortie.model.resource import Kind, Resource, decode_at
from tortie.store.port import Compare, CompareFailed, Datastore, KeyValue, Put

ERA_KEY = "/tortie/v1/policy-names"
"""Which era this store's policies are written in: `{"era": "plain"}`."""


class _Recorded(msgspec.Struct, frozen=True):
    era: Era


class Stored(NamedTuple):
    """A key and the resource in it, under its stored name; None when it cannot be read."""

    kv: KeyValue
    resource: Resource[Any] | None


def recorded_era(datastore: Datastore) -> Era | None:
    """Raises Invalid for a record that nobody can read: a wrong guess would make a mixture."""
    kv = datastore.get(ERA_KEY)
    if kv is None:
        return None
    try:
        return msgspec.json.decode(kv.value, type=ready(_Recorded)).era
    except UNREADABLE as error:
        raise Invalid(f"{ERA_KEY}: {error}") from error


def settle_era(datastore: Datastore) -> Era:
    """The era to write. The first who asks chooses it by what is in the store, and records it for all."""
    while True:
        era = recorded_era(datastore)
        if era is not None:
            return era
        info = datastore.get(CLUSTER_INFORMATION.key("default"))
        era = eras.choose_era(every(datastore), _version(info) if info else "")
        try:
            datastore.commit([Put(ERA_KEY, msgspec.json.encode(_Recorded(era)))], [Compare(ERA_KEY, 0)])
        except CompareFailed:
            continue
        return era


def record_era(datastore: Datastore, era: Era) -> None:
    datastore.commit([Put(ERA_KEY, msgspec.json.encode(_Recorded(era)))])


def name_faults(datastore: Datastore) -> list[str]:
    """A mixture of eras, and policies that are stored twice: what a doctor should say. Empty when all is well."""
    return eras.faults(every(datastore), recorded_era(datastore))


def every(datastore: Datastore) -> Iterator[Resource[Any]]:
    """Every readable policy of all kinds under its stored name."""
    for name in sorted(eras.POLICIES):
        kind = KINDS[name]
        for kv in datastore.list(kind.prefix).items:
            if (resource := readable(kind, kv)) is not None:
                yield resource


class Places(NamedTuple):
    """Where a policy may lie. `holding`: the keys that have it, the one that counts first; `revisions`: of all those
    keys as they were read, 0 for one that is absent."""

    holding: list[Stored]
    revisions: dict[str, int]


def places(datastore: Datastore, resource: Resource[Any]) -> Places:
    """By name and tier; for one that was read from the store by its name alone, should its tier have changed."""
    kind, name, namespace = resource.kind, resource.name, resource.metadata.namespace
    tier = getattr(resource.spec, "tier", "") or DEFAULT_TIER
    keys = [kind.key(stored, namespace) for stored in eras.stored_names(name, tier)]
    read = {key: datastore.get(key) for key in keys}
    holding = _holding(kind, name, [kv for kv in read.values() if kv is not None])
    if not holding and resource.revision:
        holding = find(datastore, kind, name, namespace)
    revisions = {key: kv.revision if kv is not None else 0 for key, kv in read.items()}
    return Places(holding, {**revisions, **{item.kv.key: item.kv.revision for item in holding}})


def find(datastore: Datastore, kind: Kind[Any], name: str, namespace: str | None) -> list[Stored]:
    """The keys that have a policy of which the tier is not known, the one that counts first."""
    keys = [kind.key(stored, namespace) for stored in eras.stored_names(name)]
    found = _holding(kind, name, [kv for key in keys if (kv := datastore.get(key)) is not None])
    if found:
        return found
    everything = datastore.list(f"{kind.prefix}{namespace}/" if kind.namespaced else kind.prefix).items
    return [item for item in _holding(kind, name, everything) if item.resource is not None]


def _holding(kind: Kind[Any], name: str, found: Sequence[KeyValue]) -> list[Stored]:
    """Those that are the policy people call so; one that cannot be read may be it."""
    read = [Stored(kv, readable(kind, kv)) for kv in found]
    mine = [item for item in read if item.resource is None or eras.shown(item.resource).name == name]
    return sorted(mine, key=lambda item: (item.resource is None, item.resource is None or item.resource.name != name))


def readable(kind: Kind[Any], kv: KeyValue) -> Resource[Any] | None:
    """The resource, None when the value makes none."""
    try:
        return decode_at(kind, kv.key, kv.value, kv.revision)
    except Invalid:
        return None


def _version(kv: KeyValue) -> str:
    info = readable(CLUSTER_INFORMATION, kv)
    return info.spec.calico_version if info is not None else ""
