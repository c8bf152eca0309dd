"""Calls and records of a Mesos agent's v1 API as bytes, as far as talking to a container goes. Values only."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Protocol

from tortie.base.errors import Invalid

JSON = "application/json"
PROTOBUF = "application/x-protobuf"
RECORDIO = "application/recordio"

Document = Mapping[str, Any]
"""A message by its fields' names, enums by name. `bytes` are bytes or, out of JSON, base64."""


class Codec(Protocol):
    """Every reading raises Invalid."""

    media_type: str

    def call(self, kind: str, payload: Document) -> bytes: ...

    def response(self, body: bytes) -> Any: ...

    def process_io(self, record: bytes) -> Any: ...


class JsonCodec:
    media_type = JSON

    def call(self, kind: str, payload: Document) -> bytes:
        document = {"type": kind, kind.lower(): payload}
        return json.dumps(document, separators=(",", ":"), default=_base64).encode()

    def response(self, body: bytes) -> Any:
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Invalid(f"Failed to parse body into JSON: {error}") from error

    process_io = response


def _base64(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} is no part of a message")


def data_document(stream: str, data: bytes) -> dict[str, Any]:
    """ProcessIO of some bytes; none of STDIN means its end."""
    return {"type": "DATA", "data": {"type": stream, "data": data}}


def heartbeat_document(seconds: float) -> dict[str, Any]:
    interval = {"nanoseconds": int(seconds * 1e9)}
    return {"type": "CONTROL", "control": {"type": "HEARTBEAT", "heartbeat": {"interval": interval}}}


def window_document(rows: int, columns: int) -> dict[str, Any]:
    size = {"window_size": {"rows": rows, "columns": columns}}
    return {"type": "CONTROL", "control": {"type": "TTY_INFO", "tty_info": size}}


def process_data(document: Any) -> tuple[str, bytes] | None:
    """The bytes of a ProcessIO and whose they are; None for what carries none."""
    try:
        if document.get("type") != "DATA":
            return None
        found = document["data"]
        data = found.get("data", b"")
        return str(found["type"]), data if isinstance(data, bytes) else base64.b64decode(data, validate=True)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Invalid(f"a record of output that cannot be read: {error}") from error
