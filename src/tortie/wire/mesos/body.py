"""Messages as bytes, and what is wrong with a body in the words of a Mesos master."""

from __future__ import annotations

import re
import uuid as uuids
from typing import Any, TypeVar

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Invalid

T = TypeVar("T")


_MISSING = re.compile(r"Object missing required field `(\w+)`(?: - at `\$\.?(.*)`)?$")


_EXPECTED = re.compile(r"Expected `(.+?)`, got `(\w+)`(?: - at `\$\.?(.*)`)?$")


_ENUM = re.compile(r"Invalid enum value '(.*)'")


_JSON_WORDS = {"str": "string", "int": "number", "float": "number", "bool": "boolean", "object": "object"}


def encode(message: Any) -> bytes:
    return msgspec.json.encode(message)


def decode(body: bytes, kind: type[T], what: str = "Call") -> T:
    """The message in `body`; Invalid in a Mesos master's own words otherwise."""
    try:
        return msgspec.json.decode(body, type=ready(kind))
    except msgspec.ValidationError as error:
        raise Invalid(f"Failed to convert JSON into {what} protobuf: {_in_mesos_words(str(error))}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"Failed to parse body into JSON: {error}") from error


def convert(document: Any, kind: type[T], what: str = "Call") -> T:
    """The same for a document that is parsed already."""
    return decode(msgspec.json.encode(document), kind, what)


def _in_mesos_words(text: str) -> str:
    if found := _MISSING.match(text):
        return f"Missing required fields: {'.'.join(part for part in (found[2], found[1]) if part)}"
    if found := _ENUM.match(text):
        return f"Failed to find enum for '{found[1]}'"
    if "base64" in text:
        path = text.rpartition("`$.")[2].rstrip("`")
        return f"Failed to base64 decode bytes field '{path.rpartition('.')[2]}': {text.partition(' - at')[0]}"
    if found := _EXPECTED.match(text):
        if not found[3]:
            return "Expecting a JSON object"
        return f"Not expecting a JSON {_JSON_WORDS.get(found[2], found[2])} for field '{found[3].rpartition('.')[2]}'"
    return text


def new_uuid() -> bytes:
    """The 16 raw bytes of a status update's identity."""
    return uuids.uuid4().bytes
