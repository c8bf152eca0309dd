"""Drives rollouts over agents and stations, one after the other, as long as the framework runs."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import closing
from typing import Any, TypeVar

from msgspec.structs import replace

from tortie.base.errors import Conflict, NotFound, TortieError, Unavailable
from tortie.framework.memory import StoreLost
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.node.bootstrap import write_defaults
from tortie.node.residents import listed, resident
from tortie.packages.calico.board import NO_STATION
from tortie.packages.calico.cluster import Cluster
from tortie.packages.calico.hands import Hands
from tortie.packages.calico.memory import Memory
from tortie.packages.calico.stations import Stations
from tortie.packages.calico.values import (
    Wanted,
    away,
    backwards,
    digest,
    inventory,
    ours,
    rests,
    store_in,
    tasks,
    unseen,
)
from tortie.packages.rollout import book
from tortie.packages.rollout.artefact import Artefact
from tortie.packages.rollout.drive import drive, probe
from tortie.packages.rollout.inventory import Inventory, Plan, Product, Task, plan
from tortie.packages.rollout.machine import Order, Rollout, decide, over, state
from tortie.packages.rollout.reach import Reach
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.store.port import Datastore, Drop

T = TypeVar("T")
LOOK_SECONDS = 1.0
WHO = "the framework calico"
UNINSTALL = "the uninstallation of the package"
log = logging.getLogger("calico-framework")


class Ending(Exception):
    """This process is to end; what is half done goes on in the next one."""


class HostReach(Reach):
    """The way to one host: its agent, or its station."""

    def __init__(self, roller: Roller, task: Task) -> None:
        self._roller, self._host = roller, task.name
        self._way: Hands | Stations = roller.stations if task.station else roller.hands

    def ask(self, request: Mapping[str, Any], payload: bytes = b"") -> dict[str, Any]:
        return self._roller.wait(self._way.ask(self._host, request, payload))


class Roller:
    """`run` is a thread of its own; `trouble`: what it waits for, besides what the rollout itself says;
    `note`: what somebody may miss; `looking`: whether it is finding out what hosts lack."""

    def __init__(
        self,
        store: Datastore,
        memory: Memory,
        hands: Hands,
        stations: Stations,
        cluster: Cluster,
        wanted: Wanted,
        artefact: Artefact,
        product: Callable[[Artefact, Inventory], Product],
        who: str,
    ) -> None:
        self.store, self.memory, self.hands, self.stations = store, memory, hands, stations
        self.cluster, self.wanted = cluster, wanted
        self.artefact, self._product, self._who = artefact, product, who
        self.trouble, self.note, self.looking = "", "", True
        self.removed = False
        self._looked: dict[str, str] = {}
        self._loop = asyncio.get_running_loop()
        self._waiting: set[Future[Any]] = set()
        self._ending = False
        self._wake = threading.Event()
        self._ended = threading.Event()

    def wait(self, what: Coroutine[Any, Any, T]) -> T:
        """In the thread: what the event loop makes of it. Ending when the process is to end."""
        if self._ending:
            what.close()
            raise Ending
        future = asyncio.run_coroutine_threadsafe(what, self._loop)
        self._waiting.add(future)
        if self._ending:
            future.cancel()
        try:
            return future.result()
        except CancelledError as error:
            raise Ending from error
        finally:
            self._waiting.discard(future)

    async def stop(self) -> None:
        """Returns once the thread has ended."""
        self._ending = True
        self._wake.set()
        while not self._ended.is_set():
            for future in list(self._waiting):
                future.cancel()
            await asyncio.sleep(0.05)

    async def run(self) -> None:
        """Until cancelled. StoreLost when what it keeps is lost."""
        try:
            await asyncio.to_thread(self._turn)
        finally:
            await self.stop()

    def _turn(self) -> None:
        try:
            while not self._ending:
                self._look()
                self._wake.wait(LOOK_SECONDS)
                self._wake.clear()
        except Ending:
            return
        finally:
            self._ended.set()

    def _look(self) -> None:
        try:
            self.trouble = "" if self.removed else self._round()
        except StoreLost:
            raise
        except TortieError as error:
            if self.trouble != str(error):
                log.warning("%s", error)
            self.trouble = str(error)
        finally:
            self.looking = False

    # -- one round -----------------------------------------------------------------------------------------------------

    def last(self) -> Rollout | None:
        try:
            return book.current(self.store).rollout
        except NotFound:
            return None

    def _round(self) -> str:
        """What there is to say when nothing is to be done."""
        last = self.last()
        if last is not None:
            made = book.current_plan(self.store)
            if not over(last):
                self.looking = False
                return self._go_on(last, made)
            if ours(made) and last.goal == "undo":
                self.wait(self.memory.pop(made.digest))
        if self.memory.kept.leaving:
            self.looking = False
            return self._leave()
        if rests(last, self.memory.kept):
            return f"the last rollout is {state(last) if last else ''}: nothing begins before somebody says so"
        return self._begin()

    def _go_on(self, last: Rollout, made: Plan) -> str:
        if not ours(made):
            raise Conflict(
                f"rollout {made.digest}, {book.whose(made)}, is {state(last)}: it comes first (`tortie rollout status`)"
            )
        if decide(last) is None:
            return ""
        with self._driver() as driver:
            self.trouble = ""
            self._drive(driver, made)
        return ""

    def _begin(self) -> str:
        made = self._wanted_tasks()
        # A host that comes back is looked at again.
        self._looked = {task.name: self._looked[task.name] for task in made if task.name in self._looked}
        if not (others := unseen(made, self._looked)):
            return "" if made else "the cluster has no agent"
        self.trouble, self.looking = "", True
        found = {**{task.name: {} for task in made}, **probe(others, self._reaches(others))}
        lacking = plan(made, found, self.artefact.name, self.wanted.at_once)
        if self.memory.kept.leaving:
            return ""
        if not lacking.empty:
            with self._driver() as driver:
                self._write_first(lacking)
                self.wait(self.memory.push(lacking))
                driver.begin(lacking, lacking.rollout(time.time()))
                self.looking = False  # from here on the book says what is under way, no longer what is over
                if self.memory.kept.leaving:  # asked for meanwhile, by somebody who has not seen this rollout
                    book.order(self.store, "undo", UNINSTALL, force=self.memory.kept.leaving == "forced")
                if state(self._drive(driver, lacking)) != "done":
                    return ""
        self.wait(self.memory.tell_network(store_in(lacking)))
        self._looked = {task.name: digest([task]) for task in made}
        return ""

    def _write_first(self, made: Plan) -> None:
        """What the network's store lacks, before a node writes there what a node would."""
        if self.wanted.first is None or not self.wanted.run_node:
            return
        store = open_store(store_in(made), create=False)
        try:
            for name in write_defaults(Client(store), first=self.wanted.first):
                log.info("created %s", name)
        finally:
            store.close()

    def _wanted_tasks(self) -> list[Task]:
        store = self.wait(self.cluster.store())
        product = self._product(self.artefact, inventory(self.wanted, store))
        agents, stations = self.wait(self.cluster.agents()), self.wait(self.stations.there())
        self.note = "" if stations or not self.wanted.run_node else NO_STATION
        return tasks(self.wanted, store, agents, product, stations)

    def _driver(self) -> book.Driver:
        """Who leads the framework is the heir of all that led it before."""
        return book.Driver(self.store, f"{WHO} at {self._who}", heir_of=WHO)

    def _drive(self, driver: book.Driver, made: Plan) -> Rollout:
        return drive(driver, made, self._reaches(made.tasks), self.artefact, log.info, wait=False)

    def _reaches(self, made: Sequence[Task]) -> dict[str, Reach]:
        return {task.name: HostReach(self, task) for task in made}

    # -- the end -------------------------------------------------------------------------------------------------------

    def _leave(self) -> str:
        """Undoes what was begun here, the latest plan first."""
        made = self.memory.latest
        if made is None:
            self.hands.link.tear_down()
            self.wait(self.memory.forget())
            self.store.commit([Drop(book.PLAN), Drop(book.STATE)])
            self.removed = True
            return ""
        gone = away(made, self.wait(self.cluster.agents()), self.wait(self.stations.there()))
        if gone and self.memory.kept.leaving != "forced":
            raise Conflict(f"{', '.join(gone)}: hosts that are away hold what is to be undone")
        there = frozenset(task.name for task in made.tasks).difference(gone)
        with self._driver() as driver:
            forced = self.memory.kept.leaving == "forced"
            driver.begin(made, backwards(made, there, time.time(), forced=forced))
            self._drive(driver, made)
        return ""

    def leave(self, *, force: bool) -> str | None:
        """Undoes everything, for good; None once that is done. Conflict while networks are in use."""
        if self.removed:
            return None
        kept = self.memory.kept
        if not kept.leaving and not force:
            self._refuse_to_leave()
        wanted = "forced" if force else kept.leaving or "whole"
        if wanted != kept.leaving:
            self.trouble = ""
            self.wait(self.memory.change(lambda kept: replace(kept, leaving=wanted)))
        last = self.last()
        if last is not None and not over(last) and last.goal != "undo" and ours(book.current_plan(self.store)):
            last = book.order(self.store, "undo", UNINSTALL, force=force)
        elif force and last is not None and last.stopped and not last.forced:
            last = book.order(self.store, "retry", UNINSTALL, force=True)
        self._wake.set()
        if last is not None and last.stopped:
            raise Conflict(f"undoing has stopped: {last.stopped}; mend that and POST v1/retry")
        left = len(self.memory.plans)
        return self.trouble or f"{left} {'rollout is' if left == 1 else 'rollouts are'} being undone"

    def _refuse_to_leave(self) -> None:
        made = self.memory.latest
        if made is None:
            return
        try:
            with closing(open_store(store_in(made), create=False)) as store:
                found = Client(store).list(WORKLOAD_ENDPOINT)
        except Unavailable as error:
            raise Conflict(f"nobody can say whether containers are on the network: {error}") from error
        names = [*(resident(item) for item in found.items), *found.unreadable]
        if names:
            raise Conflict(f"{listed(names, 'on this network')}; it would end under them: end these containers first")

    def order(self, word: Order | str, by: str) -> Rollout:
        """An order of `by`. Conflict when it makes no sense now."""
        last = self.last()
        if word == "begin":
            if last is None or not rests(last, self.memory.kept):
                raise Conflict("nothing keeps the roller from beginning")
            begun = last.begun
            self.wait(self.memory.change(lambda kept: replace(kept, beyond=begun)))
            self._looked = {}
        else:
            if last is None or not ours(book.current_plan(self.store)):
                raise Conflict("there is no rollout over agents")
            if self.memory.kept.leaving and word not in ("retry", "pause", "resume"):
                raise Conflict("the package is being uninstalled")
            last = book.order(self.store, word, by)  # type: ignore[arg-type]
        self._wake.set()
        return last
