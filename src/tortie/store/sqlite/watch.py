"""A watch on the embedded store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tortie.base.errors import Unavailable
from tortie.store.port import Event

if TYPE_CHECKING:
    from tortie.store.sqlite.store import SqliteStore


class SqliteWatch:
    """Reads the change log whenever a writer has rung the bell, and once a second in any case."""

    def __init__(self, store: SqliteStore, prefix: str, after: int) -> None:
        self._store = store
        self._prefix = prefix
        self._after = after
        self._bell = store.bell()
        self._closed = False

    def next(self, timeout: float | None = None) -> Sequence[Event]:
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._closed:
            # The count before the read: a commit that comes after the read makes the wait return at once.
            seen = self._bell.count
            if self._bell.gone:
                raise Unavailable(f"store {self._store.directory}: closed or removed")
            events, revision = self._store.changes(self._prefix, self._after)
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
