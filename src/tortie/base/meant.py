"""Did you mean: the known word that a person most likely meant."""

from __future__ import annotations

from collections.abc import Iterable


def meant(typed: str, known: Iterable[str]) -> str:
    """`; did you mean X?` to be put behind an error, or nothing when no known word is near."""
    import difflib  # only where somebody mistyped

    near = difflib.get_close_matches(typed, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
