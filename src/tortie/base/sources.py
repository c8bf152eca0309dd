"""The files that `-f` names: a file, a directory, `-` for standard input; their texts and the documents in them."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from tortie.base.errors import Invalid

ENDINGS = (".yaml", ".yml", ".json")
LIMIT = 64 * 1024 * 1024
MOST_NODES = 5_000_000
DEEPEST = 1000
SHALLOW = 4000
"""A text of so many characters cannot be nested dangerously."""
TOO_DEEP = "nested too deeply"


class Sources:
    """Reads each source once, so that whoever looks for the grammar leaves standard input to the command."""

    def __init__(self, standard_input: Callable[[], bytes] | None = None) -> None:
        self._standard_input = standard_input or sys.stdin.buffer.read
        self._typed: bytes | None = None
        self._read: dict[tuple[str, bool], list[tuple[str, str]]] = {}

    def texts(self, source: str, *, recursive: bool = False) -> Sequence[tuple[str, str]]:
        """(name, text) of every file of the source, in the order of their names. Raises Invalid."""
        key = (source, recursive)
        if key not in self._read:
            self._read[key] = [(name, self._text(name)) for name in _files(source, recursive)]
        return self._read[key]

    def _text(self, name: str) -> str:
        try:
            if name == "-":
                # Kept although it may turn out to be no text: there is no second reading of it.
                self._typed = self._standard_input() if self._typed is None else self._typed
                data = self._typed
            else:
                with open(name, "rb") as file:
                    data = file.read(LIMIT + 1)
        except OSError as error:
            raise Invalid(f"cannot read {name}: {error.strerror or error}") from error
        if len(data) > LIMIT:
            raise Invalid(f"{name}: larger than {LIMIT // 1024 // 1024} MB")
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise Invalid(f"{_named(name)}: not a text file: byte {error.start} is no UTF-8") from error


def _files(source: str, recursive: bool) -> Iterator[str]:
    if source == "-" or not os.path.isdir(source):
        yield source
        return
    try:
        entries = sorted(os.listdir(source))
    except OSError as error:
        raise Invalid(f"cannot read {source}: {error.strerror or error}") from error
    for entry in entries:
        path = os.path.join(source, entry)
        if os.path.isdir(path):
            if recursive and not os.path.islink(path):
                yield from _files(path, recursive)
        elif entry.endswith(ENDINGS):
            yield path


def documents(name: str, text: str, *, several: bool = True) -> list[Any]:
    """Every YAML or JSON document in the text; empty ones left out. With `several` false a second one is refused."""
    if text.lstrip().startswith(("{", "[")):
        try:
            return [json_value(text)]
        except NotJSON:
            # YAML holds JSON, and may go on after it with `---` or comments.
            pass
        except Invalid as error:
            raise Invalid(f"error parsing {_named(name)}: {error}") from error
    found = [document for document in _yaml(name, text) if document is not None]
    if not several and len(found) > 1:
        raise Invalid(f"{_named(name)}: more than one document; this grammar takes one, or a list")
    return found


class NotJSON(Invalid):
    """The text does not follow JSON's grammar."""


def json_value(text: str | bytes, *, last_wins: bool = False) -> Any:
    """The value of a JSON text. Raises NotJSON, and Invalid for one that no store could hold or that says a thing
    twice; with `last_wins` its last word counts."""
    import json

    try:
        found = json.loads(text, object_pairs_hook=None if last_wins else _unique)
        _size(found, {})
        return found
    except json.JSONDecodeError as error:
        raise NotJSON(str(error)) from error
    except RecursionError as error:
        raise Invalid(TOO_DEEP) from error
    except ValueError as error:
        raise Invalid(str(error)) from error


def _yaml(name: str, text: str) -> list[Any]:
    import yaml

    from tortie.base.yaml_text import Loader

    try:
        if len(text) > SHALLOW:
            _check_depth(yaml.parse(text, Loader))
        found = list(yaml.load_all(text, Loader))
        if _size(found, {}) > MOST_NODES:
            raise ValueError(f"more than {MOST_NODES} values, its aliases written out")
        return found
    except yaml.YAMLError as error:
        raise Invalid(f"error parsing {_named(name)}: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise Invalid(f"error parsing {_named(name)}: {TOO_DEEP}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        # The last three come from values that do not fit the tag before them, such as `!!bool 7`.
        raise Invalid(f"error parsing {_named(name)}: {error}") from error


def _check_depth(events: Iterable[Any]) -> None:
    """The parser in C takes a piece of its stack for each level, and ends the process when there is none left."""
    import yaml

    depth = 0
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise ValueError(TOO_DEEP)


def _size(value: Any, known: dict[int, int]) -> int:
    """How many values there are with every alias written out: a few lines of YAML can stand for billions. ValueError
    for a number or a text that no stored JSON can hold."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no number that can be stored")
    if isinstance(value, int) and abs(value) >= 1 << 64:
        raise ValueError("a number of more than 64 bits cannot be stored")
    if isinstance(value, str) and not value.isascii():
        value.encode()
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = MOST_NODES + 1  # what holds itself has no end
        parts = value.values() if isinstance(value, dict) else value
        names = value if isinstance(value, dict) else ()
        known[id(value)] = 1 + sum(_size(part, known) for part in (*names, *parts)) - len(names)
    return known[id(value)]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = sorted({key for key, _ in pairs if [other for other, _ in pairs].count(key) > 1})
        raise ValueError(f"field given twice: {', '.join(twice)}")
    return found


def _named(name: str) -> str:
    return "standard input" if name == "-" else name
