"""Stored JSON to values and back, without losing what this program does not know.

Other programs write to the same store, newer ones too. A field that no struct of ours names is kept with the struct in
which it stood and written back with it, so that a read and a write by us never removes another program's setting.
"""

from __future__ import annotations

import types
import typing
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Invalid

KEPT = "~"
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What reading JSON raises that somebody else wrote: not JSON, of another shape, no UTF-8, nested without end."""
_NOTHING_KEPT, _SOMETHING_KEPT = b'{"~":[],', b'"~":'

V = TypeVar("V", bound=msgspec.Struct)


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Base of every stored value. `unknown`: (name, JSON text) of the fields that were read and are not ours."""

    unknown: tuple[tuple[str, str], ...] = msgspec.field(default=(), name=KEPT)


class _Plan(typing.NamedTuple):
    """The names a struct knows, and for those that hold structs again: their plan and how they hold it."""

    known: frozenset[str]
    nested: tuple[tuple[str, _Nested], ...]


class _Nested(typing.NamedTuple):
    type: type[msgspec.Struct]
    many: bool


def from_json(kind: type[V], value: bytes, what: str) -> V:
    """The value; Invalid says which field of `what` does not fit."""
    try:
        return from_builtins(kind, msgspec.json.decode(value or b"{}"))
    except UNREADABLE as error:
        raise Invalid(f"{what}: {error}") from error


def from_builtins(kind: type[V], raw: Any) -> V:
    """As `from_json`, from plain dicts and lists. Raises msgspec's errors. A null counts as an absent field."""
    return msgspec.convert(_hoist(kind, raw), ready(kind))


def to_json(value: msgspec.Struct) -> bytes:
    """The stored form. Nearly always nothing unknown is kept anywhere, and no field needs to be moved."""
    direct = msgspec.json.encode(value).replace(_NOTHING_KEPT, b"{", 1)
    return msgspec.json.encode(to_builtins(value)) if _SOMETHING_KEPT in direct else direct


def to_builtins(value: msgspec.Struct) -> dict[str, Any]:
    raw: dict[str, Any] = msgspec.to_builtins(value)
    return _lower(type(value), raw)


def unknown_of(raw: dict[str, Any], known: frozenset[str]) -> tuple[tuple[str, str], ...]:
    """The fields of an object that are not among the known ones, as they are kept."""
    return tuple((name, msgspec.json.encode(field).decode()) for name, field in raw.items() if name not in known)


def restored(unknown: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    return {name: msgspec.json.decode(text) for name, text in unknown}


def strangers(value: msgspec.Struct) -> list[str]:
    """The paths of the fields, at any depth, that no struct names."""
    found = [name for name, _ in getattr(value, "unknown", ())]
    for name, _ in _plan(type(value)).nested:
        field = getattr(value, _attributes(type(value))[name])
        several = enumerate(field) if isinstance(field, tuple) else [(None, field)]
        for number, item in several:
            if isinstance(item, msgspec.Struct):
                at = name if number is None else f"{name}[{number}]"
                found += [f"{at}.{path}" for path in strangers(item)]
    return found


def _hoist(kind: type[msgspec.Struct], raw: Any) -> Any:
    if not isinstance(raw, dict):
        return raw
    plan = _plan(kind)
    known = {name: field for name, field in raw.items() if field is not None and name in plan.known}
    for name, nested in plan.nested:
        if name in known:
            known[name] = _each(_hoist, nested, known[name])
    if not raw.keys() <= plan.known:
        known[KEPT] = unknown_of(raw, plan.known)
    return known


def _lower(kind: type[msgspec.Struct], raw: dict[str, Any]) -> dict[str, Any]:
    plan = _plan(kind)
    kept = raw.pop(KEPT, ())
    for name, nested in plan.nested:
        if name in raw:
            raw[name] = _each(_lower, nested, raw[name])
    if kept:
        raw.update(restored(kept))
    return raw


def _each(step: typing.Callable[[type[msgspec.Struct], Any], Any], nested: _Nested, field: Any) -> Any:
    if field is None:
        return None
    if nested.many and isinstance(field, list | tuple):
        return [step(nested.type, item) for item in field]
    return step(nested.type, field)


@lru_cache(maxsize=256)
def _plan(kind: type[msgspec.Struct]) -> _Plan:
    fields = [field for field in msgspec.structs.fields(kind) if field.encode_name != KEPT]
    nested = [(field.encode_name, found) for field in fields if (found := _struct_in(field.type))]
    return _Plan(frozenset(field.encode_name for field in fields), tuple(nested))


@lru_cache(maxsize=256)
def _attributes(kind: type[msgspec.Struct]) -> dict[str, str]:
    return {field.encode_name: field.name for field in msgspec.structs.fields(kind)}


def _struct_in(annotation: Any) -> _Nested | None:
    """The struct that an annotation holds: itself, or None, or in a `tuple[X, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return _Nested(annotation, many=False)
    origin = typing.get_origin(annotation)
    for argument in typing.get_args(annotation) if origin in (tuple, typing.Union, types.UnionType) else ():
        found = _struct_in(argument)
        if found:
            return _Nested(found.type, many=found.many or origin is tuple)
    return None
