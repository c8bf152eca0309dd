"""Events to whoever listens: bounded, and a slow listener loses events instead of holding up the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

OUTSTANDING = 1024
OUTSTANDING_LARGE = 16


class Broadcast:
    """Every published event goes to every listener that wants its type.

    `expand` gives an event as those see it who did not ask for a light form: few of these wait for anybody.
    """

    def __init__(self) -> None:
        self._listeners: list[tuple[asyncio.Queue[dict[str, Any]], Collection[str], bool]] = []
        self.handlers: list[Callable[[dict[str, Any]], None]] = []
        self.expand: Callable[[dict[str, Any]], dict[str, Any]] = lambda event: event

    def publish(self, event: dict[str, Any]) -> None:
        whole: dict[str, Any] | None = None
        for queue, kinds, light in self._listeners:
            if (kinds and event["eventType"] not in kinds) or queue.full():
                continue
            if not light and whole is None:
                whole = self.expand(event)
            told = event if light or whole is None else whole
            if told is event or queue.qsize() < OUTSTANDING_LARGE:
                queue.put_nowait(told)
        for handler in self.handlers:
            handler(event)

    @contextmanager
    def listen(self, kinds: Collection[str] = (), *, light: bool = True) -> Iterator[asyncio.Queue[dict[str, Any]]]:
        """A queue of the events of these types (none: all), for as long as the context lasts."""
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(OUTSTANDING)
        entry = (queue, kinds, light)
        self._listeners.append(entry)
        try:
            yield queue
        finally:
            self._listeners.remove(entry)
