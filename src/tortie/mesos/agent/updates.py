"""The reliable stream of one task's updates: the head is sent until it is acknowledged, then the next. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field

from tortie.wire import mesos as wire

FIRST_RETRY = 10.0
LONGEST_RETRY = 600.0


@dataclass(slots=True)
class UpdateStream:
    queue: list[wire.TaskStatus] = field(default_factory=list)
    next_try: float = 0.0
    interval: float = FIRST_RETRY

    @property
    def head(self) -> wire.TaskStatus | None:
        return self.queue[0] if self.queue else None

    def add(self, status: wire.TaskStatus) -> None:
        self.queue.append(status)
        if len(self.queue) == 1:
            self.restart()

    def due(self, now: float) -> wire.TaskStatus | None:
        """The head, when it is time to send it; asking counts as sending it."""
        if not self.queue or now < self.next_try:
            return None
        self.next_try = now + self.interval
        self.interval = min(self.interval * 2, LONGEST_RETRY)
        return self.queue[0]

    def restart(self) -> None:
        """Send the head at once: it is new, or the master is."""
        self.next_try, self.interval = 0.0, FIRST_RETRY

    def acknowledge(self, uuid: bytes) -> wire.TaskStatus | None:
        """The update that this acknowledges; None when it is not the head's."""
        if not self.queue or self.queue[0].uuid != uuid:
            return None
        self.restart()
        return self.queue.pop(0)
