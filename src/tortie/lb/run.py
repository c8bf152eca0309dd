"""The balancer as a program: follows Marathon, keeps HAProxy, answers on the paths of marathon-lb's port 9090."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tortie.base.errors import Conflict, Unavailable
from tortie.lb.balancer import Balancer, Pace
from tortie.lb.control import make_app
from tortie.lb.follow import Follower, Source
from tortie.lb.haproxy import Haproxy
from tortie.lb.render import Settings, render
from tortie.lb.services import Choice, resolvable, services
from tortie.web.serve import serve, unix_listener

log = logging.getLogger("lb")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`stop_within`: None leaves HAProxy serving when this program ends; else it ends too, softly, so long at most."""

    source: Source
    choice: Choice
    settings: Settings
    program: str
    pace: Pace
    stop_within: float | None = None


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


def open_files() -> int:
    """As many as a program of ours may have; 0 is no limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if hard == resource.RLIM_INFINITY else hard


async def run(options: Options) -> None:
    """Serve until cancelled. HAProxy goes on afterwards, unless the options say to stop it."""
    work_dir = Path(options.settings.work_dir)
    with only_one(work_dir):
        haproxy = Haproxy(options.program, work_dir, tied=options.stop_within is not None)
        balancer = Balancer(haproxy, options.settings, options.pace)
        follower = Follower(options.source, options.choice, balancer, haproxy)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, follower.look_again)
        loop.add_signal_handler(signal.SIGUSR1, follower.reload)
        listener = unix_listener(work_dir / "control.sock")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(follower.run())
                group.create_task(serve(make_app(haproxy, follower, balancer.told), [listener]))
        finally:
            if options.stop_within is not None:
                await haproxy.stop(options.stop_within)


async def dry_run(options: Options) -> str:
    """The configuration for what Marathon has now, without touching anything."""
    async with options.source.client() as marathon:
        apps, problems = await marathon.apps()
    follower = {host: host for host in resolvable(apps)}
    found, left_out = services(apps, options.choice, follower.get)
    for line in (*problems, *left_out):
        log.warning("%s", line)
    return render(found, options.settings).text
