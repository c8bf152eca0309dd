"""Files of the 3 grammar as resources, and resources as documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tortie.base.errors import Invalid
from tortie.base.sources import Sources, documents
from tortie.model.documents import DEFAULT_NAMESPACE, TORTIE_VERSION, Item, flat, item
from tortie.model.resource import API_VERSION, Resource, encode, worded

__all__ = ["DEFAULT_NAMESPACE", "Item", "document", "faults", "item", "items_of_files"]


def items_of_files(
    sources: Sources, names: Sequence[str], *, namespace: str | None = None, recursive: bool = False
) -> tuple[list[Item], list[dict[str, Any]]]:
    """(resources, documents of our own kinds such as assertions) of all files. Raises Invalid with every fault."""
    found: list[Item] = []
    ours: list[dict[str, Any]] = []
    faults: list[str] = []
    for source in names:
        for name, text in sources.texts(source, recursive=recursive):
            try:
                raw = documents(name, text)
            except Invalid as error:
                faults += error.problems
                continue
            for document in flat(raw):
                if isinstance(document, dict) and document.get("apiVersion") == TORTIE_VERSION:
                    ours.append(document)
                    continue
                try:
                    found.append(item(document, namespace))
                except Invalid as error:
                    faults += error.problems
    if faults:
        raise Invalid(*faults)
    return found, ours


def faults(resource: Resource[Any]) -> list[str]:
    """What the store would refuse, in the words of the original."""
    return worded(resource)


def document(resource: Resource[Any]) -> dict[str, Any]:
    """The resource as `get -o json` gives it, with its revision."""
    raw: dict[str, Any] = msgspec.json.decode(encode(resource))
    metadata = raw["metadata"]
    if resource.revision:
        metadata["resourceVersion"] = str(resource.revision)
    return {"apiVersion": API_VERSION, "kind": resource.kind.name, **_without(raw, "apiVersion", "kind")}


def _without(raw: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in raw.items() if name not in names}
