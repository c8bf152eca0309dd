"""AS numbers as people type them."""

from __future__ import annotations

DEFAULT = 64512
"""What a node takes when neither it nor the cluster has one."""


def as_number(text: str) -> int:
    """Plain, or dotted: 1.10 is 65546. Raises ValueError."""
    parts = text.split(".")
    if not 1 <= len(parts) <= 2 or not all(part.isascii() and part.isdecimal() for part in parts):
        raise ValueError(f"{text!r} is no AS number")
    limit = 0xFFFF if len(parts) == 2 else 0xFFFFFFFF
    if any(int(part) > limit for part in parts):
        raise ValueError(f"{text!r} is no AS number")
    high, low = (0, *map(int, parts))[-2:]
    return high << 16 | low


def plain(value: int | str | None) -> str:
    """A stored AS number as this program shows it; an empty text without one."""
    if value is None or value == "":
        return ""
    try:
        return str(as_number(str(value)))
    except ValueError:
        return str(value)
