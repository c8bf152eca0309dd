"""Numbers in text that somebody else wrote."""

from __future__ import annotations


def whole(text: str, most: int) -> int | None:
    """The number that plain digits write; None when it is none, or more than `most`.

    By hand: `str.isdigit` is true of digits of every script, and `int` gives up with an error on very many of them.
    """
    if not (text.isascii() and text.isdigit()) or len(text) > 20:
        return None
    number = int(text)
    return number if number <= most else None
