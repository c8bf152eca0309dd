"""Names in the order in which people count."""

from __future__ import annotations

import re


def natural(name: str) -> list[tuple[int, str]]:
    """A key to sort by: numbers in a name or an address count as numbers."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]
