"""What every Calico v3 resource has: kind, metadata, spec; and its stored form.

Sources: the public v3 API and etcd v3 data model. A stored value is a JSON object
`kind, apiVersion, metadata, spec[, status]`; `resourceVersion` is never stored, it is the revision of the key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import msgspec

from tortie.base.errors import Invalid
from tortie.model import checks
from tortie.model.checks import Problem
from tortie.model.codec import UNREADABLE, Value, from_builtins, restored, to_builtins, unknown_of

API_VERSION = "projectcalico.org/v3"
ROOT = "/calico/resources/v3/projectcalico.org/"
ENVELOPE = frozenset(("kind", "apiVersion", "metadata", "spec"))

S = TypeVar("S", bound=msgspec.Struct)


class Metadata(Value, frozen=True, kw_only=True):
    name: str
    namespace: str | None = None
    uid: str | None = None
    creation_timestamp: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()


def no_problems(_found: Any) -> Iterator[Problem]:
    return iter(())


def as_it_is(metadata: Metadata, spec: S) -> tuple[Metadata, S]:
    return metadata, spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[S]):
    """One kind of resource.

    `check` yields every fault of a spec, not only the first; `check_whole` those between its name, labels and spec.
    `defaults` fills in what is stored on a write when the writer left it out.
    """

    name: str
    plural: str
    spec: type[S]
    namespaced: bool = False
    check: Callable[[S], Iterator[Problem]] = no_problems
    check_whole: Callable[[Resource[S]], Iterator[Problem]] = no_problems
    defaults: Callable[[Metadata, S], tuple[Metadata, S]] = as_it_is
    name_pattern: str = checks.SUBDOMAIN

    @property
    def prefix(self) -> str:
        """The key prefix of all resources of this kind."""
        return f"{ROOT}{self.plural}/"

    def key(self, name: str, namespace: str | None = None) -> str:
        return f"{self.prefix}{namespace}/{name}" if self.namespaced else f"{self.prefix}{name}"

    def parse_key(self, key: str) -> tuple[str | None, str]:
        """(namespace or None, name) of a key under `prefix`."""
        rest = key.removeprefix(self.prefix)
        if self.namespaced:
            namespace, _, name = rest.partition("/")
            return namespace, name
        return None, rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource(Generic[S]):
    """One resource. `revision` is 0 for one that was not read from a store; `unknown`: top-level fields not ours."""

    kind: Kind[S]
    metadata: Metadata
    spec: S
    revision: int = 0
    unknown: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def key(self) -> str:
        return self.kind.key(self.metadata.name, self.metadata.namespace)


def problems(resource: Resource[Any]) -> list[Problem]:
    """Every fault of the resource: its names, its labels, its spec."""
    kind, metadata = resource.kind, resource.metadata
    found = [*checks.name("metadata.name", metadata.name, kind.name_pattern)]
    if kind.namespaced:
        found += checks.name("metadata.namespace", metadata.namespace or "")
    elif metadata.namespace is not None:
        found.append(Problem("metadata.namespace", f"a {kind.name} has none"))
    found += checks.labels("metadata.labels", metadata.labels)
    found += checks.annotation_map("metadata.annotations", metadata.annotations)
    found += kind.check(resource.spec)
    found += kind.check_whole(resource)
    return found


def with_defaults(resource: Resource[S]) -> Resource[S]:
    """The resource as a client stores it: what its writer left out has the kind's defaults. Idempotent."""
    metadata, spec = resource.kind.defaults(resource.metadata, resource.spec)
    return replace(resource, metadata=metadata, spec=spec)


def worded(resource: Resource[Any]) -> list[str]:
    """Every fault in the words of the original: `error with field X = 'v' (Reason: ...)`."""
    found = problems(resource)
    whole = msgspec.json.decode(encode(resource)) if found else None
    return [f"error with field {p.field} = '{_at(whole, p.field)}' (Reason: {p.reason})" for p in found]


def _at(found: Any, path: str) -> str:
    """The value at a dotted path; keys may hold dots themselves, a list's items are counted in brackets."""
    if not path:
        return found if isinstance(found, str) else "" if found is None else msgspec.json.encode(found).decode()
    if isinstance(found, list):
        number, _, rest = path.removeprefix("[").partition("]")
        inside = path.startswith("[") and number.isdigit() and int(number) < len(found)
        return _at(found[int(number)], rest.removeprefix(".")) if inside else _at(found, "")
    for key in sorted(found, key=len, reverse=True) if isinstance(found, dict) else ():
        if path == key or path.startswith((f"{key}.", f"{key}[")):
            return _at(found[key], path.removeprefix(key).removeprefix("."))
    return ""


def encode(resource: Resource[Any]) -> bytes:
    """The stored form. What only a store can say of a resource is never in it, whoever wrote it there."""
    metadata = to_builtins(resource.metadata)
    for name in ("resourceVersion", "selfLink"):
        metadata.pop(name, None)
    return msgspec.json.encode(
        {
            "kind": resource.kind.name,
            "apiVersion": API_VERSION,
            "metadata": metadata,
            "spec": to_builtins(resource.spec),
            **restored(resource.unknown),
        }
    )


def decode(kind: Kind[S], value: bytes, revision: int = 0) -> Resource[S]:
    """A resource from its stored form; Invalid names the field that does not fit."""
    try:
        raw = msgspec.json.decode(value, type=dict[str, Any])
        metadata = from_builtins(Metadata, raw.get("metadata") or {})
        spec = from_builtins(kind.spec, raw.get("spec") or {})
    except UNREADABLE as error:
        raise Invalid(f"{kind.name}: {error}") from error
    return Resource(kind=kind, metadata=metadata, spec=spec, revision=revision, unknown=unknown_of(raw, ENVELOPE))


def printable(key: str) -> str:
    """A key of the store as text. Keys are bytes; what is no UTF-8 in them comes as halves of characters, which no
    output can hold."""
    return key.encode(errors="backslashreplace").decode()


def decode_at(kind: Kind[S], key: str, value: bytes, revision: int = 0) -> Resource[S]:
    """As `decode`, of the value at a key of the store: the key says which resource it is, whatever the value says.

    A policy whose value names another namespace, or none, would otherwise reach endpoints that it is not about."""
    namespace, name = kind.parse_key(key)
    if not name or "/" in name or printable(key) != key:
        raise Invalid(f"{printable(key)} is no key of a {kind.name}")
    found = decode(kind, value, revision)
    own = msgspec.structs.replace(found.metadata, name=name, namespace=namespace)
    return found if own == found.metadata else replace(found, metadata=own)
