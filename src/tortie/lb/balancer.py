"""Keeps HAProxy as wanted: server changes through the runtime API, a reload only when more than servers changed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

from tortie.base.errors import Unavailable
from tortie.lb import change
from tortie.lb.haproxy import Haproxy, can_bind
from tortie.lb.render import Rendered, Settings, mark_of, render
from tortie.lb.service import Service

log = logging.getLogger("lb")

_RELOAD_EVERY = 1.0
_ROUNDS = 3


class Balancer:
    """`apply` brings HAProxy to a list of services; applying twice is the same as applying once."""

    def __init__(self, haproxy: Haproxy, settings: Settings) -> None:
        self._haproxy = haproxy
        self._settings = settings
        self._checked: tuple[str, Rendered, list[str]] | None = None
        self._reloaded = 0.0
        self.reloads = 0
        self.force_reload = False
        self.left_out: list[str] = []

    async def adopt(self) -> None:
        """Say whether an HAProxy of an earlier program runs here; it is left as it is."""
        try:
            processes = await self._haproxy.processes()
        except Unavailable as error:
            log.warning("%s", error)
            return
        if processes:
            log.info("found haproxy running, pids %s", " ".join(map(str, processes)))

    async def revive(self) -> None:
        """Start HAProxy on the configuration that is in place, or on one without services: the pages answer 503."""
        config = self._haproxy.config
        text = config.read_text() if config.exists() else ""
        mark = mark_of(text)
        if not mark or await self._haproxy.check(text):
            rendered = render([], self._settings)
            self._haproxy.provide(rendered.files)
            text, mark = rendered.text, rendered.mark
        self._haproxy.write(text)
        await self._haproxy.start(mark)
        log.info("started haproxy")

    async def apply_nothing(self) -> None:
        """See that HAProxy runs, on what it has: nothing is known of the apps yet."""
        if not await self._haproxy.processes():
            await self.revive()

    async def apply(self, services: Sequence[Service]) -> None:
        """Unavailable when HAProxy could not be brought there; it goes on as it was then."""
        running = bool(await self._haproxy.processes())
        self.left_out = []
        wanted = await self._valid(await self._bindable(services, running=running))
        forced, self.force_reload = self.force_reload, False
        if not running:
            self._haproxy.write(wanted.text)
            await self._haproxy.start(wanted.mark)
            log.info("started haproxy")
        elif not forced and await self._haproxy.loaded() == wanted.mark:
            self._write(wanted)
            if await self._change_servers(wanted):
                self._haproxy.tidy()
                return
            log.warning("the runtime API refused a change: reloading")
            await self._reload(wanted)
        else:
            await self._reload(wanted)
        if not await self._change_servers(wanted):
            raise Unavailable("haproxy: servers are not as wanted after a reload")
        self._haproxy.tidy()

    def _write(self, wanted: Rendered) -> None:
        config = self._haproxy.config
        if not config.exists() or config.read_text() != wanted.text:
            self._haproxy.write(wanted.text)

    async def _bindable(self, services: Sequence[Service], *, running: bool) -> list[Service]:
        """Services whose port nobody else has taken: a reload with a taken port would fail as a whole."""
        config = self._haproxy.config
        held = change.binds(config.read_text()) if running and config.exists() else {}
        kept = []
        for service in services:
            key = (service.bind_address, service.port)
            why = "" if key in held else can_bind(*key)
            if why:
                self.left_out.append(f"{service.app_id}: left out: cannot listen on port {service.port}: {why}")
            else:
                kept.append(service)
        return kept

    async def _valid(self, services: list[Service]) -> Rendered:
        """The configuration of those services that HAProxy accepts together."""
        rendered = render(services, self._settings)
        if self._checked is None or self._checked[0] != rendered.text:
            self._checked = (rendered.text, *await self._check(services, rendered))
        self.left_out += self._checked[2]
        return self._checked[1]

    async def _refusals(self, rendered: Rendered) -> list[str]:
        self._haproxy.provide(rendered.files)
        return await self._haproxy.check(rendered.text)

    async def _check(self, services: list[Service], rendered: Rendered) -> tuple[Rendered, list[str]]:
        if not await self._refusals(rendered):
            return rendered, []
        refused: list[str] = []
        if problems := await self._refusals(render([], self._settings)):
            raise Unavailable(f"haproxy refuses its configuration: {'; '.join(problems)}")
        good = await self._admit([], services, refused)
        rendered = render(good, self._settings)
        if problems := await self._refusals(rendered):
            raise Unavailable(f"haproxy refuses its configuration: {'; '.join(problems)}")
        return rendered, refused

    async def _admit(self, good: list[Service], candidates: list[Service], refused: list[str]) -> list[Service]:
        """Halve until the services that break the configuration stand alone."""
        order = [*good, *candidates]
        problems = await self._refusals(render(order, self._settings))
        if not problems or not candidates:
            return order
        if len(candidates) == 1:
            refused.append(f"{candidates[0].app_id}: left out: haproxy refuses it: {problems[0]}")
            return good
        half = len(candidates) // 2
        return await self._admit(await self._admit(good, candidates[:half], refused), candidates[half:], refused)

    async def _reload(self, wanted: Rendered) -> None:
        pause = self._reloaded + _RELOAD_EVERY - time.monotonic()
        if pause > 0:
            await asyncio.sleep(pause)
        before = self._haproxy.config.read_text() if self._haproxy.config.exists() else ""
        self._haproxy.write(wanted.text)
        self._reloaded = time.monotonic()
        try:
            await self._haproxy.reload(wanted.mark)
        except Unavailable:
            self._haproxy.write(before)  # the file says what runs
            raise
        self.reloads += 1
        log.info("reloaded haproxy, %d servers may change without", len(wanted.servers))

    async def _change_servers(self, wanted: Rendered) -> bool:
        """Read back, do what is left, read back: a change that landed on a leaving worker is made again."""
        fixed = change.fixed_backends(wanted.text, wanted.servers)
        for _ in range(_ROUNDS):
            have = change.parse_state(await self._haproxy.command("show servers state"))
            commands = list(change.plan(wanted.servers, have, fixed, wanted.sticky))
            if not await self._run(commands):
                return False
            if not any(command.must for command in commands):
                return True
        have = change.parse_state(await self._haproxy.command("show servers state"))
        return change.settled(wanted.servers, have, fixed)

    async def _run(self, commands: list[change.Command]) -> bool:
        for command in commands:
            answer = await self._haproxy.command(command.text)
            if change.succeeded(command, answer):
                log.info("haproxy: %s", command.text)
            elif command.must:
                log.warning("haproxy: %s: %s", command.text, answer.strip())
                return False
        return True
