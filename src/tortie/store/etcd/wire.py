"""etcd's JSON messages as values, and its refusals in the terms of the port."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Invalid, NotFound, TortieError, Unavailable
from tortie.model.codec import UNREADABLE
from tortie.store.port import Compacted, CompareFailed, Condition, Event, KeyValue, Put, Unchanged, Write

M = TypeVar("M")

INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED = 3, 5, 7
RESOURCE_EXHAUSTED, FAILED_PRECONDITION, OUT_OF_RANGE, UNIMPLEMENTED = 8, 9, 11, 12
UNAVAILABLE, UNAUTHENTICATED = 14, 16
# What follows was refused before anything was proposed to the cluster: another member may be asked without danger.
NOT_PROPOSED = ("etcdserver: no leader", "etcdserver: server stopped", "etcdserver: not capable")
STALE_TOKEN = ("etcdserver: invalid auth token", "etcdserver: revision of auth store is old")


class Header(msgspec.Struct, frozen=True):
    cluster_id: int = 0
    revision: int = 0


class Kv(msgspec.Struct, frozen=True):
    key: bytes
    value: bytes = b""
    mod_revision: int = 0
    create_revision: int = 0
    lease: int = 0


class RangeReply(msgspec.Struct, frozen=True):
    header: Header = Header()
    kvs: list[Kv] = []
    more: bool = False


class Response(msgspec.Struct, frozen=True):
    response_range: RangeReply | None = None


class TxnReply(msgspec.Struct, frozen=True):
    header: Header
    succeeded: bool = False
    responses: list[Response] = []


class GrantReply(msgspec.Struct, frozen=True):
    ID: int
    TTL: int = 0


class KeepAliveResult(msgspec.Struct, frozen=True):
    TTL: int = 0


class KeepAliveReply(msgspec.Struct, frozen=True):
    result: KeepAliveResult


class AuthReply(msgspec.Struct, frozen=True):
    token: str


class Nothing(msgspec.Struct, frozen=True):
    """An answer of which nothing is needed."""


class Failure(msgspec.Struct, frozen=True):
    """A refusal, as the gateway tells it; in a stream it comes inside of `error`."""

    error: str = ""
    message: str = ""
    code: int = 2


class StreamFailure(msgspec.Struct, frozen=True):
    message: str = ""
    grpc_code: int = 2


class EtcdEvent(msgspec.Struct, frozen=True):
    kv: Kv
    type: str = "PUT"
    prev_kv: Kv | None = None


class WatchResult(msgspec.Struct, frozen=True):
    header: Header = Header()
    created: bool = False
    canceled: bool = False
    compact_revision: int = 0
    cancel_reason: str = ""
    events: list[EtcdEvent] = []


class WatchMessage(msgspec.Struct, frozen=True):
    result: WatchResult | None = None
    error: StreamFailure | None = None


def decode(body: bytes, kind: type[M]) -> M:
    """Raises Unavailable for what no etcd says: something else listens there."""
    try:
        return msgspec.json.decode(body, type=ready(kind), strict=False)
    except UNREADABLE as error:
        raise Unavailable(f"not the answer of an etcd v3 ({error})") from error


COMMON_NAME = (
    "while its users are on, etcd's JSON gateway takes no client certificate that has a common name: give this client "
    "a certificate without one"
)


def failure_of(status: int, body: bytes) -> Failure:
    """What a reply with another status than 200 says."""
    try:
        said = msgspec.json.decode(body, type=ready(Failure), strict=False)
        return said if said.error or said.message else Failure(f"HTTP {status}", f"HTTP {status}")
    except UNREADABLE:
        if b"CommonName of client" in body:
            return Failure(COMMON_NAME, COMMON_NAME, INVALID_ARGUMENT)
        return Failure(f"HTTP {status}", f"HTTP {status}", UNAVAILABLE if status >= 500 else UNIMPLEMENTED)


def refusal(store: str, code: int, message: str) -> TortieError:
    """etcd's code and text as the family that says what the caller can do."""
    text = f"store {store}: {message.removeprefix('etcdserver: ')}"
    if code == NOT_FOUND:
        return NotFound(text)
    if code == OUT_OF_RANGE and "compacted" in message:
        return Compacted(text)
    if message == "etcdserver: user name is empty":
        return Invalid(f"store {store}: it wants a user and a password: set ETCD_USERNAME and ETCD_PASSWORD")
    if code == UNIMPLEMENTED:
        return Unavailable(f"{text}: not an etcd v3, or its JSON gateway is off")
    if "larger than max" in message:
        return Invalid(f"store {store}: request is too large ({message})")
    if code in (INVALID_ARGUMENT, PERMISSION_DENIED, FAILED_PRECONDITION, OUT_OF_RANGE, UNAUTHENTICATED):
        return Invalid(text)
    if "database space exceeded" in message:
        return Unavailable(f"{text}: the store is full; compact and defragment it, then disarm its alarm")
    return Unavailable(text)


