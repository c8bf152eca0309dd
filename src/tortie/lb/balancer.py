"""Keeps HAProxy as wanted: server changes through the runtime API, a reload only when more than servers changed."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from tortie.base.errors import Unavailable
from tortie.lb import change
from tortie.lb.admission import pause_before_reload
from tortie.lb.haproxy import Haproxy, can_bind
from tortie.lb.proof import Proof
from tortie.lb.render import Rendered, Settings, mark_of, render
from tortie.lb.service import Service

log = logging.getLogger("lb")

_ROUNDS = 3
_REST = 2.0
_SOON = 0.1
_FEW = 16
_JUDGE_AGAIN = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """`interval`: seconds between reloads; `retry`: before one that failed is tried again, `tries` times (-1: always).

    `archive`: how many configurations are kept.
    """

    interval: float = 1.0
    retry: float = 10.0
    tries: int = 10
    archive: int = 5


@dataclass(frozen=True, slots=True)
class _Settled:
    """What a worker was seen to have; `since`: when all of it was looked at."""

    rendered: Rendered
    worker: int
    since: float


@dataclass
class Told:
    """What the pages say."""

    reloads: int = 0
    failed_reloads: int = 0
    changes: int = 0
    left_out: list[str] = field(default_factory=list)
    failure: str = ""
    reload_waits: float = 0.0


class Balancer:
    """`apply` brings HAProxy to a list of services, `tend` keeps it there; both twice are the same as once."""

    def __init__(self, haproxy: Haproxy, settings: Settings, pace: Pace | None = None) -> None:
        self._haproxy = haproxy
        self._files = haproxy.files
        self._settings = settings
        self._pace = pace or Pace()
        self._verdict: tuple[str, float, dict[str, str]] = ("", 0, {})
        self._wanted: Rendered | None = None
        self._rendered: Rendered | None = None
        self._adopted = False
        self._reloaded = self._failed = float("-inf")
        self._failures: tuple[str, int] = ("", 0)
        self._leaving: set[str] = set()
        self._soon = _SOON
        self._settled: _Settled | None = None
        self._binds: tuple[str, dict[tuple[str, int], str]] = ("", {})
        self.force_reload = False
        self.told = Told()

    async def apply(self, services: Sequence[Service], proof: Proof) -> float:
        """Seconds until `tend` is due. Unavailable when HAProxy could not be brought there; it goes on as it was."""
        running = bool(await self._haproxy.processes())
        if running and not self._adopted:
            proof.adopt(services, await self._have())
        self._adopted = True
        services = await proof.sift(services)
        left_out: list[str] = []
        bindable = self._bindable(services, left_out, running=running)
        self._wanted = await self._valid(bindable, left_out)
        self.told.left_out = left_out
        return await self.tend()

    async def tend(self) -> float:
        """As `apply`, for the services of the last one. Without any, HAProxy runs on what it has."""
        wanted = self._wanted
        if not await self._haproxy.processes():
            await self._start(wanted)
        self._haproxy.trim_log()
        if wanted is None:
            return _REST
        mark, worker = await self._haproxy.worker()
        if not self.force_reload and mark == wanted.mark:
            self.told.reload_waits = 0.0
            self._write(wanted)
            if await self._change_servers(wanted, worker):
                return self._next_look()
            log.warning("the runtime API refused a change: reloading")
        self.told.reload_waits = await self._pause(wanted)
        if self.told.reload_waits:
            await self._change_what_goes(wanted)
            return self.told.reload_waits
        await self._reload(wanted)
        if not await self._change_servers(wanted, 0):
            raise Unavailable("haproxy: servers are not as wanted after a reload")
        return self._next_look()

    def _next_look(self) -> float:
        """Soon while servers that were taken out finish their connections; later and later when that takes long."""
        self._soon = min(_REST, self._soon * 2) if self._leaving else _SOON
        return self._soon if self._leaving else _REST

    async def _start(self, wanted: Rendered | None) -> None:
        """On what is wanted; else on the configuration that is in place, or without services: the pages answer 503."""
        text, mark = "", ""
        if wanted is None:
            text = self._files.text()
            mark = mark_of(text)
            if not mark or await self._haproxy.check(text):
                wanted = render([], self._settings)
        if wanted is not None:
            self._files.provide(wanted.files)
            text, mark = wanted.text, wanted.mark
        self._files.write(text)
        await self._haproxy.start(mark)
        self._files.tidy()
        log.info("started haproxy")

    def _write(self, wanted: Rendered) -> None:
        if self._files.text() != wanted.text:
            self._files.write(wanted.text)

    def _bindable(self, services: Sequence[Service], left_out: list[str], *, running: bool) -> list[Service]:
        """Services whose port nobody else has taken: a reload with a taken port would fail as a whole."""
        held = self._held() if running else {}
        kept = []
        for service in services:
            key = (service.bind_address, service.port)
            why = "" if key in held else can_bind(*key)
            if why:
                left_out.append(f"{service.app_id}: left out: cannot listen on port {service.port}: {why}")
            else:
                kept.append(service)
        return kept

    def _held(self) -> dict[tuple[str, int], str]:
        """Where the configuration in place listens. Its mark stands for that."""
        text = self._files.text()
        mark = mark_of(text)
        if not mark or mark != self._binds[0]:
            self._binds = mark, change.binds(text)
        return self._binds[1]

    async def _valid(self, services: list[Service], left_out: list[str]) -> Rendered:
        """The configuration of those services that HAProxy accepts together. Servers do not count for that."""
        rendered = self._rendered = render(services, self._settings, self._rendered)
        mark, since, refused = self._verdict
        if mark != rendered.mark or (refused and time.monotonic() - since > _JUDGE_AGAIN):
            refused = await self._judge(services, rendered)
            self._verdict = (rendered.mark, time.monotonic(), refused)
        if refused:
            left_out += refused.values()
            rendered = render([s for s in services if s.name not in refused], self._settings, rendered)
        return rendered

    async def _refusals(self, rendered: Rendered) -> list[str]:
        self._files.provide(rendered.files)
        return await self._haproxy.check(rendered.text)

    async def _judge(self, services: list[Service], rendered: Rendered) -> dict[str, str]:
        """The names of services that break the configuration, with the reason."""
        if not await self._refusals(rendered):
            return {}
        if problems := await self._refusals(render([], self._settings)):
            raise Unavailable(f"haproxy refuses its configuration: {'; '.join(problems)}")
        refused: dict[str, str] = {}
        good = await self._admit([], services, refused)
        if problems := await self._refusals(render(good, self._settings)):
            raise Unavailable(f"haproxy refuses its configuration: {'; '.join(problems)}")
        return refused

    async def _admit(self, good: list[Service], candidates: list[Service], refused: dict[str, str]) -> list[Service]:
        """Halve until the services that break the configuration stand alone."""
        order = [*good, *candidates]
        problems = await self._refusals(render(order, self._settings))
        if not problems or not candidates:
            return order
        if len(candidates) == 1:
            (bad,) = candidates
            refused[bad.name] = f"{bad.app_id}: left out: haproxy refuses it: {problems[0]}"
            return good
        half = len(candidates) // 2
        return await self._admit(await self._admit(good, candidates[:half], refused), candidates[half:], refused)

    async def _pause(self, wanted: Rendered) -> float:
        """Seconds until a reload may be made."""
        now = time.monotonic()
        if self.force_reload:
            return pause_before_reload(now, self._reloaded, self._pace.interval, 0)
        mark, failures = self._failures
        if mark == wanted.mark and failures:
            if 0 <= self._pace.tries < failures:
                return max(self._pace.retry, _REST)
            return max(0.0, self._failed + self._pace.retry - now)
        old = sum(role == "old worker" for role in (await self._haproxy.processes()).values())
        return pause_before_reload(now, self._reloaded, self._pace.interval, old)

    async def _reload(self, wanted: Rendered) -> None:
        self.force_reload = False
        before = self._files.text()
        self._files.provide(wanted.files)
        self._files.write(wanted.text, keep=self._pace.archive)
        self._reloaded = time.monotonic()
        try:
            await self._haproxy.reload(wanted.mark)
        except Unavailable:
            mark, failures = self._failures
            self._failures = (wanted.mark, failures + 1 if mark == wanted.mark else 1)
            self._failed = time.monotonic()
            self.told.failed_reloads += 1
            self._files.write(before)  # the file says what runs
            raise
        self._failures = ("", 0)
        self._files.tidy()
        self.told.reloads += 1
        log.info("reloaded haproxy, %d servers may change without", len(wanted.servers))

    async def _have(self, backends: Collection[str] = ()) -> dict[change.Key, change.Have]:
        """The servers of these, or of all."""
        if not backends:
            return change.parse_state(await self._haproxy.command("show servers state"))
        found: dict[change.Key, change.Have] = {}
        for backend in sorted(backends):
            found |= change.parse_state(await self._haproxy.command(f"show servers state {backend}"))
        return found

    async def _change_servers(self, wanted: Rendered, worker: int) -> bool:
        """Read back, do what is left, read back: a change that landed on a leaving worker is made again.

        Now and then all servers are looked at. In between, when this worker was seen to be as wanted a moment ago,
        only those of back ends that are to change: with thousands of servers that is what a change costs.
        """
        near, since = self._near(wanted, worker)
        if near is not None and not near:
            return True
        self._settled = None
        want: Mapping[change.Key, str] = wanted.servers
        if near:
            want = {key: text for key, text in want.items() if key[0] in near}
        for _ in range(_ROUNDS):
            commands = list(change.plan(want, await self._have(near or ()), wanted.fixed, wanted.sticky))
            self._leaving = set()
            if not await self._run(commands):
                return False
            if not any(command.must for command in commands):
                self._settled = _Settled(wanted, worker, since)
                return True
        return change.settled(want, await self._have(near or ()), wanted.fixed)

    def _near(self, wanted: Rendered, worker: int) -> tuple[set[str] | None, float]:
        """The back ends to look at, None for all of them; and when all were looked at."""
        seen, now = self._settled, time.monotonic()
        if seen is None or seen.worker != worker or not worker or now - seen.since >= _REST:
            return None, now
        differing = seen.rendered.servers.items() ^ wanted.servers.items()
        near = {key[0] for key, _ in differing} | self._leaving
        return (near, seen.since) if len(near) <= _FEW else (None, now)

    async def _change_what_goes(self, wanted: Rendered) -> None:
        """Servers of the front ends that are there already, while a reload for others has to wait."""
        self._settled = None
        backends = set((await self._haproxy.command("show backend")).split())
        there = {key: text for key, text in wanted.servers.items() if key[0] in backends}
        for command in list(change.plan(there, await self._have(), wanted.fixed, wanted.sticky)):
            await self._run([command])

    async def _run(self, commands: list[change.Command]) -> bool:
        for command in commands:
            answer = await self._haproxy.command(command.text)
            if command.instead and not change.succeeded(command, answer):
                log.info("haproxy: %s: %s", command.text, answer.strip())
                answer = await self._haproxy.command(command.instead)
            if change.succeeded(command, answer):
                self.told.changes += 1
                log.info("haproxy: %s", command.text)
            elif command.must:
                log.warning("haproxy: %s: %s", command.text, answer.strip())
                return False
            else:
                self._leaving.add(command.text.split()[-1].partition("/")[0])
        return True
