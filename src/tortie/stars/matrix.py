"""The picture as text, for a terminal."""

from __future__ import annotations

from tortie.stars.board import Board, drawn_edges
from tortie.stars.names import display_names


def matrix(board: Board) -> str:
    """A row per source, a column per destination: yes, or why not; `-` where nothing was measured."""
    names = display_names({node.id: node.url for node in board.nodes.values()})
    cells = {
        (a.id, b.id): "yes" if edge.reachable else edge.error or "no"
        for a, b, edge in drawn_edges(board.nodes.values())
    }
    rows = [["from \\ to", *names.values()]]
    rows += [[names[a], *(cells.get((a, b), "-") for b in board.nodes)] for a in board.nodes]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    silent = [
        f"{names[n.id]} does not answer: {n.error}" for n in board.nodes.values() if n.asked and n.response is None
    ]
    return "\n".join([*lines, *silent]) + "\n"
