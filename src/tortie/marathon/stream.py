"""Events to whoever listens: bounded, and a slow listener loses events instead of holding up the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

OUTSTANDING = 1024


class Broadcast:
    """Every published event goes to every listener that wants its type."""

    def __init__(self) -> None:
        self._listeners: list[tuple[asyncio.Queue[dict[str, Any]], Collection[str]]] = []
        self.handlers: list[Callable[[dict[str, Any]], None]] = []

    def publish(self, event: dict[str, Any]) -> None:
        for queue, kinds in self._listeners:
            if (not kinds or event["eventType"] in kinds) and not queue.full():
                queue.put_nowait(event)
        for handler in self.handlers:
            handler(event)

    @contextmanager
    def listen(self, kinds: Collection[str] = ()) -> Iterator[asyncio.Queue[dict[str, Any]]]:
        """A queue of the events of these types (none: all), for as long as the context lasts."""
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(OUTSTANDING)
        entry = (queue, kinds)
        self._listeners.append(entry)
        try:
            yield queue
        finally:
            self._listeners.remove(entry)
