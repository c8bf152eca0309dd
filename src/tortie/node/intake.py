"""What the store has said and the agent has not looked at yet: at most one change of each key, however fast they come.
Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tortie.store.port import Event


class Intake:
    """`replace` and `add` as the store says it, `take` when there is time. Taken together is what must not be seen
    apart: the changes of one transaction of the store come in one `add`."""

    def __init__(self) -> None:
        self._whole = False
        self._events: dict[str, Event] = {}
        self.merged = 0

    def replace(self, events: Sequence[Event]) -> None:
        """Everything that is in the store: what was said before is void."""
        self._whole = True
        self._events = {event.key: event for event in events}

    def add(self, events: Sequence[Event]) -> None:
        """Changes, in their order."""
        for event in events:
            # Behind those that came before, as it would have been.
            self.merged += self._events.pop(event.key, None) is not None
            if event.value is not None or not self._whole:
                self._events[event.key] = event

    def take(self) -> tuple[bool, list[Event]]:
        """(this is everything that there is, the events): nothing is left."""
        whole, events = self._whole, list(self._events.values())
        self._whole, self._events = False, {}
        return whole, events

    def __len__(self) -> int:
        return len(self._events)

    def __bool__(self) -> bool:
        return self._whole or bool(self._events)
