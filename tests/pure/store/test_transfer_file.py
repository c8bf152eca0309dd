"""The file of an export: there and back, and what is wrong with one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.base.errors import Invalid
from tortie.store.transfer import BATCH_BYTES, BATCH_KEYS, batches
from tortie.store.transfer_file import Entry, read, render

PREFIXES = ("/calico/", "/tortie/v1/")
KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5).map(lambda text: "/calico/" + text)


@given(st.dictionaries(KEYS, st.binary(max_size=9) | st.text(max_size=9).map(lambda t: t.encode("utf-8", "replace"))))
def test_there_and_back(held: dict[str, bytes]) -> None:
    entries = [Entry(key, value) for key, value in held.items()]
    data = render(entries, 7)
    assert read(data, PREFIXES) == entries
    assert read(data.rstrip(b"\n"), PREFIXES) == entries


def test_values_that_are_text_are_readable() -> None:
    lines = render([Entry("/calico/a", b'{"kind":"Node"}'), Entry("/calico/b", b"\xff")], 7).splitlines()
    assert lines == [
        b'{"format":"tortie-store/v1","revision":7}',
        b'{"key":"/calico/a","value":"{\\"kind\\":\\"Node\\"}"}',
        b'{"key":"/calico/b","base64":"/w=="}',
        b'{"keys":2}',
    ]


@pytest.mark.parametrize("data", [b"", b"\n", b"\xff\xfe", b"{}", b'{"key":"/calico/a","value":""}\n{"keys":1}'])
def test_something_else_is_no_export(data: bytes) -> None:
    with pytest.raises(Invalid, match="line 1: not the head of an export"):
        read(data, PREFIXES)


def test_a_cut_file_is_noticed_at_every_line_and_byte() -> None:
    data = render([Entry(f"/calico/{number}", b"x") for number in range(3)], 1)
    for cut in range(len(data) - 1):
        with pytest.raises(Invalid):
            read(data[:cut], PREFIXES)


def test_every_line_that_is_wrong_is_told() -> None:
    head, foot = b'{"format":"tortie-store/v1","revision":7}', b'{"keys":8}'
    lines = [
        b'{"key":"/calico/a","value":"1"}',
        b'{"key":"/calico/a","value":"2"}',
        b'{"key":"/registry/a","value":"1"}',
        b'{"key":"/calico/b"}',
        b'{"key":"/calico/c","value":"1","base64":"AA=="}',
        b'{"key":"/calico/d","base64":"*"}',
        b'{"key":"/calico/e","valeu":"1"}',
        b"binary\xff",
    ]
    with pytest.raises(Invalid) as caught:
        read(b"\n".join([head, *lines, foot]), PREFIXES)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [f"line {n}" for n in range(3, 10)]
    with pytest.raises(Invalid) as many:
        read(b"\n".join([head, *[b"x"] * 30, b'{"keys":30}']), PREFIXES)
    assert len(many.value.problems) == 11
    assert many.value.problems[-1] == "and 20 more"
    with pytest.raises(Invalid, match="line 3: says 8 keys, there are 1"):
        read(b"\n".join([head, lines[0], foot]), PREFIXES)
    with pytest.raises(Invalid, match="format 'tortie-store/v9'"):
        read(head.replace(b"v1", b"v9") + b"\n" + foot, PREFIXES)


@given(
    st.lists(st.sampled_from([1, 300, BATCH_BYTES // 3, BATCH_BYTES + 1]), max_size=40)
    | st.lists(st.just(1), max_size=300)
)
def test_batches_hold_everything_in_order_and_stay_small(sizes: list[int]) -> None:
    entries = [Entry(str(number), b"x" * size) for number, size in enumerate(sizes)]
    found = list(batches(entries))
    assert [entry for batch in found for entry in batch] == entries
    for batch in found:
        assert 0 < len(batch) <= BATCH_KEYS
        assert len(batch) == 1 or sum(len(e.key) + len(e.value) for e in batch) <= BATCH_BYTES
