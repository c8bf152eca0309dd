"""Shares: what each key holds, against the plain way to know it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tortie.base.shares import Shares


@given(st.lists(st.tuples(st.sampled_from("abc"), st.frozensets(st.integers(0, 4))), max_size=25))
def test_shares_are_what_a_table_of_everything_says(steps: list[tuple[str, frozenset[int]]]) -> None:
    shares, table = Shares[str, int](), dict[str, frozenset[int]]()
    for key, values in steps:
        before = {value for held in table.values() for value in held}
        table[key] = values
        after = {value for held in table.values() for value in held}
        assert shares.put(key, values) == (after - before, before - after)
        assert set(shares) == after
        for value in range(5):
            assert shares.keys(value) == {held for held, own in table.items() if value in own}
            assert (value in shares) == (value in after)
