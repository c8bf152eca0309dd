"""Follows Marathon: looks when an event says so and now and then, and hands what it sees to the balancer."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address

from tortie.base.errors import TortieError, Unavailable
from tortie.lb.balancer import Balancer
from tortie.lb.ending import reap_strangers
from tortie.lb.haproxy import Haproxy
from tortie.lb.proof import Proof
from tortie.lb.services import Choice, Known, resolvable, services
from tortie.wire.marathon import MarathonClient
from tortie.wire.marathon_apps import App

log = logging.getLogger("lb")

EVENTS = (
    "api_post_event", "health_status_changed_event", "instance_health_changed_event", "status_update_event",
    "deployment_success", "app_terminated_event", "instance_changed_event", "group_change_success",
)  # fmt: skip
_CLOSEST = 0.05
"""Seconds between two looks at Marathon at least: what happens meanwhile is seen in one."""
_AFTER_FAILURE, _BETWEEN_FAILURES = 5.0, 1.0
_FIRST_READ = 2.0
"""Seconds that a Marathon may take to answer before HAProxy is started on what it had."""
_WATCH = 0.5
_NAME_LIVES = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the apps come from. `refresh`: seconds after which Marathon is asked although it said nothing.

    Without `events` it is asked only then. `remember` is for how many tasks the last health is kept.
    """

    urls: tuple[str, ...]
    refresh: float = 60.0
    events: bool = True
    max_backoff: float = 300.0
    remember: int = 1000
    user: tuple[str, str] | None = None
    ca: str | None = None

    def client(self) -> MarathonClient:
        return MarathonClient(self.urls, user=self.user, ca=self.ca)


@dataclass
class Seen:
    """What the pages say of Marathon."""

    urls: list[str] = field(default_factory=list)
    apps: int | None = None
    reads: int = 0
    read_at: float | None = None
    failure: str = ""
    stream: bool = False
    left_out: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)


