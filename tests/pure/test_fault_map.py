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


def held() -> list[str]:
    """Of both tables: the numbered statements, and the faults of containers in words."""
    text = (ROOT / "docs/design/fault-map.md").read_text(encoding="utf-8")
    _, _, *in_words = (line for line in text.partition("\n## ")[2].splitlines() if line.startswith("|"))
    assert in_words
    return sorted({*(entry for _, entry in rows()), *(line.split("|")[2].strip() for line in in_words)})


def names_in(module: str) -> list[str]:
    files = list((ROOT / "tests").glob(f"**/{module}.py"))
    assert len(files) == 1, f"{module}: {files}"
    return re.findall(r"^(?:async )?def (test_\w+)\(", files[0].read_text(encoding="utf-8"), re.MULTILINE)


def test_every_statement_has_a_line() -> None:
    assert {number for number, _ in rows()} == set(range(1, STATEMENTS + 1))


@pytest.mark.parametrize("entry", held())
def test_what_holds_a_statement_is_there(entry: str) -> None:
    if entry.startswith("none: "):
        return
    module, _, name = entry.partition("::")
    beginning, star, rest = name.partition("*")
    assert not rest
    assert any(found == name or (star and found.startswith(beginning)) for found in names_in(module)), entry
