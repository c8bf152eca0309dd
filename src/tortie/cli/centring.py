"""Centring as the tables of the Python command lines did it."""

from __future__ import annotations


def centred(text: str, width: int) -> str:
    """An odd blank goes right of a text of odd length, left of one of even length."""
    excess = width - len(text)
    left = (excess + (1 - len(text) % 2)) // 2
    return " " * left + text + " " * (excess - left)
