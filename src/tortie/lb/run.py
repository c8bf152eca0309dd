"""The balancer as a program: follows Marathon, keeps HAProxy, answers on the paths of marathon-lb's port 9090."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import random
import resource
import signal
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tortie.base.errors import Conflict, TortieError, Unavailable
from tortie.lb.balancer import Balancer
from tortie.lb.control import make_app
from tortie.lb.haproxy import Haproxy
from tortie.lb.render import Settings, render
from tortie.lb.services import Choice, resolvable, services
from tortie.web.serve import serve, unix_listener
from tortie.wire.marathon import MarathonClient
from tortie.wire.marathon_apps import App

log = logging.getLogger("lb")

EVENTS = (
    "api_post_event", "health_status_changed_event", "status_update_event", "deployment_success",
    "app_terminated_event", "instance_changed_event",
)  # fmt: skip
_SETTLE = 0.05
_LOOK_AGAIN = 2.0
_REMEMBERED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    marathons: tuple[str, ...]
    choice: Choice
    settings: Settings
    program: str
    refresh_seconds: float = 60.0
    max_backoff: float = 300.0
    stop_haproxy: bool = False


class Follower:
    """Looks at Marathon when told to and now and then, and hands what it sees to the balancer."""

    def __init__(self, options: Options, balancer: Balancer) -> None:
        self._options = options
        self._balancer = balancer
        self._dirty = asyncio.Event()
        self._said: set[str] = set()
        self._reachable: bool | None = None
        self._working: bool | None = None
        self._addresses: dict[str, str | None] = {}
        self._alive: OrderedDict[str, bool] = OrderedDict()
        self._apps: list[App] | None = None
        self._problems: list[str] = []

    def look_again(self) -> None:
        self._dirty.set()

    def reload(self) -> None:
        """Reload HAProxy even when nothing changed."""
        self._balancer.force_reload = True
        self._dirty.set()

    async def run(self) -> None:
        async with MarathonClient(self._options.marathons) as marathon, asyncio.TaskGroup() as group:
            group.create_task(self._hear(marathon))
            await self._balancer.adopt()
            failures, looked = 0, float("-inf")
            loop = asyncio.get_running_loop()
            while True:
                due = self._dirty.is_set() or loop.time() - looked >= self._options.refresh_seconds
                self._dirty.clear()
                if due:
                    looked = loop.time()
                    failures = 0 if await self._read_once(marathon) else failures + 1
                applied = await self._apply_once()
                pause = _LOOK_AGAIN
                if failures:
                    looked = float("-inf")
                    pause = min(self._options.max_backoff, 0.5 * 1.5**failures) * random.uniform(0.8, 1.2)
                elif not applied:
                    pause = 5.0
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._dirty.wait()
                await asyncio.sleep(_SETTLE)

    async def _read_once(self, marathon: MarathonClient) -> bool:
        try:
            self._apps, self._problems = await marathon.apps()
        except TortieError as error:
            if self._reachable is not False:
                log.warning("Marathon does not answer, keeping the configuration: %s", error)
            self._reachable = False
            return False
        if self._reachable is not True:
            log.info("reading %d apps from Marathon", len(self._apps))
        self._reachable = True
        await self._resolve(resolvable(self._apps))
        self._remember(self._apps)
        return True

    async def _apply_once(self) -> bool:
        try:
            if self._apps is None:
                await self._balancer.apply_nothing()
            else:
                found, left_out = services(self._apps, self._options.choice, self._addresses.get, self._alive)
                await self._balancer.apply(found)
                self._say({*self._problems, *left_out, *self._balancer.left_out})
        except (TortieError, OSError) as error:
            if self._working is not False:
                log.error("%s", error)
            self._working = False
            return False
        if self._working is False:
            log.info("haproxy is as wanted again")
        self._working = True
        return True

    def _say(self, lines: set[str]) -> None:
        """Each line once, until it stops being true."""
        for line in sorted(lines - self._said):
            log.warning("%s", line)
        self._said = lines

    async def _hear(self, marathon: MarathonClient) -> None:
        pause = 1.0
        while True:
            try:
                async for _ in marathon.events(EVENTS, self._dirty.set):
                    self._dirty.set()
                    pause = 1.0
            except Unavailable as error:
                log.debug("%s", error)
                pause = min(pause * 1.5, 15.0)
            self._dirty.set()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))

    async def _resolve(self, hosts: Iterable[str]) -> None:
        """Addresses of agents that are given by name; a name that fails is asked again the next time."""
        loop = asyncio.get_running_loop()
        for host in sorted(set(hosts)):
            if self._addresses.get(host) is None:
                try:
                    async with asyncio.timeout(5):
                        found = await loop.getaddrinfo(host, None)
                except (OSError, TimeoutError, UnicodeError) as error:
                    log.debug("%s: %s", host, error)
                    self._addresses[host] = None
                    continue
                self._addresses[host] = str(found[0][4][0])

    def _remember(self, apps: Iterable[App]) -> None:
        """The last health seen of each task: a new Marathon leader has no results at first."""
        for app in apps:
            for task in app.tasks or () if app.health_checks else ():
                results = [result for result in task.health_check_results or () if result is not None]
                if results:
                    self._alive[task.id] = any(result.alive for result in results)
                    self._alive.move_to_end(task.id)
        while len(self._alive) > _REMEMBERED:
            self._alive.popitem(last=False)


@contextmanager
def only_one(work_dir: Path) -> Iterator[None]:
    """Conflict when another balancer looks after this work directory. The lock goes with the process."""
    try:
        work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (work_dir / "lock").open("w")
    except OSError as error:
        raise Unavailable(f"{work_dir}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(f"another `tortie lb` looks after {work_dir}") from error
        yield


def affordable(wanted: int) -> int:
    """As many connections as the limit of open files allows; HAProxy refuses to start above it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if hard == resource.RLIM_INFINITY else max(100, min(wanted, (hard - 200) // 2))


async def run(options: Options) -> None:
    """Serve until cancelled. HAProxy goes on afterwards, unless the options say to stop it."""
    work_dir = Path(options.settings.work_dir)
    with only_one(work_dir):
        haproxy = Haproxy(options.program, work_dir)
        follower = Follower(options, Balancer(haproxy, options.settings))
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, follower.look_again)
        loop.add_signal_handler(signal.SIGUSR1, follower.reload)
        app = make_app(haproxy, follower.look_again, follower.reload)
        listener = unix_listener(work_dir / "control.sock")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(follower.run())
                group.create_task(serve(app, [listener]))
        finally:
            if options.stop_haproxy:
                await haproxy.stop()


async def dry_run(options: Options) -> str:
    """The configuration for what Marathon has now, without touching anything."""
    async with MarathonClient(options.marathons) as marathon:
        apps, problems = await marathon.apps()
    follower = {host: host for host in resolvable(apps)}
    found, left_out = services(apps, options.choice, follower.get)
    for line in (*problems, *left_out):
        log.warning("%s", line)
    return render(found, options.settings).text
