"""Reading JSON values: every problem is noted under its path, and reading goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
D = TypeVar("D")
LARGEST = 2**53
Problems: TypeAlias = dict[str, list[str]]


class Place:
    """A spot in a document, such as `/apps(1)/container/docker`, and the problems found in the whole document."""

    def __init__(self, path: str = "", problems: Problems | None = None) -> None:
        self.path = path
        self.problems: Problems = {} if problems is None else problems

    def at(self, key: str) -> Place:
        return Place(f"{self.path}/{key}", self.problems)

    def item(self, index: int) -> Place:
        return Place(f"{self.path}({index})", self.problems)

    def say(self, text: str) -> None:
        texts = self.problems.setdefault(self.path or "/", [])
        if text not in texts:
            texts.append(text)


Reader: TypeAlias = Callable[[Any, Place], T]


def text(value: Any, place: Place) -> str:
    if isinstance(value, str):
        return value
    place.say("error.expected.jsstring")
    return ""


def filled(value: Any, place: Place) -> str:
    """Text of at least one character."""
    read = text(value, place)
    if value == "":
        place.say("error.minLength")
    return read


def flag(value: Any, place: Place) -> bool:
    if isinstance(value, bool):
        return value
    place.say("error.expected.jsboolean")
    return False


def number(value: Any, place: Place) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        place.say("error.expected.jsnumber")
        return 0
    if abs(value) > LARGEST:
        place.say("error.max")
        return 0
    return value


def whole(value: Any, place: Place) -> int:
    read = number(value, place)
    if read != int(read) or abs(read) > 2**53:
        place.say("error.expected.int")
    return int(read)


def listed(of: Reader[T]) -> Reader[tuple[T, ...]]:
    """A list of values that `of` reads; null items are problems like any other."""

    def read(value: Any, place: Place) -> tuple[T, ...]:
        if isinstance(value, list):
            return tuple(of(item, place.item(index)) for index, item in enumerate(value))
        place.say("error.expected.jsarray")
        return ()

    return read


def mapped(of: Reader[T]) -> Reader[dict[str, T]]:
    def read(value: Any, place: Place) -> dict[str, T]:
        return {key: of(item, place.at(key)) for key, item in fields(value, place).items()}

    return read


def one_of(*allowed: str, otherwise: str) -> Reader[str]:
    """One of a few words; `otherwise` may name the word with `{}`."""

    def read(value: Any, place: Place) -> str:
        word = text(value, place)
        if isinstance(value, str) and word not in allowed:
            place.say(otherwise.format(word))
        return word

    return read


def fields(value: Any, place: Place) -> dict[str, Any]:
    """The object's own fields; those that are null count as absent."""
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if item is not None}
    place.say("error.expected.jsobject")
    return {}


def take(value: dict[str, Any], place: Place, key: str, of: Reader[T], default: D) -> T | D:
    return of(value[key], place.at(key)) if key in value else default


def need(value: dict[str, Any], place: Place, key: str, of: Reader[T]) -> T | None:
    """The field, or None with `error.path.missing` noted."""
    if key in value:
        return of(value[key], place.at(key))
    place.at(key).say("error.path.missing")
    return None
