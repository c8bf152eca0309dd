"""The map from the fault statements to the tests that hold them (docs/design/fault-map.md) is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STATEMENTS = 39
ROW = re.compile(r"\| (?P<number>\d+) \| (?P<held>.*) \|")


def rows() -> list[tuple[int, str]]:
    text = (ROOT / "docs/design/fault-map.md").read_text(encoding="utf-8")
    return [(int(found["number"]), found["held"]) for line in text.splitlines() if (found := ROW.fullmatch(line))]


def names_in(module: str) -> list[str]:
    files = list((ROOT / "tests").glob(f"**/{module}.py"))
    assert len(files) == 1, f"{module}: {files}"
    return re.findall(r"^(?:async )?def (test_\w+)\(", files[0].read_text(encoding="utf-8"), re.MULTILINE)


def test_every_statement_has_a_line() -> None:
    assert {number for number, _ in rows()} == set(range(1, STATEMENTS + 1))


@pytest.mark.parametrize("held", sorted({held for _, held in rows()}))
def test_what_holds_a_statement_is_there(held: str) -> None:
    if held.startswith("none: "):
        return
    module, _, name = held.partition("::")
    beginning, star, rest = name.partition("*")
    assert not rest
    assert any(found == name or (star and found.startswith(beginning)) for found in names_in(module)), held
