"""One resource after the other: how many succeeded, and what to say about those that did not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from tortie.base.errors import TortieError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress(Generic[T]):
    """`done`: as many as succeeded; `errors`: one for each that failed, in their order."""

    done: int
    total: int
    errors: tuple[tuple[T, TortieError], ...] = ()


def each(items: Sequence[T], step: Callable[[T], object], *, stop: bool) -> Progress[T]:
    """Runs `step` on every item; with `stop` none after the first error."""
    done = 0
    errors: list[tuple[T, TortieError]] = []
    for item in items:
        try:
            step(item)
        except TortieError as error:
            errors.append((item, error))
            if stop:
                break
        else:
            done += 1
    return Progress(done, len(items), tuple(errors))


def one_kind(kinds: Iterable[str]) -> str:
    """The kind that all have, or an empty text."""
    found = set(kinds)
    return found.pop() if len(found) == 1 else ""


def success(verb: str, done: int, kind: str) -> str:
    """`Successfully created 1 'policy' resource(s)`"""
    return f"Successfully {verb} {done} {_quoted(kind)}resource(s)"


def partly(verb: str, done: int, total: int, kind: str) -> str:
    return f"Partial success: {verb} the first {done} out of {total} {_quoted(kind)}resources:"


def failed(word: str, total: int, kind: str) -> str:
    """`create 'policy' resource`, `create any 'policy' resources`: what stands behind "Failed to"."""
    return f"{word} {_quoted(kind)}resource" if total == 1 else f"{word} any {_quoted(kind)}resources"


def _quoted(kind: str) -> str:
    return f"'{kind}' " if kind else ""