class Follower:
    """`run` goes on until it is cancelled, whatever Marathon or HAProxy do."""

    def __init__(self, source: Source, choice: Choice, balancer: Balancer, haproxy: Haproxy) -> None:
        self._source = source
        self._choice = choice
        self._balancer = balancer
        self._haproxy = haproxy
        self._look = asyncio.Event()
        self._wake = asyncio.Event()
        self._said: set[str] = set()
        self._addresses: dict[str, str | None] = {}
        self._resolve_after: dict[str, float] = {}
        self._alive: OrderedDict[str, bool] = OrderedDict()
        self._apps: list[App] | None = None
        self._known = Known()
        self._unreadable: list[str] = []
        self._changed = False
        self._failures = 0
        self.seen = Seen()

    def look_again(self) -> None:
        """Ask Marathon now."""
        self._look.set()

    def reload(self) -> None:
        """Reload HAProxy even when nothing changed."""
        self._balancer.force_reload = True
        self._wake.set()

    async def run(self) -> None:
        async with self._source.client() as marathon, asyncio.TaskGroup() as group:
            self.seen.urls = marathon.urls
            proof = Proof(group.create_task, self._again)
            group.create_task(self._read(marathon))
            if self._source.events:
                group.create_task(self._hear(marathon))
            group.create_task(self._watch())
            await _either(self._wake, _FIRST_READ)
            while True:
                self._wake.clear()
                rest = await self._apply_once(proof)
                if self._balancer.told.failure:
                    await asyncio.sleep(_BETWEEN_FAILURES)  # an HAProxy that ends at once would wake us again and again
                await _either(self._wake, rest)

    def _again(self) -> None:
        """Go through the services again."""
        self._changed = True
        self._wake.set()

    async def _read(self, marathon: MarathonClient) -> None:
        """Apart from the care for HAProxy: a Marathon that hangs must not stop that."""
        while True:
            self._look.clear()
            if await self._read_once(marathon):
                self._again()
            await asyncio.sleep(_CLOSEST)
            await _either(self._look, self._next_read())

    def _next_read(self) -> float:
        if not self._failures:
            return self._source.refresh
        return min(self._source.max_backoff, 0.5 * 1.5 ** min(self._failures, 50)) * random.uniform(0.8, 1.2)

    async def _read_once(self, marathon: MarathonClient) -> bool:
        """Whether there is something to apply."""
        self.seen.reads += 1
        try:
            self._apps, self._unreadable = await marathon.apps()
        except TortieError as error:
            if not self._failures:
                log.warning("Marathon does not answer, keeping the configuration: %s", error)
            self._failures += 1
            self.seen.failure = str(error)
            return False
        if self._failures or self.seen.read_at is None:
            log.info("reading %d apps from Marathon", len(self._apps))
        self._failures, self.seen.failure = 0, ""
        self.seen.apps, self.seen.read_at = len(self._apps), time.time()
        await self._resolve(resolvable(self._apps))
        self._remember(self._apps)
        return True

    async def _apply_once(self, proof: Proof) -> float:
        """Seconds after which it has to be done again."""
        told = self._balancer.told
        changed, self._changed = self._changed, False
        try:
            if changed and self._apps is not None:
                found, left_out = services(self._apps, self._choice, self._addresses.get, self._alive, self._known)
                rest = await self._balancer.apply(found, proof)
                self.seen.waiting = proof.waiting()
                self.seen.left_out = sorted({*self._unreadable, *left_out, *told.left_out})
                self._say(self.seen.left_out)
            else:
                rest = await self._balancer.tend()
        except (TortieError, OSError) as error:
            if told.failure != str(error):
                log.error("%s", error)
            told.failure = str(error)
            self._changed = True
            return _AFTER_FAILURE
        finally:
            reap_strangers(self._haproxy.master())
        if told.failure and not told.reload_waits:
            log.info("haproxy is as wanted again")
            told.failure = ""
        return rest

    def _say(self, lines: Sequence[str]) -> None:
        """Each line once, until it stops being true."""
        for line in lines:
            if line not in self._said:
                log.warning("%s", line)
        self._said = set(lines)

    async def _hear(self, marathon: MarathonClient) -> None:
        pause = 1.0
        while True:
            try:
                async for _ in marathon.events(EVENTS, self._hears):
                    self.look_again()
                    pause = 1.0
            except Unavailable as error:
                log.debug("%s", error)
                if self.seen.stream:
                    log.warning("the stream of Marathon's events has ended: %s", error)
                    self.look_again()
                self.seen.stream = False
                pause = min(pause * 1.5, 15.0, self._source.max_backoff)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))

    def _hears(self) -> None:
        self.seen.stream = True
        self.look_again()

    async def _watch(self) -> None:
        """HAProxy's end wakes us at once."""
        while True:
            if pid := self._haproxy.master():
                await self._haproxy.ended()
                log.warning("haproxy, pid %d, has ended", pid)
                self._wake.set()
            await asyncio.sleep(_WATCH)

    async def _resolve(self, hosts: Iterable[str]) -> None:
        """Addresses of agents that are given by name. A name that fails keeps its last one and is asked again."""
        now = time.monotonic()
        due = [host for host in sorted(set(hosts)) if now >= self._resolve_after.get(host, now)]
        for host, address in zip(due, await asyncio.gather(*map(_lookup, due)), strict=True):
            self._addresses[host] = address or self._addresses.get(host)
            self._resolve_after[host] = now + (_NAME_LIVES if address else 0)

    def _remember(self, apps: Iterable[App]) -> None:
        """The last health seen of each task: a new Marathon leader has no results at first."""
        for app in apps:
            for task in app.tasks or () if app.health_checks else ():
                results = [result for result in task.health_check_results or () if result is not None]
                if results:
                    self._alive[task.id] = any(result.alive for result in results)
                    self._alive.move_to_end(task.id)
        while len(self._alive) > self._source.remember:
            self._alive.popitem(last=False)


async def _lookup(host: str) -> str | None:
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    try:
        async with asyncio.timeout(5):
            found = await asyncio.get_running_loop().getaddrinfo(host, None)
    except (OSError, TimeoutError, UnicodeError) as error:
        log.debug("%s: %s", host, error)
        return None
    return str(found[0][4][0])


async def _either(event: asyncio.Event, seconds: float) -> None:
    """Until something happens, at most so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
