"""What is said to the Mesos master, and the offers at hand."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from tortie.framework import calls
from tortie.framework.link import Link
from tortie.packages.etcd import tasks
from tortie.packages.etcd.values import Member
from tortie.wire import mesos

KILL_AGAIN = 10.0
RECONCILE_AGAIN = 60.0
REFUSE = 5.0
log = logging.getLogger("etcd-framework")


class Master:
    """`refused`: why an agent's offer holds no member."""

    def __init__(self, link: Link, needs: tasks.Needs, clock: Callable[[], float]) -> None:
        self._link = link
        self.refused: dict[str, str] = {}
        self.launched = 0
        self._needs, self._clock = needs, clock
        self._offers: dict[str, mesos.Offer] = {}
        self._killed: dict[str, float] = {}
        self._interested: bool | None = None
        self._reconciled = 0.0

    def on_subscribed(self) -> None:
        self._offers.clear()
        self._interested, self._reconciled = None, 0.0

    def on_disconnect(self) -> None:
        self._offers.clear()

    def on_offers(self, offers: Sequence[mesos.Offer]) -> None:
        self._offers |= {offer.id.value: offer for offer in offers}

    def on_rescind(self, offer: str) -> None:
        self._offers.pop(offer, None)

    # -- tasks ---------------------------------------------------------------------------------------------------------

    def acknowledge(self, status: mesos.TaskStatus) -> None:
        self._link.send(*calls.acknowledge(status))

    def kill(self, task: str, agent: str | None) -> None:
        """Said again only after a while."""
        now = self._clock()
        if now - self._killed.get(task, 0.0) < KILL_AGAIN:
            return
        self._killed[task] = now
        log.info("task=%s is to end", task)
        self._link.send(calls.kill(task, agent))

    def reconcile(self, members: Sequence[Member], now: float) -> None:
        """Now and then: these tasks, and whatever else there is."""
        if now - self._reconciled < RECONCILE_AGAIN:
            return
        self._reconciled = now
        if members:
            self._link.send(calls.reconcile((one.task, one.agent) for one in members))
        self._link.send(calls.reconcile(()))

    def launch(self, offer: mesos.Offer, task: mesos.TaskInfo) -> None:
        self.launched += 1
        log.info("launching %s on %s", task.task_id.value, offer.hostname)
        self._link.send(calls.launch(offer, [task], REFUSE))

    # -- offers --------------------------------------------------------------------------------------------------------

    def show_interest(self, wants: bool) -> None:
        if wants != self._interested:
            self._interested = wants
            self._link.send(calls.interest(wants))
        if not wants:
            self.decline()

    def room(self, members: Sequence[Member]) -> tuple[mesos.Offer, tuple[int, ...]] | None:
        """An offer that holds one more member, taken from those at hand; the others are given back."""
        used, found = {one.agent for one in members}, None
        for offer in list(self._offers.values()):
            answer = tasks.place(offer, self._needs, used)
            if isinstance(answer, str):
                self.refused[offer.hostname] = answer
            elif found is None:
                found = self._offers.pop(offer.id.value), answer
        self.decline()
        if found is not None:
            self.refused.clear()
        return found

    def hold(self, offer: mesos.Offer) -> None:
        """One that was taken, for the next time."""
        self._offers[offer.id.value] = offer

    def decline(self) -> None:
        if self._offers:
            self._link.send(calls.decline(self._offers.values(), REFUSE))
            self._offers.clear()
