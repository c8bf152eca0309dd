"""Protocol buffers (proto2) without generated code: messages are documents, their fields a table. Values only.

A document is a mapping by field name as in the protocol's JSON: enums by name, messages as mappings, repeated fields
as lists; bytes are bytes, and base64 text is taken for them too. What the table does not know is skipped when read and
left out when written.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tortie.base.errors import Invalid

VARINT, FIXED64, LENGTH, START_GROUP, END_GROUP, FIXED32 = range(6)
DEEPEST = 64
_DOUBLE = struct.Struct("<d")
_FIELD = re.compile(r"^(\w+)=(\d+)([!*]?) (.+)$")
_SCALARS = {
    "s": "string",
    "b": "bool",
    "d": "double",
    "i": "int32",
    "u": "uint32",
    "I": "int64",
    "U": "uint64",
    "B": "bytes",
}
_LIMITS = {
    "int32": (-(1 << 31), (1 << 31) - 1),
    "uint32": (0, (1 << 32) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "uint64": (0, (1 << 64) - 1),
}


@dataclass(frozen=True, slots=True)
class Field:
    """`kind` is a scalar's name or the full name of a message or an enum. `entry`: of a map's values."""

    name: str
    number: int
    kind: str
    required: bool = False
    repeated: bool = False
    entry: bool = False


class Schema:
    """`messages`: name -> "name=number[!|*] type, ..."; `enums`: name -> "NAME=number ...".

    `!` is required, `*` repeated; types are s, b, d, i(nt32), u(int32), I(nt64), U(int64), B(ytes), map<string, TYPE>,
    or the name of a message or an enum, looked for inside the message first, then in what it lies in.
    """

    def __init__(self, messages: Mapping[str, str], enums: Mapping[str, str]) -> None:
        self._texts = messages
        self.enums = {
            name: {n: int(v) for n, v in (part.split("=") for part in text.split())} for name, text in enums.items()
        }
        self.enum_names = {name: {v: n for n, v in values.items()} for name, values in self.enums.items()}
        self._messages: dict[str, tuple[Field, ...]] = {}
        self._numbers: dict[str, dict[int, Field]] = {}

    def fields(self, message: str) -> tuple[Field, ...]:
        found = self._messages.get(message)
        if found is None:
            found = self._messages[message] = tuple(self._parse(message))
        return found

    def numbers(self, message: str) -> dict[int, Field]:
        found = self._numbers.get(message)
        if found is None:
            found = self._numbers[message] = {field.number: field for field in self.fields(message)}
        return found

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(self._texts)

    def _parse(self, message: str) -> Iterator[Field]:
        text = self._texts[message].replace("map<string, ", "map<")
        for part in filter(None, text.split(", ")):
            found = _FIELD.match(part)
            if not found:
                raise ValueError(f"{message}: {part!r} is no field")
            name, number, mark, kind = found.groups()
            entry = kind.startswith("map<")
            kind = self._resolve(message, kind.removeprefix("map<").removesuffix(">"))
            yield Field(name, int(number), kind, mark == "!", mark == "*", entry)

    def _resolve(self, message: str, kind: str) -> str:
        if kind in _SCALARS:
            return _SCALARS[kind]
        scope = message
        while True:
            name = f"{scope}.{kind}" if scope else kind
            if name in self._texts or name in self.enums:
                return name
            if not scope:
                raise ValueError(f"{message}: nothing is called {kind}")
            scope = scope.rpartition(".")[0]


# -- writing -----------------------------------------------------------------------------------------------------------


def to_bytes(schema: Schema, message: str, document: Mapping[str, Any]) -> bytes:
    """Raises Invalid for a value that its field cannot hold, or a required field that is not there."""
    out = bytearray()
    for field in schema.fields(message):
        value = document.get(field.name)
        if value is None:
            if field.required:
                raise Invalid(f"Missing required fields: {field.name}")
            continue
        if field.entry:
            for key, item in value.items():
                inner = _tagged(1, "string", key, schema) + _tagged(2, field.kind, item, schema)
                out += _varint(field.number << 3 | LENGTH) + _varint(len(inner)) + inner
        elif field.repeated:
            for item in value:
                out += _tagged(field.number, field.kind, item, schema)
        else:
            out += _tagged(field.number, field.kind, value, schema)
    return bytes(out)


def _tagged(number: int, kind: str, value: Any, schema: Schema) -> bytes:
    body: bytes
    try:
        if kind == "string":
            body = value.encode()
        elif kind == "bytes":
            body = value if isinstance(value, bytes) else base64.b64decode(value, validate=True)
        elif kind == "double":
            return _varint(number << 3 | FIXED64) + _DOUBLE.pack(value)
        elif kind in schema.enums:
            return _varint(number << 3 | VARINT) + _varint(schema.enums[kind][value])
        elif kind == "bool" or kind in _LIMITS:
            return _varint(number << 3 | VARINT) + _varint(_whole(kind, value))
        else:
            body = to_bytes(schema, kind, value)
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError, struct.error) as error:
        raise Invalid(f"{value!r} is no {kind}") from error
    return _varint(number << 3 | LENGTH) + _varint(len(body)) + body


def _whole(kind: str, value: Any) -> int:
    if kind == "bool":
        if not isinstance(value, bool):
            raise Invalid(f"{value!r} is no {kind}")
        return int(value)
    least, most = _LIMITS[kind]
    number = int(value)
    if number != value or not least <= number <= most:
        raise Invalid(f"{value!r} is no {kind}")
    return number & ((1 << 64) - 1)


def _varint(value: int) -> bytes:
    if value < 0:
        value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


# -- reading -----------------------------------------------------------------------------------------------------------


def from_bytes(schema: Schema, message: str, data: bytes) -> dict[str, Any]:
    """Raises Invalid for what is no such message, or not a whole one. An enum's unknown value is as if not set."""
    return _Reader(schema, data).message(message, len(data), 0)


