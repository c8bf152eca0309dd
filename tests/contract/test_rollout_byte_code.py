"""Byte code for hosts: taken from beside a source where it fits, else made."""

from __future__ import annotations

import marshal
import os
import time
from importlib.util import MAGIC_NUMBER, cache_from_source, source_hash
from pathlib import Path
from typing import Any

import pytest

from tortie.base.errors import Invalid
from tortie.packages.rollout.compiled import byte_code
from tortie.packages.rollout.hand import bytecode

SOURCE = b"SAID = 'made anew'\n"
TAKEN = marshal.dumps(compile("SAID = 'taken'", "beside", "exec"))
UNCHECKED, CHECKED = (1).to_bytes(4, "little"), (3).to_bytes(4, "little")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "product.py"
    path.write_bytes(SOURCE)
    (tmp_path / "__pycache__").mkdir()
    return path


def beside(source: Path, data: bytes, later: float = 60.0) -> None:
    """Byte code that was written so many seconds from now."""
    place = Path(cache_from_source(source, optimization=""))
    place.write_bytes(data)
    os.utime(place, (time.time() + later,) * 2)


def stamped(source: Path, size: int = len(SOURCE)) -> bytes:
    stamp = int(source.stat().st_mtime).to_bytes(4, "little") + size.to_bytes(4, "little")
    return MAGIC_NUMBER + bytes(4) + stamp


def said(source: Path) -> str:
    made = byte_code("product.py", SOURCE, source)
    assert made.startswith(bytecode.header(SOURCE))
    there: dict[str, Any] = {}
    exec(marshal.loads(made[16:]), there)
    return str(there["SAID"])


def test_without_any_it_is_made(source: Path) -> None:
    assert said(source) == "made anew"


def test_that_of_the_source_s_digest_is_taken(source: Path) -> None:
    for flags in (UNCHECKED, CHECKED):
        beside(source, MAGIC_NUMBER + flags + source_hash(SOURCE) + TAKEN, later=-60.0)
        assert said(source) == "taken"
        beside(source, MAGIC_NUMBER + flags + source_hash(b"another") + TAKEN)
        assert said(source) == "made anew"


def test_that_of_the_source_s_time_is_taken_when_nobody_has_touched_the_source_since(source: Path) -> None:
    beside(source, stamped(source) + TAKEN)
    assert said(source) == "taken"
    beside(source, stamped(source) + TAKEN, later=-60.0)
    assert said(source) == "made anew"
    beside(source, stamped(source, size=7) + TAKEN)
    assert said(source) == "made anew"


def test_what_is_cut_off_or_of_another_python_is_made_anew(source: Path) -> None:
    for data in (b"", MAGIC_NUMBER, stamped(source), stamped(source) + TAKEN[:-9], b"\0\0\r\n" + stamped(source)[4:]):
        beside(source, data)
        assert said(source) == "made anew", data


def test_a_source_that_is_no_python_is_refused_by_its_name(source: Path) -> None:
    for text in (b"x = = 1\n", b"x = '\0'\n"):
        with pytest.raises(Invalid, match=f"{source} cannot be compiled"):
            byte_code("product.py", text, source)


def test_it_lies_where_python_looks_for_it(source: Path) -> None:
    assert bytecode.path_of(str(source)) == cache_from_source(source, optimization="")
