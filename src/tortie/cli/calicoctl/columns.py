"""Tables as the Go programs draw them: columns by tabs, at least five wide, three blanks between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tortie.base.errors import Invalid

Document = Mapping[str, Any]
Cell = Callable[[Document], str]


class Columns(NamedTuple):
    """Every column of a kind, and which of them are shown narrow and wide."""

    cells: Mapping[str, Cell]
    narrow: tuple[str, ...]
    wide: tuple[str, ...]

    def chosen(self, names: Sequence[str]) -> tuple[str, ...]:
        """The headings asked for. Raises Invalid with the unknown ones."""
        wanted = [name.strip().upper() for name in names]
        unknown = [name for name in wanted if name not in self.cells]
        if unknown or not wanted:
            valid = ", ".join(self.cells)
            raise Invalid(*(f"Unknown heading {name}, valid values are: {valid}" for name in unknown or [""]))
        return tuple(wanted)


def columns(narrow: str, wide: str = "", **cells: str | Cell) -> Columns:
    """`narrow`, `wide`: headings apart by blanks. A cell is a path into the document or a function of it."""
    return Columns(
        {name: at(cell) if isinstance(cell, str) else cell for name, cell in cells.items()},
        tuple(narrow.split()),
        tuple((wide or narrow).split()),
    )


def at(path: str, absent: str = "") -> Cell:
    """The text of the field at `path`."""

    def cell(document: Document) -> str:
        value = field(document, path)
        return absent if value is None else text(value)

    return cell


def field(document: Any, path: str) -> Any:
    for name in path.split("."):
        if not isinstance(document, Mapping):
            return None
        document = document.get(name)
    return document


def text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return ",".join(f"{key}={text(item)}" for key, item in sorted(value.items()))
    if isinstance(value, list | tuple):
        return ",".join(text(item) for item in value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def draw(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Ends with an empty line, as the original's tables do."""
    widths = [max(5, 3 + max(len(row[column]) for row in (headings, *rows))) for column in range(len(headings))]
    lines = ["".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (headings, *rows)]
    return "\n".join(lines) + "\n\n"
