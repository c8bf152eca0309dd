"""One thing at a time about a container, however many ask."""

from __future__ import annotations

import anyio


class Alone:
    """One at a time for each container."""

    def __init__(self, busy: dict[str, anyio.Lock], container_id: str) -> None:
        self.busy = busy
        self.container_id = container_id
        self.lock = busy.setdefault(container_id, anyio.Lock())

    async def __aenter__(self) -> None:
        await self.lock.acquire()

    async def __aexit__(self, *raised: object) -> None:
        self.lock.release()
        if not self.lock.statistics().tasks_waiting:
            self.busy.pop(self.container_id, None)
