"""AS numbers: plain, or two numbers of 16 bits with a dot. They are stored as plain numbers."""

from __future__ import annotations

import re


def plain(value: int | str | None) -> int | str | None:
    """`1.10` and `"65546"` as 65546; what is no AS number stays as it is, for the check to name."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"(?:([0-9]{1,5})\.)?([0-9]{1,10})", value)
    if found is None or (found[1] is not None and (int(found[1]) > 0xFFFF or int(found[2]) > 0xFFFF)):
        return value
    return (int(found[1] or 0) << 16) + int(found[2])
