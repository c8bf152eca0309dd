"""Options of packages: defaults, merging, and the problems of those that a schema forbids."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.base.errors import Invalid
from tortie.packages.options import defaults, idle, idle_defaults, merge
from tortie.packages.schema import problems

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "etcd": {
            "type": "object",
            "properties": {
                "cpus": {"type": "number", "minimum": 0.01, "default": 0.2},
                "name": {"type": "string", "pattern": "^[a-z]+$", "default": "etcd"},
                "list": {"type": "array", "items": {"type": "integer", "default": 7}, "default": [1, 2]},
                "mode": {"enum": ["a", "b"]},
                "old": {"type": "string", "required": True},
            },
            "required": ["cpus"],
        },
        "plain": {"type": "object", "default": {"x": 1}, "properties": {"y": {"default": 2}}},
        "empty": {"type": "object", "properties": {"z": {"type": "string"}}},
    },
}


def test_defaults_are_those_of_properties_only() -> None:
    assert defaults(SCHEMA) == {"etcd": {"cpus": 0.2, "name": "etcd", "list": [1, 2]}, "plain": {"x": 1}}
    assert defaults({"oneOf": [{"properties": {"a": {"default": 1}}}]}) == {}
    assert defaults({"properties": {"a": {"patternProperties": {"x": {"default": 1}}}}}) == {}
    assert defaults({"properties": {"off": {"default": False}, "none": {"default": None}}}) == {
        "off": False,
        "none": None,
    }
    assert defaults({"properties": ["no", "object"]}) == {}


MERGES: list[tuple[Any, Any, Any]] = [
    ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
    ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
    ({"a": {"b": 1}}, {"a": None}, {"a": None}),
    ({"a": None}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ({"resource": {"x": "mine", "y": 1}}, {"resource": {"x": "theirs"}}, {"resource": {"x": "theirs", "y": 1}}),
]


@pytest.mark.parametrize(("below", "above", "merged"), MERGES)
def test_objects_are_merged_and_all_else_is_replaced(below: Any, above: Any, merged: Any) -> None:
    assert merge(below, above) == merged


def test_an_option_that_is_there_for_the_original_s_sake_is_named() -> None:
    schema = {"properties": {"a b": {"properties": {"zk": {"description": "Has no effect: there is none."}, "x": {}}}}}
    assert list(idle(schema, {"a b": {"zk": "z", "x": 1}})) == ["option a b.zk has no effect: there is none."]


def test_what_of_a_cluster_s_defaults_has_no_effect_is_named() -> None:
    schemas = {"etcd": SCHEMA, "bare": None}
    site: dict[str, dict[str, Any]] = {"ectd": {}, "etcd": {"etcd": {"cpu": 1}}, "bare": {"x": 1}}
    assert idle_defaults(schemas, site) == [
        "bare: option x is not one of this package and has no effect",
        "ectd: no such package; did you mean etcd?",
        "etcd: option etcd.cpu is not one of this package and has no effect; did you mean etcd.cpus?",
    ]
    assert not idle_defaults(schemas, {"etcd": {"etcd": {"cpus": 1}}})


def test_a_misspelt_option_is_named_with_the_nearest() -> None:
    found = list(idle(SCHEMA, {"etcd": {"cpu": 1, "cpus": 1}, "ectd": {}}))
    assert found == [
        "option etcd.cpu is not one of this package and has no effect; did you mean etcd.cpus?",
        "option ectd is not one of this package and has no effect; did you mean etcd?",
    ]
    assert not list(idle({"properties": {"a": {}}, "additionalProperties": True}, {"b": 1}))


# The schema, the value, the keyword, the pointer into the value, the message, and the fields that clients read.
REFUSED: list[tuple[Any, Any, str, str, str, dict[str, Any]]] = [
    (
        {"properties": {"nodes": {"properties": {"count": {"type": "number", "minimum": 3}}}}},
        {"nodes": {"count": 2}},
        "minimum",
        "/nodes/count",
        "numeric instance is lower than the required minimum (minimum: 3, found: 2)",
        {"minimum": 3, "found": 2, "schema": {"loadingURI": "#", "pointer": "/properties/nodes/properties/count"}},
    ),
    (
        {"type": "number"},
        "x",
        "type",
        "",
        'instance type (string) does not match any allowed primitive type (allowed: ["integer","number"])',
        {"found": "string", "expected": ["integer", "number"], "level": "error", "domain": "validation"},
    ),
    (
        {"required": ["mem", "cpus"]},
        {"mem": 1},
        "required",
        "",
        'object has missing required properties (["cpus"])',
        {"missing": ["cpus"], "required": ["cpus", "mem"]},
    ),
    (
        {"properties": {"a": {}}, "additionalProperties": False},
        {"a": 1, "x": 1},
        "additionalProperties",
        "",
        'object instance has properties which are not allowed by the schema: ["x"]',
        {"unwanted": ["x"]},
    ),
    (
        {"enum": ["a", "b"]},
        "c",
        "enum",
        "",
        'instance value ("c") not found in enum (possible values: ["a","b"])',
        {"value": "c", "enum": ["a", "b"]},
    ),
    (
        {"pattern": "^a$"},
        "b",
        "pattern",
        "",
        'ECMA 262 regex "^a$" does not match input string "b"',
        {"regex": "^a$", "string": "b"},
    ),
    (
        {"maximum": 1, "exclusiveMaximum": True},
        1,
        "maximum",
        "",
        "numeric instance is not strictly lower than the required maximum 1",
        {"maximum": 1},
    ),
]


@pytest.mark.parametrize(("schema", "value", "keyword", "pointer", "message", "fields"), REFUSED)
def test_problems_in_the_words_that_clients_read(
    schema: Any, value: Any, keyword: str, pointer: str, message: str, fields: dict[str, Any]
) -> None:
    [found] = problems(schema, value)
    assert (found["keyword"], found["instance"], found["message"]) == (keyword, {"pointer": pointer}, message)
    assert {name: found[name] for name in fields} == fields


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer"}, 1.5),
        ({"type": "integer"}, True),
        ({"type": ["string", "null"]}, 1),
        ({"maximum": 3}, 4),
        ({"multipleOf": 2}, 3),
        ({"minLength": 2}, "a"),
        ({"maxLength": 2}, "abc"),
        ({"minItems": 1}, []),
        ({"maxItems": 1}, [1, 2]),
        ({"uniqueItems": True}, [{"a": 1}, {"a": 1}]),
        ({"minProperties": 1}, {}),
        ({"maxProperties": 1}, {"a": 1, "b": 2}),
        ({"items": {"type": "string"}}, ["a", 1]),
        ({"items": [{"type": "string"}], "additionalItems": False}, ["a", "b"]),
        ({"items": [{}], "additionalItems": {"type": "null"}}, ["a", "b"]),
        ({"patternProperties": {"^x": {"type": "string"}}}, {"xa": 1}),
        ({"additionalProperties": {"type": "string"}}, {"a": 1}),
        ({"dependencies": {"a": ["b"]}}, {"a": 1}),
        ({"dependencies": {"a": {"required": ["b"]}}}, {"a": 1}),
        ({"allOf": [{}, {"type": "string"}]}, 1),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 1),
        ({"oneOf": [{"type": "integer"}, {"minimum": 0}]}, 1),
        ({"not": {"type": "integer"}}, 1),
        ({"$ref": "#/definitions/a", "definitions": {"a": {"type": "string"}}}, 1),
        ({"enum": [1]}, True),
    ],
)
def test_what_each_keyword_refuses(schema: Any, value: Any) -> None:
    assert problems(schema, value)


def test_several_schemas_of_which_none_is_followed_tell_what_each_wants() -> None:
    schema = {"anyOf": [{"properties": {"a": {"enum": [1]}}}, {"properties": {"b": {"enum": [1]}}}]}
    [found] = problems({"properties": {"x": schema}}, {"x": {"a": 2, "b": 2}})
    told = {where: [one["instance"]["pointer"] for one in some] for where, some in found["reports"].items()}
    assert told == {"/anyOf/0": ["/x/a"], "/anyOf/1": ["/x/b"]}
    assert not problems(schema, {"a": 2, "b": 1})
    [both] = problems({"oneOf": schema["anyOf"]}, {"a": 1, "b": 1})
    assert both["matched"] == 2


def test_patterns_are_those_of_ecma() -> None:
    for pattern, good, bad in (
        ("^a$", "a", "a\n"),
        ("^[$]$", "$", "a"),
        (r"^\$a$", "$a", "a"),
        (r"^[\]$]$", "$", "]$"),
        (r"^\d$", "7", "\u0667"),
        ("a$|b", "bc", "ac"),
    ):
        assert not problems({"pattern": pattern}, good), pattern
        assert problems({"pattern": pattern}, bad), pattern


def test_every_problem_is_named() -> None:
    value = {"etcd": {"cpus": 0, "name": "A", "mode": "c", "list": ["x"]}}
    found = {one["instance"]["pointer"] for one in problems(SCHEMA, value)}
    assert found == {"/etcd/cpus", "/etcd/name", "/etcd/mode", "/etcd/list/0"}


def test_what_draft_4_does_not_know_says_nothing() -> None:
    assert not problems({"required": True, "format": "uri", "properties": {"a": {"required": "no"}}}, {"a": 1})
    assert not problems({"minimum": "many", "pattern": 7, "enum": 3, "type": "any", "items": 1}, 1)
    assert not problems([], 1)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "http://example.com/schema"},
        {"$ref": "#/nowhere"},
        {"pattern": "("},
        {"allOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
    ],
)
def test_schemas_that_cannot_be_used_are_refused_soon(schema: Any) -> None:
    with pytest.raises(Invalid):
        problems(schema, "x")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
WORDS = st.sampled_from(
    ["type", "properties", "required", "enum", "minimum", "items", "anyOf", "not", "additionalProperties", "pattern"]
)


@given(st.dictionaries(WORDS, JSON | st.dictionaries(WORDS, JSON), max_size=4), JSON)
def test_any_schema_and_any_value_end_in_an_answer(schema: Any, value: Any) -> None:
    with contextlib.suppress(Invalid):
        assert all(one["message"] and one["keyword"] for one in problems(schema, value))


@given(JSON, JSON)
def test_what_is_merged_over_wins_or_is_merged(below: Any, above: Any) -> None:
    merged = merge({"a": below}, {"a": above})
    if isinstance(below, dict) and isinstance(above, dict):
        assert set(merged["a"]) == {*below, *above}
    else:
        assert merged == {"a": above}
