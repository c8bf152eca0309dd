"""`systemd-run` on a host of the lab: a program that its supervisor runs once, whatever becomes of the caller."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tortie.base.errors import TortieError
from tortie.lab import control
from tortie.lab.units import full

FLAGS = frozenset({"--collect", "-G", "--no-block", "--quiet", "-q", "--system"})
NO_SUCH = 1


def main(argv: Sequence[str] | None = None, socket: Path = control.INSIDE) -> int:
    """0 once the program is started, or with --no-block is going to be. It is forgotten when it ends, as with
    --collect."""
    rest, name = list(sys.argv[1:] if argv is None else argv), ""
    options: set[str] = set()
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        if word == "--":
            break
        if word.startswith("--unit="):
            name = word.partition("=")[2]
        elif word in ("--unit", "-u") and rest:
            name = rest.pop(0)
        elif word in FLAGS:
            options.add(word)
        else:
            return _fail(f"systemd-run: unrecognized option '{word}'")
    if not rest:
        return _fail("Command line to execute required.")
    program = shutil.which(rest[0])
    if program is None:
        return _fail(f"Failed to find executable {rest[0]}: No such file or directory")
    try:
        answer = control.order(socket, "run", name, argv=[program, *rest[1:]], wait="--no-block" not in options)
    except TortieError as error:
        return _fail(f"Failed to start transient service unit: {error}")
    if not options & {"--quiet", "-q"}:
        print(f"Running as unit: {full(answer['daemon']['name'])}", file=sys.stderr)
    return 0


def _fail(text: str) -> int:
    print(text, file=sys.stderr)
    return NO_SUCH


if __name__ == "__main__":
    sys.exit(main())
