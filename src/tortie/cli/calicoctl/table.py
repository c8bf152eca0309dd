"""Framed tables: as 0.19 drew them (centred, or all to the left; a cell may have several lines), and as later ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from tortie.cli.centring import centred


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, left: bool = False) -> str:
    cells = [[cell.split("\n") for cell in row] for row in (headings, *rows)]
    widths = [max(len(line) for row in cells for line in row[column]) for column in range(len(headings))]
    ruler = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    drawn = [_row(row, widths, str.ljust if left else centred) for row in cells]
    return "\n".join([ruler, drawn[0], ruler, *drawn[1:], ruler])


def _row(cells: Sequence[Sequence[str]], widths: Sequence[int], place: Callable[[str, int], str]) -> str:
    height = max(len(lines) for lines in cells)
    padded = [[*lines, *[""] * (height - len(lines))] for lines in cells]
    return "\n".join(
        "|" + "|".join(f" {place(lines[line], width)} " for lines, width in zip(padded, widths, strict=True)) + "|"
        for line in range(height)
    )


def boxed(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """The frame that the Go programs' table writer draws: headings centred, cells left, numbers right."""
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    ruler = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    lines = [ruler, _boxed_row([h.center(w) for h, w in zip(headings, widths, strict=True)]), ruler]
    lines += [_boxed_row([_cell(cell, w) for cell, w in zip(row, widths, strict=True)]) for row in rows]
    return "\n".join([*lines, ruler]) + "\n"


def _cell(text: str, width: int) -> str:
    return (
        text.rjust(width) if re.fullmatch(r"[0-9.]+(e\+[0-9]+)?", text) and text.count(".") < 2 else text.ljust(width)
    )


def _boxed_row(cells: list[str]) -> str:
    return "|" + "|".join(f" {cell} " for cell in cells) + "|"
