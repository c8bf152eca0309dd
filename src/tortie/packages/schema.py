"""JSON schema, draft 4, with the words and fields that clients of Cosmos read out of its problems. Pure.

Where a schema says something that draft 4 does not know (`"required": true` of draft 3, a `format`), it says nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeAlias

from tortie.base.errors import Invalid

DEEPEST = 100
MOST_CHECKS = 200_000
"""A schema of a few lines that refers to itself twice would never end."""
Problem: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where we are: in the schema and in the instance, as pointers; `root` is what `$ref` looks into."""

    root: Any
    schema: str = ""
    instance: str = ""
    depth: int = 0
    checks: Iterator[int] = field(default_factory=count)

    def down(self, schema: str, instance: str | None = None) -> Place:
        inside = self.instance if instance is None else f"{self.instance}/{_escaped(instance)}"
        return Place(self.root, f"{self.schema}/{schema}", inside, self.depth + 1, self.checks)

    def problem(self, keyword: str, message: str, **more: Any) -> Problem:
        return {
            "level": "error",
            "schema": {"loadingURI": "#", "pointer": self.schema},
            "instance": {"pointer": self.instance},
            "domain": "validation",
            "keyword": keyword,
            "message": message,
            **more,
        }


def problems(schema: Any, value: Any) -> list[Problem]:
    """Every violation. Raises Invalid when the schema cannot be used."""
    return list(_check(schema, value, Place(schema)))


def _check(schema: Any, value: Any, place: Place) -> Iterator[Problem]:
    if place.depth > DEEPEST:
        raise Invalid(f"the schema leads deeper than {DEEPEST} levels at {place.schema[:200]}")
    if next(place.checks) > MOST_CHECKS:
        raise Invalid(f"the schema asks for more than {MOST_CHECKS} checks")
    if not isinstance(schema, Mapping):
        return
    if isinstance(reference := schema.get("$ref"), str):
        yield from _check(_referred(place.root, reference), value, place.down("$ref"))
        return
    for keyword, wanted in schema.items():
        if (check := _KEYWORDS.get(keyword)) is not None:
            yield from check(wanted, value, place, schema)


def _referred(root: Any, reference: str) -> Any:
    if not reference.startswith("#"):
        raise Invalid(f"the schema refers to {reference}: only places in itself (#/...) are known")
    found = root
    for part in reference[1:].split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping) and name in found:
            found = found[name]
        else:
            raise Invalid(f"the schema refers to {reference}, which it does not have")
    return found


