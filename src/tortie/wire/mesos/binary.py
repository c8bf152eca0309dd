"""Messages as protocol buffers: the same values as in JSON, by the table of field numbers."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Invalid
from tortie.wire.mesos_fields import SCHEMA
from tortie.wire.protobuf import from_bytes, to_bytes

T = TypeVar("T")


def encode_protobuf(message: str, value: Any) -> bytes:
    """`message`: its name in the table; `value`: of our types, or a document."""
    return to_bytes(SCHEMA, message, msgspec.to_builtins(value, builtin_types=(bytes,)))


def decode_protobuf(body: bytes, kind: type[T], message: str) -> T:
    """Raises Invalid in a Mesos master's words."""
    what = message.rpartition(".")[2]
    try:
        return msgspec.convert(from_bytes(SCHEMA, message, body), ready(kind), builtin_types=(bytes,))
    except (Invalid, msgspec.ValidationError) as error:
        raise Invalid(f"Failed to parse body into {what} protobuf: {error}") from error
