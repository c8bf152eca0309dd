"""Where a rollout is written down: its plan, how far it is, who drives it. Keys in docs/design/seams.md."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from tortie.base.decoding import ready
from tortie.base.errors import Conflict, NotFound, TortieError, Unavailable
from tortie.packages.rollout.inventory import Plan
from tortie.packages.rollout.machine import Asked, Order, Rollout, ordered, over, state
from tortie.store.port import Compare, CompareFailed, Condition, Datastore, KeyValue, Put

PREFIX = "/tortie/v1/rollout/"
PLAN, STATE, DRIVER = f"{PREFIX}plan", f"{PREFIX}state", f"{PREFIX}driver"
LEASE_SECONDS = 15.0
ATTEMPTS = 50


class Written(NamedTuple):
    """A rollout as it stands in the store."""

    rollout: Rollout
    revision: int


def current(store: Datastore, known: Written | None = None) -> Written:
    """`known` itself while it is what is written. NotFound when there never was one."""
    found = store.get(STATE)
    if found is None:
        raise NotFound("there is no rollout: `tortie rollout HOSTS.yaml --dry-run` makes a plan for one")
    if known is not None and known.revision == found.revision:
        return known
    return Written(msgspec.json.decode(found.value, type=ready(Rollout)), found.revision)


def current_plan(store: Datastore) -> Plan:
    found = store.get(PLAN)
    if found is None:
        raise NotFound("there is no plan of a rollout")
    return msgspec.json.decode(found.value, type=ready(Plan))


def whose(made: Plan) -> str:
    """Who brings it, for people."""
    return "of the calico framework" if any(task.reach is None for task in made.tasks) else "over ssh"


def order(store: Datastore, word: Order, by: str, *, force: bool = False) -> Rollout:
    """Gives an order of `by` to whoever drives now or later. Conflict when it makes no sense now. `force`: what is
    undone from now on is undone under the endpoints of containers, too."""
    for _ in range(ATTEMPTS):
        seen = current(store)
        wanted = replace(ordered(seen.rollout, word, force=force), asked=Asked(word, by, time.time()))
        try:
            store.commit([Put(STATE, msgspec.json.encode(wanted))], [Compare(STATE, seen.revision)])
        except CompareFailed:
            continue
        return wanted
    raise Conflict(f"the rollout was changed by others {ATTEMPTS} times in a row")


def others_drive(store: Datastore, seen: Rollout) -> bool:
    """Whether somebody who lives drives this rollout: the lease of a driver who has died ends while we look, one who
    lives begins a step or keeps it."""
    there = store.list(PREFIX)
    if all(item.key != DRIVER for item in there.items):
        return False
    ends = time.monotonic() + LEASE_SECONDS * 2
    # Somebody has to watch: an embedded store ends leases when it is used.
    watch = store.watch(PREFIX, there.revision)
    try:
        while (left := ends - time.monotonic()) > 0:
            for event in watch.next(left):
                if event.key == DRIVER and event.value is None:
                    return False
                if event.key == STATE and event.value is not None:
                    now = msgspec.json.decode(event.value, type=ready(Rollout))
                    if _tries(now) > _tries(seen):
                        return True
    finally:
        watch.close()
    return True


def _tries(rollout: Rollout) -> int:
    return sum(step.tries for host in rollout.hosts for step in host.steps)


class Driver(AbstractContextManager["Driver"]):
    """The right to drive, until it is left or lost: there is one driver at a time.

    `heir_of`: how the names of those begin whose right may be taken at once, as their only heir says; one of them that
    lives after all writes nothing more.
    """

    def __init__(self, store: Datastore, who: str, heir_of: str = "") -> None:
        self.store, self._who, self._heir_of = store, who, heir_of
        self._lease = 0
        self._key = KeyValue("", b"", 0, 0)
        self._leaving = threading.Event()
        self._lost = ""
        self._keeper = threading.Thread(target=self._keep, name="rollout-lease", daemon=True)

    def __enter__(self) -> Driver:
        """Conflict says who drives."""
        self._lease = self.store.grant(LEASE_SECONDS)
        left = self.store.get(DRIVER) if self._heir_of else None
        mine = left is not None and left.value.startswith(self._heir_of.encode())
        try:
            free = Compare(DRIVER, left.revision if left and mine else 0)
            self.store.commit([Put(DRIVER, self._who.encode(), self._lease)], [free])
        except CompareFailed as error:
            self.store.revoke(self._lease)
            there = self.store.get(DRIVER)
            who = there.value.decode(errors="replace") if there else "somebody who has just ended"
            text = f"a rollout is driven already, by {who}: `tortie rollout status` shows how far it is"
            raise Conflict(f"{text}; wait for its end, or pause, undo or abort it") from error
        found = self.store.get(DRIVER)
        if found is None:
            raise Unavailable("the lease on the rollout ended at once: is the store's clock right?")
        self._key = found
        self._keeper.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving.set()
        self._keeper.join()
        self.store.revoke(self._lease)

    def begin(self, made: Plan, rollout: Rollout) -> None:
        """Writes a new rollout down. Conflict while another is not over."""
        there = self.store.get(STATE)
        if there is not None:
            old = msgspec.json.decode(there.value, type=ready(Rollout))
            if not over(old):
                text = f"rollout {old.plan}, {whose(current_plan(self.store))}, is {state(old)}"
                raise Conflict(f"{text}: resume, retry, undo or abort that one first")
        writes = [Put(PLAN, msgspec.json.encode(made)), Put(STATE, msgspec.json.encode(rollout))]
        self.store.commit(writes, [Compare(STATE, there.revision if there else 0), self._mine()])

    def change(self, how: Callable[[Rollout], Rollout]) -> Rollout:
        """The rollout, changed and written down; orders of people that come between are kept."""
        for _ in range(ATTEMPTS):
            seen = current(self.store)
            wanted = how(seen.rollout)
            if wanted == seen.rollout:
                return wanted
            try:
                self.store.commit(
                    [Put(STATE, msgspec.json.encode(wanted))], [Compare(STATE, seen.revision), self._mine()]
                )
            except CompareFailed as error:
                if error.key == DRIVER:
                    raise Unavailable(f"this driver has lost its lease{self._lost}: resume the rollout") from error
                continue
            return wanted
        raise Conflict(f"the rollout was changed by others {ATTEMPTS} times in a row")

    def _mine(self) -> Condition:
        return Compare(DRIVER, self._key.revision)

    def _keep(self) -> None:
        while not self._leaving.wait(LEASE_SECONDS / 4):
            try:
                self.store.keep_alive(self._lease)
                self._lost = ""
            except TortieError as error:
                # A store that is away for less than the lease takes nothing away; `change` notices a lease that ended.
                self._lost = f" ({error})"
