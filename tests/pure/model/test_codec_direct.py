"""The short way to the stored form gives the same bytes as the long one."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tortie.model.codec import from_json, to_builtins, to_json
from tortie.model.ipam import Attribute, Block, Handle

TEXT = st.sampled_from(["", "~", '"~":', '{"~":[],', "a"])
KEPT: st.SearchStrategy[Any] = st.lists(st.tuples(st.sampled_from(["x", "~~"]), st.just("1")), max_size=1).map(tuple)
ATTRIBUTES = st.builds(Attribute, handle_id=TEXT, secondary=st.dictionaries(TEXT, TEXT), unknown=KEPT)


@given(st.builds(Block, cidr=TEXT, attributes=st.lists(ATTRIBUTES, max_size=3).map(tuple), unknown=KEPT))
def test_a_block(block: Block) -> None:
    assert to_json(block) == msgspec.json.encode(to_builtins(block))


@given(st.builds(Handle, block=st.dictionaries(TEXT, st.integers(0, 3)), unknown=KEPT))
def test_a_handle(handle: Handle) -> None:
    assert to_json(handle) == msgspec.json.encode(to_builtins(handle))
    assert from_json(Handle, to_json(handle), "h") == handle
