"""What a collector of the Stars demo shows: which node reaches which."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Edges = dict[str, dict[str, bool] | None]
"""For each node None (no answer) or whether it reaches each other node."""


def edges_of(answer: dict[str, Any], name_of: Callable[[str], str]) -> Edges:
    """The picture in the collector's `/responses`; `name_of`: the node that an address is of."""
    picture: Edges = {}
    for node, response in answer["responses"].items():
        if response is None:
            picture[node] = None
            continue
        targets = response["json"]["status"]["targets"]
        picture[node] = {name_of(str(target["url"])): bool(target["reachable"]) for target in targets}
    return picture


def edges(nodes: Iterable[str], bright: Iterable[tuple[str, str]]) -> Edges:
    """The picture in which each node answers and these reach each other."""
    named, lit = list(nodes), set(bright)
    return {a: {b: (a, b) in lit for b in named if b != a} for a in named}


def bright(picture: Edges) -> set[tuple[str, str]]:
    return {(a, b) for a, reached in picture.items() for b, yes in (reached or {}).items() if yes}
