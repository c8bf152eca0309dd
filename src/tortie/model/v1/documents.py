"""Documents of the v1 form as they were read: what kind one is, whom it names, what it says that is unknown."""

from __future__ import annotations

from typing import Any

import msgspec

from tortie.base.errors import Invalid
from tortie.model.codec import KEPT, Value

VERSION = "v1"
PARTS = ("apiVersion", "kind", "metadata", "spec")

Document = dict[str, Any]


def fault(name: str, value: Any, reason: str) -> str:
    """In the words of the original; the value of a field that is absent is empty."""
    return f"error with field {name} = '{'' if value is None else value}' ({reason})"


def as_object(raw: Any) -> Document:
    if not isinstance(raw, dict):
        raise Invalid(f"expected a resource, found {type(raw).__name__} {str(raw)[:40]!r}")
    return raw


def unknown_parts(kind: str, document: Document) -> list[str]:
    return [f"{kind}: unknown field {name}" for name in document if name not in PARTS]


def fields(shape: type[Value]) -> frozenset[str]:
    """The names that a part of a document may hold."""
    return frozenset(field.encode_name for field in msgspec.structs.fields(shape) if field.encode_name != KEPT)
