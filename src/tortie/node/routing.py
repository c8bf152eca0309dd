"""BGP on this host: what the brain knows becomes BIRD's configuration, again whenever it changes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread

from tortie.base.errors import TortieError
from tortie.dataplane.bgp import Secrets
from tortie.dataplane.render.bird import configuration
from tortie.node.bird import Bird
from tortie.node.brain import Brain
from tortie.node.health import Health, Signal

SECRETS = Path("/etc/tortie/secrets")
"""NAME/KEY below it holds a password, for root alone."""
LOOK_SECONDS = 5.0
SETTLE_SECONDS = 0.05

log = logging.getLogger("tortie.node")


class Routing:
    """Keeps BIRD as the brain wants it, or away when this host does without BGP."""

    def __init__(self, brain: Brain, health: Health, bird: Bird, secrets: Path = SECRETS) -> None:
        self._brain, self._health, self._bird = brain, health, bird
        self._secrets = secrets

    async def keep(self, changed: Signal) -> None:
        """Until cancelled; BIRD stays."""
        if self._brain.ways.backend != "bird":
            await self._try(self._bird.stop)
            return
        seen = (-1, -1, -1)
        while True:
            news = changed.next()
            now = self._brain.bgp_state()
            if self._health.store_in_sync:
                if now != seen or self._health.bgp_problems or not await anyio.to_thread.run_sync(self._bird.alive):
                    await self._settle()
                seen = now
            with anyio.move_on_after(LOOK_SECONDS):
                await news.wait()
                # What comes together goes into one configuration.
                await anyio.sleep(SETTLE_SECONDS)

    async def _settle(self) -> None:
        brain = self._brain
        plan = brain.speakers.plan(read_secrets(self._secrets, brain.speakers.secrets()))
        if plan is None:
            self._say([f"node {brain.node} has no IPv4 address in the store yet"])
            return
        made = configuration(plan, brain.announced(), str(self._bird.log))
        failed = await self._try(self._bird.settle, made.text)
        self._say([*plan.problems, *made.problems, *failed])

    async def _try(self, what: Callable[..., None], *words: str) -> list[str]:
        try:
            await anyio.to_thread.run_sync(what, *words)
        except TortieError as error:
            return [str(error)]
        return []

    def _say(self, problems: list[str]) -> None:
        for problem in problems:
            if problem not in self._health.bgp_problems:
                log.warning("bgp: %s", problem)
        self._health.bgp_problems = problems


def read_secrets(directory: Path, wanted: set[tuple[str, str]]) -> Secrets:
    """The passwords that are there; a name that leads elsewhere has none."""
    found = {}
    for name, key in wanted:
        if any(part in ("", ".", "..") or "/" in part for part in (name, key)):
            continue
        try:
            found[name, key] = (directory / name / key).read_text().rstrip("\n")
        except OSError as error:
            log.warning("secret %s, key %s: %s", name, key, error.strerror)
        except UnicodeDecodeError:
            log.warning("secret %s, key %s: not a text", name, key)
    return found
