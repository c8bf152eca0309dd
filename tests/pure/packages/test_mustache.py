"""Templates as Cosmos renders them: what a value looks like in JSON, what opens a section, what cannot be read."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.base.errors import Invalid
from tortie.packages.mustache import DEEPEST, render

VALUES: list[tuple[Any, str]] = [
    (True, "true"),
    (False, "false"),
    (None, ""),
    (128.0, "128"),
    (0.2, "0.2"),
    (3, "3"),
    (-1, "-1"),
    ("a", "a"),
    ('say "a\\b"\n', 'say \\"a\\\\b\\"\\n'),
    ("<&'>", "<&'>"),
    ("ü", "ü"),
    (["a", "b"], '["a", "b"]'),
    ([1.0, True, None], "[1, true, null]"),
    ([], "[]"),
]


@pytest.mark.parametrize(("value", "text"), VALUES)
@pytest.mark.parametrize("tag", ["{{x}}", "{{{x}}}", "{{&x}}", "{{ x }}"])
def test_a_value_as_it_stands_in_the_text(tag: str, value: Any, text: str) -> None:
    assert render(f"<{tag}>", {"x": value}) == f"<{text}>"


@pytest.mark.parametrize("value", [True, 0, 0.0, 1, "a", " ", [1], {"a": 1}, {}])
def test_what_opens_a_section(value: Any) -> None:
    assert render("{{#x}}yes{{/x}}{{^x}}no{{/x}}", {"x": value}) == "yes"


@pytest.mark.parametrize("context", [{"x": False}, {"x": None}, {"x": ""}, {"x": []}, {}])
def test_what_does_not(context: dict[str, Any]) -> None:
    assert render("{{#x}}yes{{/x}}{{^x}}no{{/x}}", context) == "no"


TEMPLATES: list[tuple[str, dict[str, Any], str]] = [
    ("{{Framework Settings.cpu-limit}}", {"Framework Settings": {"cpu-limit": 0.2}}, "0.2"),
    ("{{a.b.c}}|{{a.x.c}}|{{nothing}}", {"a": {"b": {"c": 1}}}, "1||"),
    ("{{#a}}{{b}}{{c}}{{/a}}", {"a": {"b": 1}, "c": 2}, "12"),
    ("{{#l}}{{.}},{{/l}}", {"l": [1, "x", True]}, "1,x,true,"),
    ("{{#l}}{{n}}{{/l}}", {"l": [{"n": 1}, {"n": 2}]}, "12"),
    ("{{! a word }}a{{!}}b", {}, "ab"),
    ("{{=<% %>=}}<% x %>{{x}}<%={{ }}=%>{{x}}", {"x": 1}, "1{{x}}1"),
    ("a\n  {{#x}}\n  b\n  {{/x}}\nc\n", {"x": True}, "a\n  b\nc\n"),
    ("a\n  {{#x}}\n  b\n  {{/x}}\nc", {"x": False}, "a\nc"),
    ("{{#x}}\r\nb\r\n{{/x}}\r\n", {"x": True}, "b\r\n"),
    ("a {{#x}} b {{/x}} c", {"x": True}, "a  b  c"),
    ("{{#asJson}}text{{/asJson}}", {"text": '{"a": 1}'}, '{"a": 1}'),
    ("{{#asJson}}text{{/asJson}}", {"text": 1}, "null"),
    ("{ {{x}} }", {"x": 1}, "{ 1 }"),
    ("{{{x}}}}", {"x": 1}, "1}"),
]


@pytest.mark.parametrize(("template", "context", "text"), TEMPLATES)
def test_templates(template: str, context: dict[str, Any], text: str) -> None:
    assert render(template, context) == text


BROKEN = [
    ("a\n{{x", "line 2: a tag without an end"),
    ("{{}}", "line 1: a tag without a name"),
    ("{{{x}}", "line 1: a tag without an end"),
    ("{{#a}}", "{{#a}} is not closed"),
    ("{{/a}}", "{{/a}} closes nothing"),
    ("{{#a}}\n{{/b}}", "line 2: {{/b}} where {{/a}} was expected"),
    ("{{>other}}", "has no other to include"),
    ("{{=x=}}", "two new delimiters"),
    ("{{#a}}" * (DEEPEST + 1), "sections inside each other"),
]


@pytest.mark.parametrize(("template", "words"), BROKEN)
def test_templates_that_cannot_be_read(template: str, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        render(template, {})
    assert words in str(caught.value)


def test_lists_inside_lists_end() -> None:
    template = "{{#l}}" * 40 + "x" + "{{/l}}" * 40
    with pytest.raises(Invalid, match="more than"):
        render(template, {"l": [1] * 10})


@given(st.dictionaries(st.sampled_from("abc"), st.text() | st.booleans() | st.integers() | st.none()))
def test_strings_stay_strings_of_json(context: dict[str, Any]) -> None:
    template = '{"a": "{{a}}", "b": "{{b}}", "c": ["{{c}}"]}'
    found = json.loads(render(template, context))
    for name, value in (("a", found["a"]), ("b", found["b"]), ("c", found["c"][0])):
        given_value = context.get(name)
        assert given_value == value if isinstance(given_value, str) else isinstance(value, str)


@given(st.text(alphabet="{}#^/!&>= ab.\n"))
def test_any_text_is_rendered_or_refused(template: str) -> None:
    with contextlib.suppress(Invalid):
        assert isinstance(render(template, {"a": {"b": [1, "x"]}, "b": True}), str)