class _Reader:
    def __init__(self, schema: Schema, data: bytes) -> None:
        self.schema = schema
        self.data = data
        self.at = 0

    def message(self, name: str, end: int, depth: int) -> dict[str, Any]:
        if depth > DEEPEST:
            raise Invalid(f"{name}: messages lie too deep in one another")
        numbers = self.schema.numbers(name)
        found: dict[str, Any] = {}
        while self.at < end:
            tag = self.varint(end)
            field, wire = numbers.get(tag >> 3), tag & 7
            if tag >> 3 == 0:
                raise Invalid(f"{name}: a field has number 0")
            if field is None:
                self.skip(wire, tag >> 3, end, depth)
            elif field.entry:
                self.entry(field, wire, end, depth, found.setdefault(field.name, {}))
            elif field.repeated:
                self.repeated(field, wire, end, depth, found.setdefault(field.name, []))
            else:
                value = self.value(field.kind, wire, end, depth)
                if value is not None:
                    found[field.name] = _merged(found.get(field.name), value)
        for field in self.schema.fields(name):
            if field.required and field.name not in found:
                raise Invalid(f"{name}: required field {field.name} is missing")
        return found

    def repeated(self, field: Field, wire: int, end: int, depth: int, values: list[Any]) -> None:
        packable = field.kind in ("double", "bool") or field.kind in _LIMITS or field.kind in self.schema.enums
        if wire == LENGTH and packable:
            stop = self.length(end)
            inner = FIXED64 if field.kind == "double" else VARINT
            while self.at < stop:
                values.append(self.value(field.kind, inner, stop, depth))
            return
        value = self.value(field.kind, wire, end, depth)
        if value is not None:
            values.append(value)

    def entry(self, field: Field, wire: int, end: int, depth: int, values: dict[str, Any]) -> None:
        if wire != LENGTH:
            raise Invalid(f"field {field.name} has the wrong wire type")
        stop, key, value = self.length(end), "", None
        while self.at < stop:
            tag = self.varint(stop)
            if tag >> 3 == 1:
                key = self.value("string", tag & 7, stop, depth)
            elif tag >> 3 == 2:
                value = self.value(field.kind, tag & 7, stop, depth + 1)
            else:
                self.skip(tag & 7, tag >> 3, stop, depth)
        if value is not None:
            values[key] = value

    def value(self, kind: str, wire: int, end: int, depth: int) -> Any:
        wanted = FIXED64 if kind == "double" else VARINT if kind in self.varints else LENGTH
        if wire != wanted:
            raise Invalid(f"a {kind} has the wrong wire type")
        if wire == VARINT:
            return self.number(kind, self.varint(end))
        if wire == FIXED64:
            return _DOUBLE.unpack(self.take(8, end))[0]
        stop = self.length(end)
        if kind == "bytes":
            return self.take(stop - self.at, end)
        if kind == "string":
            try:
                return self.take(stop - self.at, end).decode()
            except UnicodeDecodeError as error:
                raise Invalid(f"a string is not UTF-8: {error}") from error
        return self.message(kind, stop, depth + 1)

    @cached_property
    def varints(self) -> frozenset[str]:
        return frozenset({"bool", *_LIMITS, *self.schema.enums})

    def number(self, kind: str, value: int) -> Any:
        if kind == "bool":
            return bool(value)
        if kind in self.schema.enums:
            return self.schema.enum_names[kind].get(value)
        bits = 32 if kind.endswith("32") else 64
        value &= (1 << bits) - 1
        return value - (1 << bits) if kind.startswith("int") and value >> (bits - 1) else value

    def varint(self, end: int) -> int:
        value = shift = 0
        while True:
            if self.at >= end or shift > 63:
                raise Invalid("a number that does not end")
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & ((1 << 64) - 1)
            shift += 7

    def length(self, end: int) -> int:
        """Where the bytes that are announced end."""
        size = self.varint(end)
        if self.at + size > end:
            raise Invalid("a field is longer than what it lies in")
        return self.at + size

    def take(self, size: int, end: int) -> bytes:
        if self.at + size > end:
            raise Invalid("a field is longer than what it lies in")
        taken = self.data[self.at : self.at + size]
        self.at += size
        return taken

    def skip(self, wire: int, number: int, end: int, depth: int) -> None:
        if wire == VARINT:
            self.varint(end)
        elif wire == FIXED64:
            self.take(8, end)
        elif wire == FIXED32:
            self.take(4, end)
        elif wire == LENGTH:
            self.at = self.length(end)
        elif wire == START_GROUP and depth < DEEPEST:
            while True:
                tag = self.varint(end)
                if tag & 7 == END_GROUP:
                    if tag >> 3 != number:
                        raise Invalid("a group ends that did not begin")
                    return
                self.skip(tag & 7, tag >> 3, end, depth + 1)
        else:
            raise Invalid(f"wire type {wire} is not known")


def _merged(old: Any, new: Any) -> Any:
    """The last value of a field counts; messages that come twice are joined."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    joined = dict(old)
    for name, value in new.items():
        before = old.get(name)
        joined[name] = before + value if isinstance(before, list) else _merged(before, value)
    return joined
