"""What a client adds to a resource that it writes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from tortie.base.decoding import ready
from tortie.model.codec import UNREADABLE
from tortie.model.resource import Metadata, Resource, with_defaults

S = TypeVar("S", bound=msgspec.Struct)


def stamped(resource: Resource[S], there: Metadata | None = None) -> Resource[S]:
    """With defaults, uid and time of creation: its own, else those that are there already, else new ones."""
    from uuid import uuid4

    resource = with_defaults(resource)
    meta, there = resource.metadata, there or Metadata(name=resource.name)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    metadata = msgspec.structs.replace(
        meta,
        uid=meta.uid or there.uid or str(uuid4()),
        creation_timestamp=meta.creation_timestamp or there.creation_timestamp or now,
    )
    return replace(resource, metadata=metadata)


class _Stored(msgspec.Struct):
    metadata: Metadata | None = None


def identity(value: bytes) -> Metadata | None:
    """The metadata of a stored value; None for one that does not parse, which is about to be replaced."""
    try:
        return msgspec.json.decode(value, type=ready(_Stored)).metadata
    except UNREADABLE:
        return None
