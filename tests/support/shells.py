"""Shells with the completion of a program of ours, at a terminal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.terminal import Terminal

_START = {
    "bash": (("bash", "--norc", "--noprofile", "-i"), ""),
    "zsh": (("zsh", "-f", "-i"), "autoload -Uz compinit && compinit -u -D; "),
}


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


def shells() -> list[Any]:
    """Parameters of a fixture: each shell that somebody can type at."""
    return [pytest.param(shell, marks=needs(shell)) for shell in _START]


@contextmanager
def shell_with(shell: str, program: str, environ: Mapping[str, str]) -> Iterator[Terminal]:
    """Ready for what is typed; `program` is on the PATH of `environ`."""
    argv, before = _START[shell]
    made = Terminal(argv, environ)
    try:
        # Written in two parts, so that what is typed is not taken for what it prints.
        made.type(f"PS1='ready> '; {before}source <({program} completion {shell}); echo com''plete\n")
        made.wait_for("complete")
        made.wait_for("ready> ")
        yield made
    finally:
        made.close()
