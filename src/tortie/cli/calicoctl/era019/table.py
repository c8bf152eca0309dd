"""Tables as that era drew them: cells centred, or all to the left; a cell may have several lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, left: bool = False) -> str:
    cells = [[cell.split("\n") for cell in row] for row in (headings, *rows)]
    widths = [max(len(line) for row in cells for line in row[column]) for column in range(len(headings))]
    ruler = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    drawn = [_row(row, widths, str.ljust if left else _centred) for row in cells]
    return "\n".join([ruler, drawn[0], ruler, *drawn[1:], ruler])


def _row(cells: Sequence[Sequence[str]], widths: Sequence[int], place: Callable[[str, int], str]) -> str:
    height = max(len(lines) for lines in cells)
    padded = [[*lines, *[""] * (height - len(lines))] for lines in cells]
    return "\n".join(
        "|" + "|".join(f" {place(lines[line], width)} " for lines, width in zip(padded, widths, strict=True)) + "|"
        for line in range(height)
    )


def _centred(text: str, width: int) -> str:
    """An odd blank goes right of a text of odd length, left of one of even length."""
    excess = width - len(text)
    left = (excess + (1 - len(text) % 2)) // 2
    return " " * left + text + " " * (excess - left)
