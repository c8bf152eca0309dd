"""Options of our compatible command lines: long and short, anywhere on the line, `--name=value` or `--name value`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple


class BadUsage(Exception):
    """The command line does not follow the words of its command; the text says which word."""


class Options(NamedTuple):
    """What a command line gave; `has` and `value` go by the long name."""

    words: tuple[str, ...]
    given: Mapping[str, tuple[str, ...]] = {}

    def has(self, name: str) -> bool:
        return name in self.given

    def value(self, name: str, default: str = "") -> str:
        values = self.given.get(name)
        return values[-1] if values else default

    def values(self, name: str) -> tuple[str, ...]:
        return self.given.get(name, ())


def read(
    arguments: Sequence[str],
    flags: Mapping[str, str],
    values: Mapping[str, str],
    ends: Callable[[Sequence[str]], bool] = lambda _words: False,
) -> Options:
    """`flags` and `values` lead from every spelling (`-f`, `--filename`) to the long name. Once `ends` says so of the
    words so far, what follows is words, whatever it looks like. Raises BadUsage."""
    words: list[str] = []
    given: dict[str, tuple[str, ...]] = {}
    rest = list(arguments)
    while rest:
        if ends(words):
            words += rest
            break
        word = rest.pop(0)
        if word == "--":
            words += rest
            break
        if not word.startswith("-") or word == "-":
            words.append(word)
            continue
        name, equals, value = _split(word, flags)
        if name in flags:
            if equals:
                raise BadUsage(f"{name} takes no value")
            given[flags[name]] = ()
            if value:
                rest.insert(0, f"-{value}")
        elif name in values:
            if not equals and not value:
                if not rest:
                    raise BadUsage(f"{name} needs a value")
                value = rest.pop(0)
            given[values[name]] = (*given.get(values[name], ()), value)
        else:
            raise BadUsage(f"unknown option {name}")
    return Options(tuple(words), given)


def _split(word: str, flags: Mapping[str, str]) -> tuple[str, bool, str]:
    """(name, was there a `=`, what follows the name). `-ofile` is `-o file`; `-Rf` is `-R -f`."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        return name, bool(equals), value
    value = word[2:]
    if value.startswith("=") and word[:2] not in flags:
        return word[:2], True, value[1:]
    return word[:2], False, value
