"""A watch on the embedded store."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from tortie.base.errors import Unavailable
from tortie.store.port import Event
from tortie.store.sqlite.bell import Bell

Changes = Callable[[int], tuple[Sequence[Event], int]]
"""What has changed after a revision, and the revision up to which that is all."""


class SqliteWatch:
    """Reads the change log whenever a writer has rung the bell, and once a second in any case."""

    def __init__(self, directory: str, bell: Bell, changes: Changes, after: int) -> None:
        self._directory = directory
        self._bell = bell
        self._changes = changes
        self._after = after
        self._closed = False

    def next(self, timeout: float | None = None) -> Sequence[Event]:
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._closed:
            # The count before the read: a commit that comes after the read makes the wait return at once.
            seen = self._bell.count
            if self._bell.gone:
                raise Unavailable(f"store {self._directory}: closed or removed")
            events, revision = self._changes(self._after)
            self._after = max(self._after, revision)
            if events:
                return events
            left = 1.0 if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return []
            self._bell.wait(seen, min(left, 1.0))
        return []

    def close(self) -> None:
        self._closed = True
        self._bell.wake()