def type_of(value: Any) -> str:
    """The type as draft 4 names it; a number without a fraction is an integer."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return "integer"
    names = ((float, "number"), (str, "string"), (Mapping, "object"), (list, "array"))
    return next((name for kind, name in names if isinstance(value, kind)), "null")


def _type(wanted: Any, value: Any, place: Place, _: Mapping[str, Any]) -> Iterator[Problem]:
    names = [name for name in (wanted if isinstance(wanted, list) else [wanted]) if isinstance(name, str)]
    allowed = sorted({*names, *(["integer"] if "number" in names else [])})
    found = type_of(value)
    if names and "any" not in names and found not in allowed:
        message = f"instance type ({found}) does not match any allowed primitive type (allowed: {_json(allowed)})"
        yield place.problem("type", message, found=found, expected=allowed)


def _properties(wanted: Any, value: Any, place: Place, _: Mapping[str, Any]) -> Iterator[Problem]:
    if isinstance(wanted, Mapping) and isinstance(value, Mapping):
        for name, inside in wanted.items():
            if name in value:
                yield from _check(inside, value[name], place.down(f"properties/{_escaped(name)}", name))


def _pattern_properties(wanted: Any, value: Any, place: Place, _: Mapping[str, Any]) -> Iterator[Problem]:
    if isinstance(wanted, Mapping) and isinstance(value, Mapping):
        for pattern, inside in wanted.items():
            for name in value:
                if _matcher(pattern).search(name):
                    down = place.down(f"patternProperties/{_escaped(pattern)}", name)
                    yield from _check(inside, value[name], down)


def _additional(wanted: Any, value: Any, place: Place, schema: Mapping[str, Any]) -> Iterator[Problem]:
    if not isinstance(value, Mapping) or not (wanted is False or isinstance(wanted, Mapping)):
        return
    named, patterns = _mapping(schema.get("properties")), _mapping(schema.get("patternProperties"))
    extra = sorted(
        name for name in value if name not in named and not any(_matcher(one).search(name) for one in patterns)
    )
    if wanted is False:
        if extra:
            message = f"object instance has properties which are not allowed by the schema: {_json(extra)}"
            yield place.problem("additionalProperties", message, unwanted=extra)
        return
    for name in extra:
        yield from _check(wanted, value[name], place.down("additionalProperties", name))


def _required(wanted: Any, value: Any, place: Place, _: Mapping[str, Any]) -> Iterator[Problem]:
    if isinstance(wanted, list) and isinstance(value, Mapping):
        names = sorted(name for name in wanted if isinstance(name, str))
        if missing := [name for name in names if name not in value]:
            message = f"object has missing required properties ({_json(missing)})"
            yield place.problem("required", message, required=names, missing=missing)


def _enum(wanted: Any, value: Any, place: Place, _: Mapping[str, Any]) -> Iterator[Problem]:
    if isinstance(wanted, list) and not any(_same(value, one) for one in wanted):
        message = f"instance value ({_json(value)}) not found in enum (possible values: {_json(wanted)})"
        yield place.problem("enum", message, value=value, enum=wanted)


def _pattern(wanted: Any, value: Any, place: Place, _: Mapping[str, Any]) -> Iterator[Problem]:
    if isinstance(wanted, str) and isinstance(value, str) and not _matcher(wanted).search(value):
        message = f"ECMA 262 regex {_json(wanted)} does not match input string {_json(value)}"
        yield place.problem("pattern", message, regex=wanted, string=value)


def _minimum(wanted: Any, value: Any, place: Place, schema: Mapping[str, Any]) -> Iterator[Problem]:
    if not (_number(wanted) and _number(value)):
        return
    if value < wanted:
        message = f"numeric instance is lower than the required minimum (minimum: {wanted}, found: {value})"
        yield place.problem("minimum", message, minimum=wanted, found=value)
    elif value == wanted and schema.get("exclusiveMinimum") is True:
        message = f"numeric instance is not strictly greater than the required minimum {wanted}"
        yield place.problem("minimum", message, minimum=wanted, found=value, exclusiveMinimum=True)


def _maximum(wanted: Any, value: Any, place: Place, schema: Mapping[str, Any]) -> Iterator[Problem]:
    if not (_number(wanted) and _number(value)):
        return
    if value > wanted:
        message = f"numeric instance is greater than the required maximum (maximum: {wanted}, found: {value})"
        yield place.problem("maximum", message, maximum=wanted, found=value)
    elif value == wanted and schema.get("exclusiveMaximum") is True:
        message = f"numeric instance is not strictly lower than the required maximum {wanted}"
        yield place.problem("maximum", message, maximum=wanted, found=value, exclusiveMaximum=True)


def _multiple_of(wanted: Any, value: Any, place: Place, _: Mapping[str, Any]) -> Iterator[Problem]:
    if _number(wanted) and _number(value) and wanted > 0:
        times = value / wanted
        if times != round(times):
            message = f"remainder of division is not zero ({value} / {wanted})"
            yield place.problem("multipleOf", message, value=value, divisor=wanted)


Size: TypeAlias = tuple[type[str] | type[list[Any]] | type[dict[str, Any]], str, bool, str]
_SIZES: Mapping[str, Size] = {
    "minLength": (str, "string", True, "characters"),
    "maxLength": (str, "string", False, "characters"),
    "minItems": (list, "array", True, "elements"),
    "maxItems": (list, "array", False, "elements"),
    "minProperties": (dict, "object", True, "properties"),
    "maxProperties": (dict, "object", False, "properties"),
}


def _size(keyword: str) -> Callable[[Any, Any, Place, Mapping[str, Any]], Iterator[Problem]]:
    kind, noun, least, unit = _SIZES[keyword]

    def check(wanted: Any, value: Any, place: Place, _: Mapping[str, Any]) -> Iterator[Problem]:
        if not isinstance(value, kind) or not _number(wanted):
            return
        have = len(value)
        if have < wanted if least else have > wanted:
            word, limit = ("short", "at least") if least else ("long", "at most")
            message = f"{noun} is too {word}: must have {limit} {wanted} {unit} but instance has {have} {unit}"
            yield place.problem(keyword, message, value=value, found=have, **{keyword: wanted})

    return check


def _items(wanted: Any, value: Any, place: Place, schema: Mapping[str, Any]) -> Iterator[Problem]:
    if not isinstance(value, list):
        return
    if isinstance(wanted, Mapping):
        for number, item in enumerate(value):
            yield from _check(wanted, item, place.down("items", str(number)))
    elif isinstance(wanted, list):
        for number, (inside, item) in enumerate(zip(wanted, value, strict=False)):
            yield from _check(inside, item, place.down(f"items/{number}", str(number)))
        yield from _more_items(schema.get("additionalItems"), value, len(wanted), place)


def _more_items(wanted: Any, value: list[Any], known: int, place: Place) -> Iterator[Problem]:
    if wanted is False and len(value) > known:
        message = f"array instance has more elements than the schema has places ({len(value)}, allowed: {known})"
        yield place.problem("additionalItems", message, allowed=known, found=len(value))
    elif isinstance(wanted, Mapping):
        for number in range(known, len(value)):
            yield from _check(wanted, value[number], place.down("additionalItems", str(number)))


def _unique(wanted: Any, value: Any, place: Place, _: Mapping[str, Any]) -> Iterator[Problem]:
    if wanted is True and isinstance(value, list):
        seen = [_json(item) for item in value]
        if len(set(seen)) < len(seen):
            yield place.problem("uniqueItems", "array has duplicate elements", value=value)


def _dependencies(wanted: Any, value: Any, place: Place, _: Mapping[str, Any]) -> Iterator[Problem]:
    if not isinstance(wanted, Mapping) or not isinstance(value, Mapping):
        return
    for name, needs in wanted.items():
        down = place.down(f"dependencies/{_escaped(name)}")
        if name in value and isinstance(needs, list):
            if missing := sorted(str(one) for one in needs if one not in value):
                message = f"property {_json(name)} of object has missing property dependencies ({_json(missing)})"
                yield down.problem("dependencies", message, property=name, required=needs, missing=missing)
        elif name in value:
            yield from _check(needs, value, down)


def _all_of(wanted: Any, value: Any, place: Place, _: Mapping[str, Any]) -> Iterator[Problem]:
    for number, one in enumerate(wanted if isinstance(wanted, list) else ()):
        yield from _check(one, value, place.down(f"allOf/{number}"))


def _reports(keyword: str, wanted: Any, value: Any, place: Place) -> dict[str, list[Problem]]:
    """What the value lacks of each of several schemas, by their places; nothing of those that it follows."""
    alternatives = wanted if isinstance(wanted, list) else []
    return {
        f"/{keyword}/{n}": list(_check(one, value, place.down(f"{keyword}/{n}"))) for n, one in enumerate(alternatives)
    }


def _any_of(wanted: Any, value: Any, place: Place, _: Mapping[str, Any]) -> Iterator[Problem]:
    reports = _reports("anyOf", wanted, value, place)
    if reports and all(reports.values()):
        message = "instance failed to match at least one required schema among " + str(len(reports))
        yield place.problem("anyOf", message, nrSchemas=len(reports), reports=reports)


def _one_of(wanted: Any, value: Any, place: Place, _: Mapping[str, Any]) -> Iterator[Problem]:
    reports = _reports("oneOf", wanted, value, place)
    matched = sum(not found for found in reports.values())
    if reports and matched != 1:
        message = f"instance failed to match exactly one schema (matched {matched} out of {len(reports)})"
        yield place.problem("oneOf", message, nrSchemas=len(reports), matched=matched, reports=reports)


def _not(wanted: Any, value: Any, place: Place, _: Mapping[str, Any]) -> Iterator[Problem]:
    if isinstance(wanted, Mapping) and not any(_check(wanted, value, place.down("not"))):
        yield place.problem("not", "instance matched a schema which it should not have")


_Check: TypeAlias = Callable[[Any, Any, Place, Mapping[str, Any]], Iterator[Problem]]
_KEYWORDS: Mapping[str, _Check] = {
    "type": _type,
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional,
    "required": _required,
    "enum": _enum,
    "pattern": _pattern,
    "minimum": _minimum,
    "maximum": _maximum,
    "multipleOf": _multiple_of,
    **{keyword: _size(keyword) for keyword in _SIZES},
    "items": _items,
    "uniqueItems": _unique,
    "dependencies": _dependencies,
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
}


_AT_END = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\$", re.DOTALL)
"""What is escaped, a class, or ECMA's end: that of Python also stands before a last line's end."""


def _matcher(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(_AT_END.sub(lambda found: r"\Z" if found[0] == "$" else found[0], pattern), re.ASCII)
    except (re.error, RecursionError, OverflowError) as error:
        raise Invalid(f"the schema's pattern {pattern[:200]!r} cannot be read: {error}") from error


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1 is 1.0 and never true."""
    return one == other and (isinstance(one, bool) == isinstance(other, bool))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
