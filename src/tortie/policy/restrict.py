"""What labels must have for a selector to match: lets an index judge only the selectors and classes that can meet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tortie.model.selector.nodes import And, Contains, EndsWith, Equal, Has, In, Node, Or, StartsWith

Key = tuple[str, str] | tuple[str]
"""A label with its value, or a label with any."""


def needs(node: Node) -> frozenset[Key] | None:
    """Labels match only if they have one of these keys. None: nothing can be said; empty: nothing ever matches."""
    if isinstance(node, Equal):
        return frozenset([(node.label, node.value)])
    if isinstance(node, In):
        return frozenset((node.label, value) for value in node.values)
    if isinstance(node, Has | Contains | StartsWith | EndsWith):
        return frozenset([(node.label,)])
    if isinstance(node, And):
        found = [keys for operand in node.operands if (keys := needs(operand)) is not None]
        return min(found, key=_breadth, default=None)
    if isinstance(node, Or):
        parts = [needs(operand) for operand in node.operands]
        known = [keys for keys in parts if keys is not None]
        return frozenset().union(*known) if len(known) == len(parts) else None
    return None


def keys_of(labels: Mapping[str, str]) -> Iterable[Key]:
    """Every key that the labels have."""
    for label, value in labels.items():
        yield (label,)
        yield (label, value)


def _breadth(keys: frozenset[Key]) -> tuple[int, int]:
    """Fewer labels of any value first, then fewer values."""
    return sum(len(key) == 1 for key in keys), len(keys)
