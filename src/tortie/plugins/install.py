"""Puts the launchers where those who run them look."""

from __future__ import annotations

import ast
import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from tortie import __version__
from tortie.base.errors import Unavailable
from tortie.plugins import launching
from tortie.plugins.spool import make_spool

SYSTEM_PYTHON = "/usr/bin/python3"


def text(launcher: ModuleType, socket: str, spool: str, python: str = "") -> str:
    """A launcher in one file, for the interpreter `python`, without one for this host's. Isolated from the caller's
    environment: some runtimes pass on a user's."""
    if not python:
        python = SYSTEM_PYTHON if os.access(SYSTEM_PYTHON, os.X_OK) else os.path.realpath(sys.executable)
    paths = {"SOCKET": socket, "SPOOL": spool, "VERSION": __version__}
    lines = inspect.getsource(launching).splitlines(keepends=True)
    body = [f"{name} = {paths[name]!r}\n" if (name := line.partition(" = ")[0]) in paths else line for line in lines]
    return f"#!{python} -ISE\n" + "".join(body) + _alone(inspect.getsource(launcher))


def _alone(source: str) -> str:
    """A launcher's own text, without the import of what stands above it."""
    lines = source.splitlines(keepends=True)
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and node.module == launching.__name__:
            lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or node.lineno) - node.lineno + 1)
    return "".join(lines)


def install(launcher: ModuleType, names: Sequence[str], folder: Path, socket: str, spool: str) -> Iterator[Path]:
    """Writes every name, each put in place whole, and the folder of what they keep. Unavailable says what fails."""
    body = text(launcher, socket, spool)
    make_spool(Path(spool))
    for name in names:
        place(folder / name, body, 0o755)
        yield folder / name


def place(path: Path, body: str, mode: int) -> None:
    """All of it or nothing. Unavailable when it cannot be written."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(body)
        beside.chmod(mode)
        beside.rename(path)
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}") from error
