"""Blue-green deployments against Marathon and the balancers: what zdd.py decides, done step by step."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from tortie.base.errors import Conflict, Invalid, Unavailable
from tortie.lb import zdd
from tortie.wire.marathon import MarathonClient
from tortie.wire.marathon_apps import App

_ANSWER_WITHIN = aiohttp.ClientTimeout(total=30, sock_connect=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to go about it. `complete`: `cur` or `prev` makes a split deployment whole, the new or the old way."""

    balancer: str
    wishes: zdd.Wishes = field(default_factory=zdd.Wishes)
    step_delay: float = 5
    max_wait: float = 300
    resume: bool = False
    complete: str = ""
    dry_run: bool = False
    pre_kill_hook: str = ""


class Deployer:
    """`ask` gets a question and says whether to go on, `say` gets lines for the person who waits."""

    def __init__(
        self, marathon: MarathonClient, plan: Plan, ask: Callable[[str], bool], say: Callable[[str], None]
    ) -> None:
        self._marathon = marathon
        self._plan = plan
        self._ask = ask
        self._say = say
        self._addresses: dict[str, str] = {}

    async def deploy(self, definition: zdd.Json, show: Callable[[str], None]) -> bool:
        """True when done; False when the person said no. Conflict when another deployment is under way."""
        apps, _ = await self._marathon.apps()
        earlier = zdd.same_group(apps, definition)
        if len(earlier) > 1:
            return await self._go_on(earlier)
        if self._plan.complete:
            raise Invalid("--complete-cur and --complete-prev are for a group of two apps")
        if self._plan.resume:
            raise Invalid("--resume: no deployment is under way")
        last = earlier[0] if earlier else None
        app = zdd.prepared(definition, last, self._plan.wishes, datetime.now(UTC))
        show(json.dumps(app, sort_keys=True, indent=2))
        if self._plan.dry_run:
            return True
        if not self._ask("Continue with deployment?"):
            return False
        await self._marathon.post_app(app)
        return last is None or await self._swap(str(app["id"]), last.id)

    async def _go_on(self, earlier: list[App]) -> bool:
        """With the two last apps of a group."""
        newer, older = earlier[0], earlier[1]
        if self._plan.complete == "prev":
            newer, older = older, newer
        elif not (self._plan.complete or self._plan.resume):
            raise Conflict(f"a deployment is under way: {newer.id} beside {older.id}; --resume goes on with it")
        self._say(f"{newer.id} replaces {older.id}")
        return True if self._plan.dry_run else await self._swap(newer.id, older.id)

    async def _swap(self, new_id: str, old_id: str) -> bool:
        wishes = self._plan.wishes
        while True:
            new, old = await self._marathon.app(new_id), await self._marathon.app(old_id)
            if new.deployments or old.deployments:
                await asyncio.sleep(self._plan.step_delay)
                continue
            if zdd.stays_split(new, wishes) and zdd.finished(new, old, 0, wishes):
                self._say(f"{new.id} and {old.id} stay beside each other")
                return True
            resting = await self._resting(new, old)
            if zdd.finished(new, old, len(resting), wishes):
                return await self._delete(old)
            if resting and not await self._kill(new, old, resting):
                return False
            await self._grow(new, old)

    async def _grow(self, new: App, old: App) -> None:
        wishes = self._plan.wishes
        if new.instances < (zdd.stays_split(new, wishes) or zdd.target(new)):
            count = zdd.more_instances(new, old, wishes)
            self._say(f"scaling {new.id} to {count}")
            await self._marathon.put_app(new.id, {"instances": count})

    async def _resting(self, new: App, old: App) -> list[str]:
        """Tasks of the old app that no balancer sends anyone to: idle ones, or after the longest wait busy ones too."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._plan.max_wait
        seen: list[zdd.Listener] = []
        told = ""
        while loop.time() < until:
            await asyncio.sleep(self._plan.step_delay)
            try:
                balancers = await self._balancers()
                missing, seen = await self._look(new, old, balancers)
            except Unavailable as error:
                missing = str(error)
            if not missing:
                return zdd.set_aside(old, self._address, seen, len(balancers), idle=True)
            if missing != told:
                self._say(f"{new.id} {new.instances}, {old.id} {old.instances}; waiting for: {missing}")
                told = missing
        self._say("waited long enough: going on with tasks that are set aside and still busy")
        balancers = await self._balancers()
        _, seen = await self._look(new, old, balancers)
        return zdd.set_aside(old, self._address, seen, len(balancers), idle=False)

    async def _look(self, new: App, old: App, balancers: list[str]) -> tuple[str, list[zdd.Listener]]:
        async with aiohttp.ClientSession(timeout=_ANSWER_WITHIN) as http:
            for url in balancers:
                if len((await _fetch(http, f"{url}/_haproxy_getpids")).split()) > 2:
                    return f"{url}: workers of an earlier configuration end", []
            texts = [await _fetch(http, f"{url}/haproxy?stats;csv") for url in balancers]
        await self._resolve(task.host for task in old.tasks or ())
        seen = zdd.listeners(texts, zdd.backend_name(new))
        return zdd.waits_for(new, old, seen, len(balancers)), seen

    async def _balancers(self) -> list[str]:
        """One URL for each address of the balancer's name."""
        parts = urlsplit(self._plan.balancer)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                parts.hostname, parts.port or 9090, family=socket.AF_INET, type=socket.SOCK_STREAM
            )
        except OSError as error:
            raise Unavailable(f"{self._plan.balancer}: {error.strerror}") from error
        places = sorted({f"{address[0]!s}:{address[1]!s}" for *_, address in found})
        return [urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", "")) for place in places]

    async def _resolve(self, hosts: Any) -> None:
        """Addresses of agents that are given by name, as the balancer asks for them."""
        for host in set(hosts) - self._addresses.keys():
            try:
                found = await asyncio.get_running_loop().getaddrinfo(host, None)
                self._addresses[host] = str(found[0][4][0])
            except OSError as error:
                raise Unavailable(f"{host}: {error.strerror}") from error

    def _address(self, host: str) -> str:
        return self._addresses.get(host, host)

    async def _kill(self, new: App, old: App, tasks: list[str]) -> bool:
        await self._call_hook(new, old, tasks)
        self._say("\n  - ".join([f"about to kill tasks of {old.id}:", *tasks]))
        if not self._ask("Continue?"):
            return False
        await self._marathon.kill_tasks(tasks, scale=True)
        return True

    async def _call_hook(self, new: App, old: App, tasks: list[str]) -> None:
        """The operator's program gets old app, tasks and new app as JSON; what it refuses ends the deployment."""
        if not self._plan.pre_kill_hook:
            return
        apps = [await self._marathon.app_json(app.id) for app in (old, new)]
        arguments = [json.dumps(value) for value in (apps[0], tasks, apps[1])]
        try:
            hook = await asyncio.create_subprocess_exec(self._plan.pre_kill_hook, *arguments)
        except OSError as error:
            raise Unavailable(f"{self._plan.pre_kill_hook}: {error.strerror}") from error
        if await hook.wait():
            raise Unavailable(f"{self._plan.pre_kill_hook} ended with {hook.returncode}: the deployment stops here")

    async def _delete(self, old: App) -> bool:
        self._say(f"about to delete {old.id}")
        if not self._ask("Continue?"):
            return False
        await self._marathon.delete_app(old.id)
        return True


async def _fetch(http: aiohttp.ClientSession, url: str) -> str:
    try:
        async with http.get(url) as reply:
            if reply.status != 200:
                raise Unavailable(f"{url} answered {reply.status}")
            return await reply.text()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unavailable(f"{url}: {error or type(error).__name__}") from error
