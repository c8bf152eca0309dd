"""The same calls and records as protocol buffers. Values only."""

from __future__ import annotations

from typing import Any

from tortie.wire.agent_records import PROTOBUF, Document
from tortie.wire.mesos_fields import SCHEMA
from tortie.wire.protobuf import from_bytes, to_bytes


class ProtobufCodec:
    media_type = PROTOBUF

    def call(self, kind: str, payload: Document) -> bytes:
        return to_bytes(SCHEMA, "agent.Call", {"type": kind, kind.lower(): payload})

    def response(self, body: bytes) -> Any:
        return from_bytes(SCHEMA, "agent.Response", body)

    def process_io(self, record: bytes) -> Any:
        return from_bytes(SCHEMA, "agent.ProcessIO", record)
