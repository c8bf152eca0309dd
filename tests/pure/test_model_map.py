"""The map from the chapters and traps of the model to the tests that hold them (docs/design/model-map.md) is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECTIONS = {1: 6, 2: 5, 3: 6, 4: 5, 5: 6, 6: 6, 7: 3, 8: 6}
"""How many sections each chapter has. Chapter 9 is the traps."""
TRAPS = 55
ROW = re.compile(r"\| (?P<part>\d\.\d|trap \d+) \| (?P<held>.*) \|")


def rows() -> list[tuple[str, str]]:
    text = (ROOT / "docs/design/model-map.md").read_text(encoding="utf-8")
    return [(found["part"], found["held"]) for line in text.splitlines() if (found := ROW.fullmatch(line))]


def names_in(module: str) -> list[str]:
    files = list((ROOT / "tests").glob(f"**/{module}.py"))
    assert len(files) == 1, f"{module}: {files}"
    return re.findall(r"^(?:async )?def (test_\w+)\(", files[0].read_text(encoding="utf-8"), re.MULTILINE)


def test_every_section_and_every_trap_has_a_line() -> None:
    wanted = {f"{chapter}.{number + 1}" for chapter, count in SECTIONS.items() for number in range(count)}
    wanted |= {f"trap {number + 1}" for number in range(TRAPS)}
    assert {part for part, _ in rows()} == wanted


@pytest.mark.parametrize("held", sorted({held for _, held in rows()}))
def test_what_holds_a_part_is_there(held: str) -> None:
    if held.startswith("none: "):
        return
    module, _, name = held.partition("::")
    beginning, star, rest = name.partition("*")
    assert not rest
    assert any(found == name or (star and found.startswith(beginning)) for found in names_in(module)), held
