"""Documents of apiVersion projectcalico.org/v3: read strictly, with every fault named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from tortie.base.errors import Invalid
from tortie.model.codec import UNREADABLE, from_builtins, strangers
from tortie.model.kinds import KINDS
from tortie.model.resource import API_VERSION, Kind, Metadata, Resource, with_defaults

DEFAULT_NAMESPACE = "default"
TORTIE_VERSION = "tortie/v1"
_FROM_STORE = ("resourceVersion", "selfLink", "generation", "managedFields", "deletionTimestamp")
_KEPT_METADATA = ("ownerReferences", "deletionGracePeriodSeconds", "clusterName")
_TOP = frozenset(("apiVersion", "kind", "metadata", "spec", "status"))


@dataclass(frozen=True, slots=True)
class Item:
    """A resource of a file. `revision`: the resourceVersion that the file gives, None without one."""

    resource: Resource[Any]
    revision: int | None = None


def flat(raw: Any) -> Iterator[Any]:
    """The documents of lists and of list kinds, one by one."""
    for document in raw:
        if isinstance(document, list):
            yield from flat(document)
        elif isinstance(document, dict) and str(document.get("kind")).endswith("List") and "items" in document:
            yield from flat(document["items"] or [])
        else:
            yield document


def item(raw: Any, namespace: str | None = None) -> Item:
    """A resource from one document. Raises Invalid with every fault that can be seen without a store."""
    kind = _kind(raw)
    faults = [_unknown(name) for name in raw if name not in _TOP]
    metadata, revision = _metadata(kind, raw.get("metadata"), namespace)
    try:
        spec = from_builtins(kind.spec, raw.get("spec") or {})
    except UNREADABLE as error:
        raise Invalid(*faults, f"error with field spec of {kind.name} {metadata.name}: {error}") from error
    faults += [_unknown(f"metadata.{name}") for name, _ in metadata.unknown if name not in _KEPT_METADATA]
    faults += [_unknown(f"spec.{path}") for path in strangers(spec)]
    if faults:
        raise Invalid(*faults)
    return Item(with_defaults(Resource(kind=kind, metadata=metadata, spec=spec)), revision)


def _kind(raw: Any) -> Kind[Any]:
    if not isinstance(raw, dict):
        raise Invalid(f"expected a resource, found {type(raw).__name__} {str(raw)[:40]!r}")
    version, name = raw.get("apiVersion"), raw.get("kind")
    if not version or not name:
        raise Invalid(f"a resource needs apiVersion and kind; found apiVersion {version!r}, kind {name!r}")
    if version != API_VERSION or not isinstance(name, str) or name not in KINDS:
        raise Invalid(f"unknown resource type: kind {name!r} of apiVersion {version!r}")
    return KINDS[name]


def _metadata(kind: Kind[Any], raw: Any, namespace: str | None) -> tuple[Metadata, int | None]:
    if not isinstance(raw, dict):
        raise Invalid(f"{kind.name}: metadata is missing")
    if raw.get("generateName"):
        raise Invalid(f"{kind.name}: metadata.generateName is not supported")
    revision = raw.get("resourceVersion")
    if revision not in (None, "") and re.fullmatch("[0-9]{1,19}", str(revision)) is None:
        raise Invalid(f"error with field metadata.resourceVersion = '{revision}' (Reason: not a revision)")
    labels = {"labels": {k: _scalar(v) for k, v in (raw.get("labels") or {}).items()}} if _is_map(raw, "labels") else {}
    try:
        given = {name: value for name, value in raw.items() if name not in _FROM_STORE}
        metadata = from_builtins(Metadata, {**given, **labels})
    except UNREADABLE as error:
        raise Invalid(f"{kind.name}: metadata: {error}") from error
    if not metadata.name:
        raise Invalid("resource name may not be empty")
    if kind.namespaced:
        if namespace and metadata.namespace and metadata.namespace != namespace:
            raise Invalid(f"resource namespace does not match client namespace. {metadata.namespace} != {namespace}")
        wanted = metadata.namespace or namespace or DEFAULT_NAMESPACE
        metadata = msgspec.structs.replace(metadata, namespace=wanted)
    elif metadata.namespace:
        raise Invalid(
            f"namespace should not be specified for a non-namespaced resource. {kind.name} is not a namespaced resource"
        )
    return metadata, int(revision) if revision else None


def _is_map(raw: dict[str, Any], name: str) -> bool:
    return isinstance(raw.get(name), dict)


def _scalar(value: Any) -> Any:
    """A label such as `on: 1` was meant as text; YAML made it a number."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _unknown(path: str) -> str:
    return f"field in document is not recognized or is in the wrong location: {path}"
