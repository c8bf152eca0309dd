"""One command line: its options taken out, its words in order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple


class UsageError(Exception):
    """The command line does not follow the usage text that this carries."""

    def __init__(self, usage: str) -> None:
        self.usage = usage
        super().__init__(usage)


class Failure(Exception):
    """The command ends here: this text on standard output, this exit code."""

    def __init__(self, text: str, code: int = 1) -> None:
        self.text = text
        self.code = code
        super().__init__(text)


class Line(NamedTuple):
    words: tuple[str, ...]
    flags: frozenset[str] = frozenset()
    values: Mapping[str, str] = {}


def read(arguments: Sequence[str], usage: str, flags: Collection[str] = (), values: Collection[str] = ()) -> Line:
    """Options may stand anywhere, `--at=1` or `--at 1`, and be shortened while they stay unique. Else UsageError."""
    words: list[str] = []
    seen: set[str] = set()
    given: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") or word == "--":
            words.append(word)
            continue
        name, equals, value = word.partition("=")
        option = _option(name, [*flags, *values])
        if option is None or option in seen or option in given or (option in flags and equals):
            raise UsageError(usage)
        if option in flags:
            seen.add(option)
        elif equals or rest:
            given[option] = value if equals else rest.pop(0)
        else:
            raise UsageError(usage)
    return Line(tuple(words), frozenset(seen), given)


def _option(name: str, known: Collection[str]) -> str | None:
    if name in known:
        return name
    matches = [option for option in known if option.startswith(name)]
    return matches[0] if len(matches) == 1 else None
