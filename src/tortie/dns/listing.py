"""A cluster listed into a zone: only the names of what gives other records than before are made anew. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from tortie.dns.book import Book, Entries, Entry
from tortie.dns.records import Giver, agent_addresses
from tortie.dns.state import Cluster, TaskKey
from tortie.dns.zone import Zone

_FIXED = ("fixed",)


class Listing:
    """One zone's records. `whole` goes through all of a cluster, `tasks` through some of it; `zone` follows.

    `changes` counts the names that were made anew.
    """

    def __init__(self, giver: Giver, zone: Zone) -> None:
        self.giver = giver
        self.zone = zone
        self.book = Book()
        self.changes = 0
        self._made_from: dict[tuple[Any, ...], Any] = {}
        self._touched: set[str] = set()

    def whole(self, cluster: Cluster) -> Iterator[None]:
        """Step by step: between two steps the caller may do something else, and tasks may change by `tasks`.

        Names are made when all is read: one whose task is replaced is never without an answer.
        """
        hosts = cluster.hosts
        self._put(_FIXED, None, self.giver.fixed(cluster))
        yield
        keys: set[tuple[Any, ...]] = {_FIXED}
        for agent_id, slave in list(cluster.slaves.items()):
            keys.add(("agent", agent_id))
            addresses = agent_addresses(slave, hosts)
            self._make(("agent", agent_id), (slave, addresses), partial(self.giver.agent, slave, addresses))
            yield
        for framework_id, framework in list(cluster.frameworks.items()):
            keys.add(("framework", framework_id))
            # The tasks of a framework are listed one by one: here only its name and its place count.
            made_from = (framework.name, framework.pid, framework.hostname, hosts)
            self._make(("framework", framework_id), made_from, partial(self.giver.framework, framework, hosts))
            yield
        for key in list(cluster.tasks):
            self._task(cluster, key)
            yield
        for gone in [key for key in self._made_from if key not in keys and key[0] != "task"]:
            self._put(gone, None, Entries())
            yield
        for gone in [key for key in self._made_from if key[0] == "task" and key[1:] not in cluster.tasks]:
            self._put(gone, None, Entries())
            yield
        while self._touched:
            self._set(self._touched.pop())
            yield

    def tasks(self, cluster: Cluster, keys: Iterable[TaskKey]) -> None:
        """Some tasks as the cluster has them now: a name that several of them share is made once."""
        others, self._touched = self._touched, set()
        for key in keys:
            self._task(cluster, key)
        for name in self._touched:
            self._set(name)
        self._touched = others

    def _task(self, cluster: Cluster, key: TaskKey) -> None:
        found = cluster.running(key)
        if found is None:
            self._put(("task", *key), None, Entries())
            return
        framework, task = found
        agent = agent_addresses(cluster.slaves[task.slave_id], cluster.hosts)
        self._make(("task", *key), (task, framework.name, agent), partial(self.giver.task, framework, task, agent))

    def of_task(self, key: TaskKey) -> tuple[Entry, ...]:
        """The records that the task gives."""
        return self.book.given(("task", *key))

    def _make(self, key: tuple[Any, ...], made_from: tuple[Any, ...], make: Callable[[], Entries]) -> None:
        if self._made_from.get(key) != made_from:
            self._put(key, made_from, make())

    def _put(self, key: tuple[Any, ...], made_from: Any, entries: Entries) -> None:
        if made_from is None:
            self._made_from.pop(key, None)
        else:
            self._made_from[key] = made_from
        self._touched |= self.book.put(key, entries.found)

    def _set(self, name: str) -> None:
        self.zone.set(name, self.book.owned(name))
        self.changes += 1
