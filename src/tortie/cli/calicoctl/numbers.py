"""AS numbers as people type and read them."""

from __future__ import annotations

from tortie.model import as_number as stored

DEFAULT = 64512
"""What a node takes when neither it nor the cluster has one."""


def as_number(text: str) -> int:
    """Plain, or dotted: 1.10 is 65546. Raises ValueError."""
    found = stored.plain(text)
    if not isinstance(found, int) or found > 0xFFFFFFFF:
        raise ValueError(f"{text!r} is no AS number")
    return found


def plain(value: int | str | None) -> str:
    """A stored AS number as this program shows it; an empty text without one."""
    return "" if value is None else str(stored.plain(value))
