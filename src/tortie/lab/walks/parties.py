"""Who takes part in a walk's matrix, and what a walk needs of those who run them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from tortie.lab.walks.matrix import Party

Found = list[tuple[Party, Path]]
"""Parties, each with the file of its network namespace."""


class Containers(Protocol):
    """The document's tasks, and second containers of the walk's own beside them."""

    def running(self) -> Found: ...

    def add_peers(self) -> None:
        """Those that are there already stay. Raises StepFailed."""

    def remove_peers(self) -> None:
        """None there is fine."""


def told_apart(found: Sequence[tuple[Party, Path]]) -> Found:
    """Several tasks of one network are numbered, in the order of their hosts."""
    names = [party.name for party, _ in found]
    taken: dict[str, int] = {}
    told = []
    for party, netns in found:
        taken[party.name] = taken.get(party.name, 0) + 1
        several = names.count(party.name) > 1
        told.append((replace(party, name=f"{party.name}-{taken[party.name]}") if several else party, netns))
    return told
