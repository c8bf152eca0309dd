"""One round after another until nobody else's write came between."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from tortie.base.errors import Unavailable
from tortie.ipam.ledger import Ledger
from tortie.store.port import CompareFailed

RETRIES = 100

R = TypeVar("R")


class Turns:
    """The threads of one process take turns: they would only come between each other."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()

    def retried(self, what: str, once: Callable[[], R]) -> R:
        """The result of one round. What is remembered is forgotten whenever it proves stale. Raises Unavailable."""
        with self._lock:
            for attempt in range(RETRIES):
                try:
                    return once()
                except CompareFailed:
                    self._ledger.forget()
                    if attempt > 2:
                        time.sleep(random.uniform(0.001, 0.01))
        raise Unavailable(f"{what}: changed by others {RETRIES} times in a row")
