"""A package's options: defaults of its schema, merged with what a person gives. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tortie.base.meant import meant

RESOURCE = "resource"
"""Where a template finds the package's resource.json."""
NO_EFFECT = "Has no effect"
"""So the description of an option begins that is only there because the original had it."""
_NOTHING_KNOWN: Mapping[str, Any] = {"properties": {"": {}}}


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


def idle_defaults(schemas: Mapping[str, Mapping[str, Any] | None], site: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What of a cluster's defaults has no effect. `schemas`: of every package that there is."""
    found = []
    for name, given in sorted(site.items()):
        if name not in schemas:
            found.append(f"{name}: no such package{meant(name, schemas)}")
        else:
            found += [f"{name}: {line}" for line in idle(schemas[name] or _NOTHING_KNOWN, given)]
    return found


def idle(schema: Mapping[str, Any], given: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """A line for each option that has no effect, since the schema does not name it or says so: nothing else would."""
    known = dict(_properties(schema))
    if not known:
        return
    closed = not (schema.get("additionalProperties") or schema.get("patternProperties"))
    for name, value in given.items():
        about = known.get(name, {})
        if name not in known:
            if closed:
                near = meant(f"{path}{name}", [f"{path}{one}" for one in known])
                yield f"option {path}{name} is not one of this package and has no effect{near}"
        elif str(about.get("description")).startswith(NO_EFFECT):
            yield f"option {path}{name} has no effect{str(about['description']).removeprefix(NO_EFFECT)}"
        elif isinstance(value, Mapping):
            yield from idle(about, value, f"{path}{name}.")


def _properties(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        for name, about in properties.items():
            if isinstance(about, Mapping):
                yield name, about
