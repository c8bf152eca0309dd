"""Any JSON in any field of any kind: Invalid, a list of faults, or a sound resource that comes back as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tortie.base.errors import Invalid
from tortie.model.codec import KEPT
from tortie.model.kinds import KINDS
from tortie.model.resource import decode, encode, problems, with_defaults, worded

TEXTS = st.sampled_from(
    ["", "a", "10.0.0.0/8", "10.0.0.0/255.0.0.0", "fd00::1", "1:2", "has(a)", "global()", "Allow", "/"]
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS | st.text(max_size=5), inner, max_size=2),
    max_leaves=6,
)


@pytest.mark.parametrize("name", sorted(KINDS))
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_json_in_any_field(name: str, data: st.DataObject) -> None:
    kind = KINDS[name]
    known = sorted(set(kind.spec.__struct_encode_fields__) - {KEPT})
    spec = data.draw(st.dictionaries(st.sampled_from(known) if known else st.just("x"), JSON, max_size=3))
    value = json.dumps({"metadata": {"name": "x"}, "spec": spec})
    try:
        resource = decode(kind, value.encode())
    except Invalid:
        return
    assert len(worded(resource)) == len(problems(resource))
    assert decode(kind, encode(resource)) == resource
    filled = with_defaults(resource)
    assert with_defaults(filled) == filled
