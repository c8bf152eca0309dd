"""Tables without a frame: every cell padded to its column's width and two blanks, also the last one of a row."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from tortie.cli.centring import centred

MISSING = "N/A"
NOTHING = "---"
Cell = Callable[[Any], Any]


class Column(NamedTuple):
    """`limit`: a longer text is cut after a word."""

    heading: str
    cell: Cell
    left: bool = False
    limit: int = 0


def drawn(columns: Sequence[Column], documents: Sequence[Any], *, header: bool = True) -> str:
    """A row for each document, in the order of the first column; what a document has not is N/A."""
    rows = [[_text(column, document) for column in columns] for document in documents]
    left = [column.heading for column in columns if column.left]
    return table([column.heading for column in columns], sorted(rows), left=left, header=header)


def _text(column: Column, document: Any) -> str:
    try:
        found = column.cell(document)
    except (KeyError, TypeError, IndexError, AttributeError):
        found = MISSING  # a document of another generation: the row is shown all the same
    return shorten(str(found), column.limit) if column.limit else str(found)


def table(
    headings: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    left: Collection[str] = (),
    right: bool = False,
    header: bool = True,
) -> str:
    """A cell may have several lines. `right`: all to the right."""
    shown = [[str(cell).split("\n") for cell in row] for row in ([headings] if header else []) + list(rows)]
    if not shown:
        return ""
    widths = [max(len(line) for row in shown for line in row[n]) for n in range(len(headings))]
    place = [str.rjust if right else str.ljust if heading in left else centred for heading in headings]
    return "\n".join(line for row in shown for line in _lines(row, widths, place))


def _lines(
    row: Sequence[Sequence[str]], widths: Sequence[int], place: Sequence[Callable[[str, int], str]]
) -> list[str]:
    height = max(len(cell) for cell in row)
    cells = [[*cell, *[""] * (height - len(cell))] for cell in row]
    return [
        "".join(f"{put(cell[n], width)}  " for cell, width, put in zip(cells, widths, place, strict=True))
        for n in range(height)
    ]


def shorten(text: str, limit: int) -> str:
    """White space made one blank; what is too long ends after a word, with `...`."""
    words = text.split()
    whole = " ".join(words)
    if len(whole) <= limit:
        return whole
    kept = ""
    for word in words:
        longer = f"{kept} {word}".strip()
        if len(longer) > limit - 3:
            break
        kept = longer
    return (kept or whole[: limit - 3]) + "..."


def field(document: Mapping[str, Any], path: str) -> Any:
    """By names with dots between. Raises KeyError, or TypeError where there is no document on the way."""
    found: Any = document
    for name in path.split("."):
        found = found[name]
    return found
