"""Resources in a datastore: the typed client over the port."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import msgspec

from tortie.base.errors import Conflict, Invalid, NotFound
from tortie.model.eras import POLICIES, Era, one_each, shown, written
from tortie.model.kinds.tier import TIER
from tortie.model.resource import Kind, Resource, decode_at, encode, problems, with_defaults
from tortie.store import policies
from tortie.store.policies import Places, Stored
from tortie.store.port import Compare, CompareFailed, Condition, Datastore, Drop, KeyValue, Put
from tortie.store.stamp import identity, stamped

S = TypeVar("S", bound=msgspec.Struct)

TRIES = 20


@dataclass(frozen=True, slots=True)
class ResourceList(Generic[S]):
    """Every readable resource of a kind as of `revision`; `unreadable` names the keys left out."""

    items: Sequence[Resource[S]]
    revision: int
    unreadable: Sequence[str] = ()


class Client:
    """Create, read, change resources. All problems are raised as one Invalid before anything is written.

    What a write depends on in other keys (`store.admission`) is part of its transaction. Policies are read under the
    names of every era, each once, and written under those of the store's own.
    """

    def __init__(self, datastore: Datastore) -> None:
        self.datastore = datastore
        self._era: Era | None = None

    def get(self, kind: Kind[S], name: str, namespace: str | None = None) -> Resource[S]:
        """Raises NotFound."""
        found = self.find(kind, name, namespace)
        if found is None:
            raise NotFound(f"{kind.name} {name} does not exist")
        return found

    def find(self, kind: Kind[S], name: str, namespace: str | None = None) -> Resource[S] | None:
        if kind.name in POLICIES:
            found = policies.find(self.datastore, kind, name, namespace)
            kv = found[0].kv if found else None
        else:
            kv = self.datastore.get(kind.key(name, namespace))
        return shown(decode_at(kind, kv.key, kv.value, kv.revision)) if kv else None

    def list(self, kind: Kind[S]) -> ResourceList[S]:
        listing = self.datastore.list(kind.prefix)
        items, unreadable = [], []
        for kv in listing.items:
            try:
                items.append(decode_at(kind, kv.key, kv.value, kv.revision))
            except Invalid:
                unreadable.append(kv.key)
        return ResourceList(one_each(items) if kind.name in POLICIES else items, listing.revision, unreadable)

    def create(self, resource: Resource[S]) -> Resource[S]:
        """Raises Conflict when it exists."""

        def fresh(there: KeyValue | None) -> Resource[S]:
            if there is not None:
                raise Conflict(f"{resource.kind.name} {resource.name} already exists")
            return made

        made = stamped(resource)
        if _depends(resource.kind):
            return self._write(resource, fresh)
        try:
            revision = self._put(made, Compare(made.key, 0))
        except CompareFailed as error:
            raise Conflict(f"{resource.kind.name} {resource.name} already exists") from error
        return replace(made, revision=revision)

    def update(self, resource: Resource[S]) -> Resource[S]:
        """Writes a resource that was read, unless it was changed since (Conflict) or is gone (NotFound)."""

        def over(there: KeyValue | None) -> Resource[S]:
            if there is None:
                raise NotFound(f"{resource.kind.name} {resource.name} does not exist")
            if there.revision != resource.revision:
                raise Conflict(f"{resource.kind.name} {resource.name} is at another revision")
            return with_defaults(resource)

        if _depends(resource.kind):
            return self._write(resource, over)
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

        def either(there: KeyValue | None) -> Resource[S]:
            return stamped(resource, identity(there.value) if there else None)

        if _depends(resource.kind):
            return self._write(resource, either)
        made = either(self.datastore.get(resource.key))
        return replace(made, revision=self._put(made))

    def delete(self, kind: Kind[Any], name: str, namespace: str | None = None) -> None:
        """Raises NotFound; Invalid for what cannot be removed, such as a tier with policies in it."""
        from tortie.store import admission

        for _ in range(TRIES):
            conditions: list[Condition] = [*admission.of_delete(self.datastore, kind, name).conditions]
            if kind.name in POLICIES:
                found = [item.kv for item in policies.find(self.datastore, kind, name, namespace)]
            else:
                kv = self.datastore.get(kind.key(name, namespace))
                found = [kv] if kv else []
            if not found:
                raise NotFound(f"{kind.name} {name} does not exist")
            if kind.name in (*POLICIES, TIER.name):
                conditions += [Compare(kv.key, kv.revision) for kv in found]
            try:
                self.datastore.commit([Drop(kv.key) for kv in found], conditions)
            except CompareFailed:
                continue
            return
        raise Conflict(f"{kind.name} {name} or what it depends on is changed by others all the time")

    def era(self) -> Era:
        """The era in which this store's policies are written; chosen and recorded by whoever asks first."""
        if self._era is None:
            self._era = policies.settle_era(self.datastore)
        return self._era

    def rename_policies(self, era: Era) -> int:
        """Puts every policy under the names of an era, which is the store's from now on. How many were under others."""
        policies.record_era(self.datastore, era)
        self._era = era
        renamed = 0
        for stored in tuple(policies.every(self.datastore)):
            if written(shown(stored), era) != stored:
                renamed += self._renamed(shown(stored))
        return renamed

    def _renamed(self, policy: Resource[Any]) -> bool:
        """False when it is gone by now. What somebody else writes meanwhile is under the right name already."""
        for _ in range(TRIES):
            there = self.find(policy.kind, policy.name, policy.metadata.namespace)
            if there is None:
                return False
            try:
                self.update(there)
            except (Conflict, NotFound):
                continue
            return True
        raise Conflict(f"{policy.kind.name} {policy.name} is changed by others all the time")

    def _write(self, resource: Resource[S], make: Callable[[KeyValue | None], Resource[S]]) -> Resource[S]:
        """Writes what `make` makes of what is there, in one transaction with what the write depends on.

        Begins again while that changes. A policy that lies under other keys of its name leaves them."""
        from tortie.store import admission

        for _ in range(TRIES):
            holding, revisions = self._places(resource)
            made = make(holding[0].kv if holding else None)
            self._check(made)
            admitted = admission.of_write(self.datastore, made, holding[0].resource if holding else None)
            stored = written(made, self.era()) if resource.kind.name in POLICIES else made
            mine = {item.kv.key for item in holding}
            if stored.key not in mine and revisions.get(stored.key):
                raise Conflict(f"{made.kind.name} {made.name}: its key {stored.key} holds another policy")
            drops = [Drop(key) for key in sorted(mine - {stored.key})]
            pinned = [Compare(key, revision) for key, revision in revisions.items()]
            try:
                revision = self.datastore.commit(
                    [Put(stored.key, encode(stored)), *drops, *admitted.writes], [*pinned, *admitted.conditions]
                )
            except CompareFailed:
                continue
            return replace(made, revision=revision)
        raise Conflict(f"{resource.kind.name} {resource.name} or what it depends on is changed by others all the time")

    def _places(self, resource: Resource[Any]) -> Places:
        if resource.kind.name in POLICIES:
            return policies.places(self.datastore, resource)
        kv = self.datastore.get(resource.key)
        if kv is None:
            return Places([], {resource.key: 0})
        try:
            found = decode_at(resource.kind, kv.key, kv.value, kv.revision)
        except Invalid:
            return Places([Stored(kv, None)], {kv.key: kv.revision})
        return Places([Stored(kv, found)], {kv.key: kv.revision})

    def _put(self, resource: Resource[S], *compares: Compare) -> int:
        self._check(resource)
        return self.datastore.commit([Put(resource.key, encode(resource))], compares)

    def _check(self, resource: Resource[Any]) -> None:
        found = [f"{resource.kind.name} {resource.name}: {problem}" for problem in problems(resource)]
        if found:
            raise Invalid(*found)


def _depends(kind: Kind[Any]) -> bool:
    # A command that only reads imports nothing of this.
    from tortie.model.admission import DEPENDENT

    return kind.name in DEPENDENT
