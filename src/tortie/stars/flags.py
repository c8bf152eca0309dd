"""The flags of both programs, in the original's grammar: `--name=value` or `--name value`, exit 1 on a usage error."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

USAGE_ERROR = 1
CRASHED = 101  # what the original ends with for a value it cannot use or a port that is taken


def parse(argv: Sequence[str], defaults: Mapping[str, str | None], usage: str) -> dict[str, str | None]:
    """Values by flag name; prints usage and exits for --help (0) and for anything it does not know (1)."""
    values = dict(defaults)
    words = iter(argv)
    for word in words:
        if word in ("--help", "-h"):
            print(usage)
            raise SystemExit(0)
        name, equals, value = word.partition("=")
        if name not in values:
            wrong(f"unknown argument {word!r}", usage)
        if not equals:
            value = next(words, "")
            if not value or value.startswith("--"):
                wrong(f"{name} needs a value", usage)
        values[name] = value
    return values


def number(name: str, text: str | None, low: int, high: int) -> int:
    """A whole number of a flag; ends the program with 101 when it is none or out of range."""
    if text is None or not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
        crash(f"{name}: {text!r} is not a number from {low} to {high}")
    return int(text)


def wrong(text: str, usage: str) -> NoReturn:
    print(f"{text}\n\n{usage}", file=sys.stderr)
    raise SystemExit(USAGE_ERROR)


def crash(text: str) -> NoReturn:
    print(text, file=sys.stderr)
    raise SystemExit(CRASHED)
