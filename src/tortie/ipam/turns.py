"""One round after another until nobody else's write came between; those who wait meanwhile are served together."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tortie.base.errors import TortieError, Unavailable
from tortie.ipam.ledger import Ledger
from tortie.store.port import CompareFailed

RETRIES = 200
PAUSE_EVERY = 4
PAUSE_SECONDS = 0.02
TOGETHER = 32
"""Requests of one round: with its compares a transaction must stay below etcd's 128."""

K = TypeVar("K")
Q = TypeVar("Q")
R = TypeVar("R")


class Turns:
    """The threads of one process take turns: they would only come between each other."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.lock = threading.Lock()

    def retried(self, what: str, once: Callable[[], R]) -> R:
        """The result of one round. Raises Unavailable when others come between it all the time.

        What is remembered is put right by what the refusal told, and tried again at once: it holds for a moment only.
        Now and then all who want the same block wait a while, each another one, and read it anew.
        """
        with self.lock:
            return self.held(what, once)

    def held(self, what: str, once: Callable[[], R]) -> R:
        """As `retried`, for a caller whose turn it is."""
        for attempt in range(1, RETRIES + 1):
            try:
                return once()
            except CompareFailed as error:
                pause = attempt % PAUSE_EVERY == 0
                if pause:
                    time.sleep(random.uniform(0, PAUSE_SECONDS))
                self._ledger.learn(error, told_now=not pause)
        raise Unavailable(f"{what}: changed by others {RETRIES} times in a row")


@dataclass(slots=True, eq=False)
class _Ticket(Generic[K, Q, R]):
    """`called`: it is served, or its own thread is to serve."""

    key: K
    request: Q
    called: threading.Event = field(default_factory=threading.Event)
    results: list[R] = field(default_factory=list)
    error: TortieError | None = None

    @property
    def done(self) -> bool:
        return bool(self.results) or self.error is not None


class Together(Generic[K, Q, R]):
    """One thread serves at a time, and with its own request those with the same key that came meanwhile, in one round.

    `serve` answers the first of the requests, at least one; the others come again. What it raises is told to all of
    them: a write whose answer got lost may have been for each.
    """

    def __init__(self, turns: Turns, serve: Callable[[K, Sequence[Q]], Sequence[R]]) -> None:
        self._turns = turns
        self._serve = serve
        self._door = threading.Lock()
        self._waiting: list[_Ticket[K, Q, R]] = []
        self._serving: _Ticket[K, Q, R] | None = None

    @property
    def waiting(self) -> int:
        """How many requests have no answer yet."""
        with self._door:
            return len(self._waiting)

    def ask(self, key: K, request: Q) -> R:
        """The answer to this request, or what its round raised."""
        ticket = _Ticket[K, Q, R](key, request)
        with self._door:
            self._waiting.append(ticket)
            if self._serving is None:
                self._serving = ticket
                ticket.called.set()
        try:
            ticket.called.wait()
            while not ticket.done:
                with self._turns.lock:
                    self._round(self._company(ticket))
        finally:
            self._hand_over(ticket)
        if ticket.error is not None:
            raise ticket.error
        return ticket.results[0]

    def _company(self, ticket: _Ticket[K, Q, R]) -> list[_Ticket[K, Q, R]]:
        with self._door:
            others = [t for t in self._waiting if t is not ticket and t.key == ticket.key]
        return [ticket, *others[: TOGETHER - 1]]

    def _round(self, tickets: list[_Ticket[K, Q, R]]) -> None:
        """An exception that is none of ours is raised by this thread alone; the others try for themselves."""
        try:
            results = self._serve(tickets[0].key, [ticket.request for ticket in tickets])
        except TortieError as error:
            for ticket in tickets:
                ticket.error = error
            served = tickets
        else:
            served = tickets[: len(results)]
            for ticket, result in zip(served, results, strict=True):
                ticket.results.append(result)
        with self._door:
            self._waiting = [waiting for waiting in self._waiting if waiting not in served]
        for ticket in served:
            ticket.called.set()

    def _hand_over(self, ticket: _Ticket[K, Q, R]) -> None:
        """Whatever became of it, a ticket does not wait any more, and who served calls the next one."""
        with self._door:
            self._waiting = [waiting for waiting in self._waiting if waiting is not ticket]
            if self._serving is ticket:
                self._serving = self._waiting[0] if self._waiting else None
                if self._serving is not None:
                    self._serving.called.set()
