"""How the workers of one run share its tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

import pytest
from xdist.scheduler import LoadScopeScheduling

TIERS = ("system", "kernel", "contract", "pure")
"""The long ones first: at the end there are short pieces for whoever is free."""


class Tiers(LoadScopeScheduling):  # type: ignore[misc]
    """A piece of work is a file; the labs are one piece, as two of them at a time take more than the machine has."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return str(PurePath(file).parent) if tier(file) == TIERS[0] else file


def tier(file: str) -> str:
    """Of a file below `tests`."""
    return next((part for part in PurePath(file).parts if part in TIERS), TIERS[-1])


def ordered(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    return sorted(items, key=lambda item: TIERS.index(tier(item.nodeid.partition("::")[0])))