def encoded(key: str) -> str:
    return b64encode(key.encode("utf-8", "surrogateescape")).decode()


def text(key: bytes) -> str:
    return key.decode("utf-8", "surrogateescape")


def prefix_range(prefix: str) -> dict[str, Any]:
    """Where a listing or a watch begins and ends: the first bytes behind all that begin with `prefix`."""
    raw = prefix.encode("utf-8", "surrogateescape").rstrip(b"\xff")
    if not raw:
        return {"key": encoded(prefix) or "AA==", "range_end": "AA=="}
    end = raw[:-1] + bytes([raw[-1] + 1])
    return {"key": encoded(prefix), "range_end": b64encode(end).decode()}


def behind(key: bytes) -> str:
    """The first key after this one, as a page begins with it."""
    return b64encode(key + b"\0").decode()


def transaction(writes: Sequence[Write], conditions: Sequence[Condition]) -> dict[str, Any]:
    """When a condition fails the answer tells what each of the keys holds."""
    return {
        "compare": [_condition(condition) for condition in conditions],
        "success": [_operation(write) for write in writes],
        "failure": [{"request_range": _look(condition)} for condition in conditions],
    }


def _condition(condition: Condition) -> dict[str, Any]:
    if isinstance(condition, Unchanged):
        later = {"target": "MOD", "result": "LESS", "mod_revision": str(condition.revision + 1)}
        return later | prefix_range(condition.prefix)
    equal = {"target": "MOD", "result": "EQUAL", "mod_revision": str(condition.revision)}
    return equal | {"key": encoded(condition.key)}


def _look(condition: Condition) -> dict[str, Any]:
    if isinstance(condition, Unchanged):
        newest = {"sort_order": "DESCEND", "sort_target": "MOD", "limit": 1, "keys_only": True}
        return newest | prefix_range(condition.prefix)
    return {"key": encoded(condition.key)}


def _operation(write: Write) -> dict[str, Any]:
    if not isinstance(write, Put):
        return {"request_delete_range": {"key": encoded(write.key)}}
    put = {"key": encoded(write.key), "value": b64encode(write.value).decode()}
    if write.lease is not None:
        put["lease"] = str(write.lease)
    return {"request_put": put}


def first_failed(reply: TxnReply, conditions: Sequence[Condition]) -> CompareFailed:
    """The first condition that did not hold."""
    for condition, response in zip(conditions, reply.responses, strict=True):
        kvs = response.response_range.kvs if response.response_range else []
        at = kvs[0].mod_revision if kvs else 0
        if isinstance(condition, Unchanged):
            if at > condition.revision:
                return CompareFailed(condition.key)
        elif at != condition.revision:
            return CompareFailed(condition.key, key_value(kvs[0]) if kvs else None)
    return CompareFailed(conditions[0].key)


def key_value(kv: Kv) -> KeyValue:
    return KeyValue(text(kv.key), kv.value, kv.mod_revision, kv.create_revision, kv.lease or None)


def event(told: EtcdEvent) -> Event:
    value = None if told.type == "DELETE" else told.kv.value
    return Event(text(told.kv.key), value, told.kv.mod_revision, told.prev_kv.value if told.prev_kv else None)
