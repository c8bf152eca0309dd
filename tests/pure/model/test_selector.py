"""The selector language: what parses, what it matches, how it is written back, how it is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tortie.base.errors import Invalid
from tortie.model.selector import Selector, nodes, parse

WEB = {"role": "web", "empty": "", "in": "a", "all": "x"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        (" \t", True),
        ("all()", True),
        ("all( \t)", True),
        ("global()", True),
        ("role == 'web'", True),
        ('role == "web"', True),
        ("role == 'db'", False),
        ("role=='web'", True),
        ("absent == ''", False),
        ("empty == ''", True),
        ("role != 'db'", True),
        ("absent != 'x'", True),
        ("role != 'web'", False),
        ("has(role)", True),
        ("has( role )", True),
        ("has(empty)", True),
        ("has(absent)", False),
        ("!has(absent)", True),
        ("!!has(absent)", False),
        ("! ! has(role)", True),
        ("role in {'web', 'db'}", True),
        ("role in{'web'}", True),
        ("role in {}", False),
        ("role in {'web',}", True),
        ("absent in {''}", False),
        ("role not in {'db'}", True),
        ("role notin {'web'}", False),
        ("role not\tin {}", True),
        ("absent not in {'x'}", True),
        ("role contains 'e'", True),
        ("role contains ''", True),
        ("absent contains ''", False),
        ("role starts with 'we'", True),
        ("role startswith 'b'", False),
        ("role ends  with 'b'", True),
        ("role endswith 'w'", False),
        ("in in {'a'}", True),
        ("all == 'x'", True),
        ("has == 'x'", False),
        ("9.a/b-c_d != 'x'", True),
        ("!role == 'db' && all == 'y'", False),
        ("role == 'db' && absent == 'x' || all == 'x'", True),
        ("role == 'db' && (absent == 'x' || all == 'x')", False),
        ("role == 'it\"s' || role == \"it's\"", False),
        ("role != 'two\nlines ü'", True),
    ],
)
def test_a_selector_matches_as_written(text: str, expected: bool) -> None:
    assert parse(text).matches(WEB) is expected


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", "all()"),
        ("a=='b'", 'a == "b"'),
        ("a == 'b\"c'", "a == 'b\"c'"),
        ("a in {'b','a','b'}", 'a in {"a", "b"}'),
        ("a notin{}", "a not in {}"),
        ("a startswith 'x'", 'a starts with "x"'),
        ("a=='b'&&c=='d'", '(a == "b" && c == "d")'),
        ("a=='b'||c=='d'&&has(e)", '(a == "b" || (c == "d" && has(e)))'),
        ("((has(a)))", "has(a)"),
        ("!(has(a) && has(b))", "!(has(a) && has(b))"),
        ("!!!has(a)", "!has(a)"),
        ("!(!has(a))", "has(a)"),
        ("!((!(!has(a))))", "!has(a)"),
        ("!(!has(a) && has(b))", "!(!has(a) && has(b))"),
    ],
)
def test_canonical_text(text: str, canonical: str) -> None:
    assert parse(text).canonical == canonical
    assert parse(canonical) == parse(text)
    assert hash(parse(canonical)) == hash(parse(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a == 'b", "unterminated string"),
        ("a = 'b'", "expected =="),
        ("has(a) & has(b)", "expected &&"),
        ("has(a) | has(b)", "expected ||"),
        ("a inx {'b'}", 'expected operator after label "a"'),
        ("a 'b'", 'expected operator after label "a"'),
        ("a\n== 'b'", 'expected operator after label "a"'),
        ("$", "expected identifier"),
        ("has()", "expected identifier"),
        ("has(a", "no closing ')' after has("),
        ("all(a)", "no closing ')' after all("),
        ("global(", "no closing ')' after global("),
        ("a" * 513 + " == 'x'", "label too long: " + "a" * 513),
        ("a", "unexpected end of string looking for op"),
        ("has(a) &&", "unexpected end of string looking for op"),
        ("!", "unexpected end of string looking for op"),
        ("(has(a)", "expected )"),
        ("a in {'b'", "expected }"),
        ("a in {'b' 'c'}", "expected }"),
        ("a in {,}", "expected string"),
        ("a == b", "expected string"),
        ("a in 'b'", "expected set literal"),
        ("has(a) has(b)", "unexpected content at end of selector [has 'b']"),
        ("a == 'b' c == 'd'", "unexpected content at end of selector [label 'c' == string 'd']"),
        ("all())", "unexpected content at end of selector [)]"),
        ("&& has(a)", "unexpected token &&"),
        ("(" * 500 + "all()" + ")" * 500, "selector is nested deeper than 64 brackets"),
    ],
)
def test_what_is_no_selector_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(text)
    assert str(caught.value) == message


LABELS = st.sampled_from(["a", "b", "in", "not", "has", "all", "contains", "x.y/z-1"])
VALUES = st.text(alphabet=st.sampled_from("ab'\" \n{}(),&"), max_size=4).filter(lambda v: not ("'" in v and '"' in v))
LEAVES: st.SearchStrategy[nodes.Node] = st.one_of(
    st.just(nodes.All()),
    st.builds(nodes.Has, LABELS),
    st.builds(nodes.Equal, LABELS, VALUES),
    st.builds(nodes.NotEqual, LABELS, VALUES),
    st.builds(nodes.Contains, LABELS, VALUES),
    st.builds(nodes.StartsWith, LABELS, VALUES),
    st.builds(nodes.EndsWith, LABELS, VALUES),
    st.builds(nodes.In, LABELS, st.frozensets(VALUES, max_size=3)),
    st.builds(nodes.NotIn, LABELS, st.frozensets(VALUES, max_size=3)),
)


def _branches(children: st.SearchStrategy[nodes.Node]) -> st.SearchStrategy[nodes.Node]:
    several = st.lists(children, min_size=2, max_size=3).map(tuple)
    plain = children.filter(lambda node: not isinstance(node, nodes.Not))
    return st.one_of(st.builds(nodes.Not, plain), st.builds(nodes.And, several), st.builds(nodes.Or, several))


TREES = st.recursive(LEAVES, _branches, max_leaves=8)


@settings(deadline=None)
@given(TREES, st.dictionaries(LABELS, VALUES, max_size=4))
def test_the_canonical_text_means_the_same(node: nodes.Node, labels: dict[str, str]) -> None:
    again = parse(node.canonical)
    assert again == Selector.of(node)
    assert again.node == node
    assert again.matches(labels) is node.matches(labels)


@settings(deadline=None)
@given(st.text(alphabet="abin(){}'\"&|!=, ", max_size=24))
def test_any_text_is_parsed_or_refused_never_a_crash(text: str) -> None:
    try:
        selector = parse(text)
    except Invalid:
        return
    assert parse(selector.canonical) == selector


@settings(deadline=None)
@given(TREES)
def test_renamed_labels_and_back_is_the_same(node: nodes.Node) -> None:
    there = nodes.map_labels(node, lambda label: f"pcns.{label}")
    assert nodes.map_labels(there, lambda label: label.removeprefix("pcns.")) == node
