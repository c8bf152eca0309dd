from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.base.errors import Invalid
from tortie.mesos.resources import (
    Key,
    Resources,
    from_wire,
    legacy,
    legacy_attributes,
    merged,
    parse,
    parse_attributes,
    to_wire,
    without,
)
from tortie.wire import mesos as wire

pair = st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda p: (p[0], p[0] + p[1]))
ranges = st.lists(pair, max_size=5).map(merged)
bags = st.builds(
    lambda cpus, ports, role: Resources({k: v for k, v in {Key("cpus"): cpus, Key("ports", role): ports}.items() if v}),
    st.integers(0, 9000),
    ranges,
    st.sampled_from(["*", "prod"]),
)


def numbers(of: tuple[tuple[int, int], ...]) -> set[int]:
    return {n for begin, end in of for n in range(begin, end + 1)}


@given(ranges, ranges)
def test_ranges_behave_like_sets_of_numbers(a: tuple[tuple[int, int], ...], b: tuple[tuple[int, int], ...]) -> None:
    assert numbers(merged([*a, *b])) == numbers(a) | numbers(b)
    assert numbers(without(a, b)) == numbers(a) - numbers(b)
    assert merged(without(a, b)) == without(a, b)


@given(bags, bags)
def test_what_is_taken_out_of_a_sum_leaves_the_rest(a: Resources, b: Resources) -> None:
    assert (a + b).holds(a)
    disjoint = b - a
    assert not (a - a)
    assert ((a + disjoint) - disjoint).scalar("cpus") == a.scalar("cpus")


@given(bags)
def test_the_wire_form_reads_back(a: Resources) -> None:
    assert from_wire(to_wire(a)) == a


def test_the_flag_of_the_documents_is_read() -> None:
    found = parse("cpus:2;mem:512.5;ports:[31000-31010,32000-32000];cpus(prod):1;disks:{b,a}")
    assert legacy(found.of_roles("*")) == {
        "cpus": 2,
        "gpus": 0,
        "mem": 512.5,
        "disk": 0,
        "ports": "[31000-31010, 32000-32000]",
        "disks": "{a, b}",
    }
    assert found.of_roles("prod").scalar("cpus") == 1
    assert found.roles() == ["prod"]
    assert parse('[{"name":"cpus","type":"SCALAR","scalar":{"value":3}}]').scalar("cpus") == 3
    assert parse("cpus:1", "slave_public").roles() == ["slave_public"]


@pytest.mark.parametrize(
    "text", ["cpus", "cpus:", "cpus:two", "cpus:-1", "ports:[5-1]", "ports:[a-b]", ":4", "[{]", "cpus(a b):1", "x:abc"]
)
def test_a_flag_that_does_not_parse_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse(text)


def test_a_message_with_a_negative_or_missing_value_is_refused() -> None:
    with pytest.raises(Invalid):
        from_wire([wire.Resource(name="cpus", type="SCALAR", scalar=wire.Scalar(value=-1))])
    with pytest.raises(Invalid):
        from_wire([wire.Resource(name="cpus", type="SCALAR")])


def test_reserved_and_unreserved_never_mix() -> None:
    have = parse("cpus:1;cpus(prod):1")
    assert not have.holds(parse("cpus:2"))
    assert have.holds(parse("cpus(prod):1"))


def test_attributes_get_the_type_of_their_value() -> None:
    found = parse_attributes("rack:abc;level:10;keys:[1000-1500];url:http://x:1/")
    assert legacy_attributes(found) == {"rack": "abc", "level": 10, "keys": "[1000-1500]", "url": "http://x:1/"}
    for bad in ("rack", "a:{x}", ":v"):
        with pytest.raises(Invalid):
            parse_attributes(bad)
