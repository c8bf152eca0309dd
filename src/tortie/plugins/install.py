"""Puts the launchers where those who run them look: the compiled one where that can be had, else the one in Python."""

from __future__ import annotations

import ast
import inspect
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

from tortie import __version__
from tortie.base.errors import Unavailable
from tortie.plugins import launching
from tortie.plugins.compiled import build, find_compiler
from tortie.plugins.spool import make_spool

SYSTEM_PYTHON = "/usr/bin/python3"
Kind = Literal["auto", "compiled", "python"]
KINDS: tuple[Kind, ...] = ("auto", "compiled", "python")


@dataclass(frozen=True, slots=True)
class Launcher:
    """`module`: what it does, in Python. `defined`: what of it the source in C leaves open."""

    module: ModuleType
    defined: Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Placed:
    """A file that was written, and what it is."""

    path: Path
    what: str


def install(
    launcher: Launcher, names: Sequence[str], folder: Path, socket: str, spool: str, kind: Kind = "auto"
) -> Iterator[Placed]:
    """Writes every name, each put in place whole, and the folder of what they keep. Unavailable says what fails."""
    program, what = made(launcher, socket, spool, kind)
    make_spool(Path(spool))
    for name in names:
        place(folder / name, program, 0o755)
        yield Placed(folder / name, what)


def made(launcher: Launcher, socket: str, spool: str, kind: Kind) -> tuple[bytes, str]:
    """The program, and which one it is, for who reads of it."""
    if kind == "python":
        return text(launcher.module, socket, spool).encode(), "in Python"
    try:
        compiler = find_compiler()
        if compiler is None:
            raise Unavailable("there is no C compiler")
        paths: dict[str, str | int] = {"SOCKET": socket, "SPOOL": spool, "VERSION": __version__}
        return build(compiler, {**paths, **launcher.defined}), f"compiled by {compiler}"
    except Unavailable as error:
        if kind == "compiled":
            raise
        return text(launcher.module, socket, spool).encode(), f"in Python: {error}"


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


def place(path: Path, body: bytes, mode: int) -> None:
    """All of it or nothing. Unavailable when it cannot be written."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(body)
        beside.chmod(mode)
        beside.rename(path)
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}") from error
