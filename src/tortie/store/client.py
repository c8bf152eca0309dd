"""Resources in a datastore: the typed client over the port."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec

from tortie.base.errors import Conflict, Invalid, NotFound
from tortie.model.resource import Kind, Metadata, Resource, decode_at, encode, problems, with_defaults
from tortie.store.port import Compare, CompareFailed, Datastore, Drop, Put

S = TypeVar("S", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class ResourceList(Generic[S]):
    """Every readable resource of a kind as of `revision`; `unreadable` names the keys left out."""

    items: Sequence[Resource[S]]
    revision: int
    unreadable: Sequence[str] = ()


class Client:
    """Create, read, change resources. All problems are raised as one Invalid before anything is written."""

    def __init__(self, datastore: Datastore) -> None:
        self.datastore = datastore

    def get(self, kind: Kind[S], name: str, namespace: str | None = None) -> Resource[S]:
        """Raises NotFound."""
        found = self.find(kind, name, namespace)
        if found is None:
            raise NotFound(f"{kind.name} {name} does not exist")
        return found

    def find(self, kind: Kind[S], name: str, namespace: str | None = None) -> Resource[S] | None:
        kv = self.datastore.get(kind.key(name, namespace))
        return decode_at(kind, kv.key, kv.value, kv.revision) if kv else None

    def list(self, kind: Kind[S]) -> ResourceList[S]:
        listing = self.datastore.list(kind.prefix)
        items, unreadable = [], []
        for kv in listing.items:
            try:
                items.append(decode_at(kind, kv.key, kv.value, kv.revision))
            except Invalid:
                unreadable.append(kv.key)
        return ResourceList(items, listing.revision, unreadable)

    def create(self, resource: Resource[S]) -> Resource[S]:
        """Raises Conflict when it exists."""
        stamped = _stamp(resource)
        try:
            revision = self._put(stamped, Compare(stamped.key, 0))
        except CompareFailed as error:
            raise Conflict(f"{resource.kind.name} {resource.name} already exists") from error
        return replace(stamped, revision=revision)

    def update(self, resource: Resource[S]) -> Resource[S]:
        """Writes a resource that was read, unless it was changed since (Conflict) or is gone (NotFound)."""
        resource = with_defaults(resource)
        try:
            revision = self._put(resource, Compare(resource.key, resource.revision))
        except CompareFailed as error:
            if self.datastore.get(resource.key) is None:
                raise NotFound(f"{resource.kind.name} {resource.name} does not exist") from error
            raise Conflict(f"{resource.kind.name} {resource.name} is at another revision") from error
        return replace(resource, revision=revision)

    def apply(self, resource: Resource[S]) -> Resource[S]:
        """Creates it or replaces what is there; what is there keeps its uid and its time of creation."""
        there = self.datastore.get(resource.key)
        stamped = _stamp(resource, _identity(there.value) if there else None)
        return replace(stamped, revision=self._put(stamped))

    def delete(self, kind: Kind[Any], name: str, namespace: str | None = None) -> None:
        """Raises NotFound."""
        key = kind.key(name, namespace)
        kv = self.datastore.get(key)
        if kv is None:
            raise NotFound(f"{kind.name} {name} does not exist")
        self.datastore.commit([Drop(key)])

    def _put(self, resource: Resource[S], *compares: Compare) -> int:
        found = [f"{resource.kind.name} {resource.name}: {problem}" for problem in problems(resource)]
        if found:
            raise Invalid(*found)
        return self.datastore.commit([Put(resource.key, encode(resource))], compares)


def _stamp(resource: Resource[S], there: Metadata | None = None) -> Resource[S]:
    """With defaults, uid and time of creation: its own, else those that are there already, else new ones."""
    from uuid import uuid4

    resource = with_defaults(resource)
    meta, there = resource.metadata, there or Metadata(name=resource.name)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    stamped = msgspec.structs.replace(
        meta,
        uid=meta.uid or there.uid or str(uuid4()),
        creation_timestamp=meta.creation_timestamp or there.creation_timestamp or now,
    )
    return replace(resource, metadata=stamped)


class _Stored(msgspec.Struct):
    metadata: Metadata | None = None


def _identity(value: bytes) -> Metadata | None:
    """The metadata of a stored value; None for one that does not parse, which is about to be replaced."""
    try:
        return msgspec.json.decode(value, type=_Stored).metadata
    except msgspec.MsgspecError:
        return None
