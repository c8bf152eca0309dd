"""A package's options: defaults of its schema, merged with what a person gives. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

RESOURCE = "resource"
"""Where a template finds the package's resource.json."""


def defaults(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What the schema says of its properties, inside out; a property's own default goes before those inside it."""
    found = {}
    for name, about in _properties(schema):
        if "default" in about:
            found[name] = about["default"]
        elif inside := defaults(about):
            found[name] = inside
    return found


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Objects are merged; anything else from `above`, lists and null too, takes the place of what was there."""
    merged = dict(below)
    for name, value in above.items():
        there = merged.get(name)
        both = isinstance(value, Mapping) and isinstance(there, Mapping)
        merged[name] = merge(there, value) if both and isinstance(there, Mapping) else value
    return merged


def unknown(schema: Mapping[str, Any], given: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """A line for each option that the schema does not name: it has no effect, but nothing else would say so."""
    known = dict(_properties(schema))
    if not known or schema.get("additionalProperties") or schema.get("patternProperties"):
        return
    for name, value in given.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"; did you mean {path}{near[0]}?" if near else ""
            yield f"option {path}{name} is not one of this package and has no effect{meant}"
        elif isinstance(value, Mapping):
            yield from unknown(known[name], value, f"{path}{name}.")


def _properties(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        for name, about in properties.items():
            if isinstance(about, Mapping):
                yield name, about
