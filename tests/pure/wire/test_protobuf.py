"""Protocol buffers by table: known bytes, everything there and back, and no input that breaks the reader."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.base.errors import Invalid
from tortie.wire.mesos_fields import SCHEMA
from tortie.wire.protobuf import Schema, from_bytes, to_bytes

SMALL = Schema(
    {
        "M": "s=1 s, b=2 b, d=3 d, i=4 i, u=5 u, I=6 I, U=7 U, B=8 B, e=9 E, m=10 M, many=11* s, counts=12* i, "
        "places=13* M, named=14 map<string, M.Inner>, inner=15 Inner",
        "M.Inner": "x=1! i, kind=2 E",
        "Big": "x=1 U, other=2 M.Inner",
    },
    {"E": "ZERO=0 ONE=1 BIG=300", "M.Inner.Deep": "A=1"},
)


def documents(depth: int = 2) -> st.SearchStrategy[dict[str, Any]]:
    inner = st.fixed_dictionaries(
        {"x": st.integers(-(1 << 31), (1 << 31) - 1)}, optional={"kind": st.sampled_from(["ZERO", "ONE", "BIG"])}
    )
    fields: dict[str, st.SearchStrategy[Any]] = {
        "s": st.text(),
        "b": st.booleans(),
        "d": st.floats(allow_nan=False),
        "i": st.integers(-(1 << 31), (1 << 31) - 1),
        "u": st.integers(0, (1 << 32) - 1),
        "I": st.integers(-(1 << 63), (1 << 63) - 1),
        "U": st.integers(0, (1 << 64) - 1),
        "B": st.binary(),
        "e": st.sampled_from(["ZERO", "ONE", "BIG"]),
        "many": st.lists(st.text(), min_size=1, max_size=3),
        "counts": st.lists(st.integers(-5, 1000), min_size=1, max_size=3),
        "named": st.dictionaries(st.text(), inner, min_size=1, max_size=3),
        "inner": inner,
    }
    if depth:
        fields["m"] = documents(depth - 1)
        fields["places"] = st.lists(documents(depth - 1), min_size=1, max_size=2)
    return st.fixed_dictionaries({}, optional=fields)


@given(documents())
def test_there_and_back(document: dict[str, Any]) -> None:
    assert from_bytes(SMALL, "M", to_bytes(SMALL, "M", document)) == document


@pytest.mark.parametrize(
    ("document", "known"),
    [
        ({"i": 150}, "20 96 01"),
        ({"i": -2}, "20 fe ff ff ff ff ff ff ff ff 01"),
        ({"s": "testing"}, "0a 07 74 65 73 74 69 6e 67"),
        ({"s": ""}, "0a 00"),
        ({"b": True}, "10 01"),
        ({"d": 1.0}, "19 00 00 00 00 00 00 f0 3f"),
        ({"U": (1 << 64) - 1}, "38 ff ff ff ff ff ff ff ff ff 01"),
        ({"e": "BIG"}, "48 ac 02"),
        ({"m": {"i": 150}}, "52 03 20 96 01"),
        ({"m": {}}, "52 00"),
        ({"counts": [1, 2]}, "60 01 60 02"),
        ({"named": {"k": {"x": 1}}}, "72 07 0a 01 6b 12 02 08 01"),
    ],
)
def test_known_bytes(document: dict[str, Any], known: str) -> None:
    assert to_bytes(SMALL, "M", document) == bytes.fromhex(known)
    assert from_bytes(SMALL, "M", bytes.fromhex(known)) == document


def test_a_session_of_mesos() -> None:
    session = {"container_id": {"value": "u", "parent": {"value": "p"}}, "command": {"value": "sh", "shell": False}}
    call = {"type": "LAUNCH_NESTED_CONTAINER_SESSION", "launch_nested_container_session": session}
    known = bytes.fromhex("08 11 4a 12 0a 08 0a 01 75 12 03 0a 01 70 12 06 30 00 1a 02 73 68")
    assert to_bytes(SCHEMA, "agent.Call", call) == known
    assert from_bytes(SCHEMA, "agent.Call", known) == call


def test_base64_stands_for_bytes() -> None:
    assert to_bytes(SMALL, "M", {"B": base64.b64encode(b"ab").decode()}) == to_bytes(SMALL, "M", {"B": b"ab"})


def test_what_is_not_known_is_skipped() -> None:
    extra = bytes.fromhex("a0 06 01 a1 06 0102030405060708 a5 06 01020304 a2 06 02 6162 a3 06 08 01 a4 06")
    assert from_bytes(SMALL, "M", extra + bytes.fromhex("20 96 01")) == {"i": 150}
    assert from_bytes(SMALL, "M", bytes.fromhex("48 05")) == {}
    assert to_bytes(SMALL, "M", {"surprise": 1, "b": None}) == b""


def test_packed_numbers_and_fields_that_come_twice() -> None:
    assert from_bytes(SMALL, "M", bytes.fromhex("62 03 01 96 01")) == {"counts": [1, 150]}
    assert from_bytes(SMALL, "M", bytes.fromhex("20 01 20 02")) == {"i": 2}
    twice = to_bytes(SMALL, "M", {"m": {"i": 1, "many": ["a"]}}) + to_bytes(SMALL, "M", {"m": {"u": 2, "many": ["b"]}})
    assert from_bytes(SMALL, "M", twice) == {"m": {"i": 1, "u": 2, "many": ["a", "b"]}}


@pytest.mark.parametrize(
    "broken",
    [
        "0a 05 61",  # longer than what is there
        "20 ff ff ff ff ff ff ff ff ff ff 01",  # a number of more than ten bytes
        "20",
        "08 01",  # a string as a number
        "0a 02 ff fe",  # not UTF-8
        "00 01",  # field 0
        "a7 06",  # a wire type that does not exist
        "a3 06 08 01",  # a group without end
        "a3 06 ac 06",  # the end of another group
        "7a 00",  # a required field is missing
        "72 02 0a 05",
        "68 01",
    ],
)
def test_what_is_no_message(broken: str) -> None:
    with pytest.raises(Invalid):
        from_bytes(SMALL, "M", bytes.fromhex(broken))


def test_messages_within_messages_without_end() -> None:
    data = b""
    for _ in range(200):
        size = len(data)
        data = b"\x52" + (bytes([size]) if size < 128 else bytes([size & 0x7F | 0x80, size >> 7])) + data
    with pytest.raises(Invalid, match="too deep"):
        from_bytes(SMALL, "M", data)
    with pytest.raises(Invalid):
        from_bytes(SMALL, "M", b"\xa3\x06" * 500)


@given(st.binary(max_size=200), st.sampled_from(["M", "M.Inner"]))
def test_any_bytes_are_read_or_refused(data: bytes, message: str) -> None:
    try:
        found = from_bytes(SMALL, message, data)
    except Invalid:
        return
    assert from_bytes(SMALL, message, to_bytes(SMALL, message, found)) == found


@given(st.binary(max_size=300), st.sampled_from(["agent.Call", "agent.Response", "agent.ProcessIO", "master.Call"]))
def test_any_bytes_are_read_or_refused_as_calls(data: bytes, message: str) -> None:
    try:
        found = from_bytes(SCHEMA, message, data)
    except Invalid:
        return
    assert isinstance(found, dict)


@pytest.mark.parametrize(
    "document",
    [
        {"s": 3},
        {"b": 1},
        {"d": "x"},
        {"i": 1 << 31},
        {"i": 1.5},
        {"i": "x"},
        {"u": -1},
        {"U": 1 << 64},
        {"B": "***"},
        {"B": 5},
        {"e": "TWO"},
        {"e": ["ONE"]},
        {"m": 3},
        {"inner": {}},
        {"s": "\ud800"},
        {"I": float("inf")},
    ],
)
def test_values_that_do_not_fit(document: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        to_bytes(SMALL, "M", document)


def test_every_type_of_the_table_exists() -> None:
    for name in SCHEMA.names:
        numbers = [field.number for field in SCHEMA.fields(name)]
        assert len(numbers) == len(set(numbers)), name
