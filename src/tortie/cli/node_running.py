"""`tortie node run`: the agent's process, put together. Apart from its command: it imports nearly everything."""

from __future__ import annotations

import logging
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import anyio.from_thread
import anyio.to_thread

from tortie.base import log as logs
from tortie.base.errors import Invalid, TortieError, Unavailable
from tortie.cli import host_address
from tortie.cli.node_companions import Companion, LauncherPaths, companions
from tortie.cli.node_options import need_root
from tortie.dataplane.routes import Backend
from tortie.dataplane.tunnels import parse_six
from tortie.node.agent import Agent
from tortie.node.before import Before
from tortie.node.bird import Bird
from tortie.node.bootstrap import write_defaults, write_node
from tortie.node.first import First
from tortie.node.http import application
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.store.port import Datastore
from tortie.web.serve import serve, unix_listener

RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `tortie node run` was started with."""

    hostname: str
    address: str
    address6: str | None
    """Empty: this node shall have none. None: what its Node says."""
    store: str
    path: str
    own_table: bool
    docker: bool
    cni: bool
    cni_socket: Path
    cni_spool: Path
    net_modules_log: Path
    networking_backend: Backend
    bird_directory: str
    first: First
    state: Path
    debug: bool


def run(options: Options) -> None:
    """Until SIGTERM. Raises the first of what ended it."""
    logger = logs.setup("tortie.node", debug=options.debug)
    _check(options)
    try:
        anyio.run(_run, logger, options, _companions(options))
    except BaseExceptionGroup as group:
        ours = group.subgroup(TortieError)
        if ours is None:
            raise
        raise _first(ours) from group


def _first(group: BaseExceptionGroup[TortieError]) -> TortieError:
    """The failure to show: one line, whatever else failed with it."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found if isinstance(found, TortieError) else TortieError(str(found))


def _companions(options: Options) -> Sequence[Companion]:
    paths = LauncherPaths(options.cni_socket, options.cni_spool, options.net_modules_log) if options.cni else None
    return companions(docker=options.docker, launchers=paths)


def _check(options: Options) -> None:
    need_root()
    hostname, address = options.hostname, options.address
    problems = []
    if not hostname or "/" in hostname:
        problems.append(f"--hostname {hostname!r}: a name without slashes is needed")
    problems += host_address.faults(address)
    if options.address6:
        problems += host_address.faults6(options.address6)
    if problems:
        raise Invalid(*problems)


async def _run(logger: logging.Logger, options: Options, beside: Sequence[Companion]) -> None:
    before = Before(options.state)
    before.folders(_makes(options))
    listener = unix_listener(Path(options.path))
    name = options.hostname.lower()
    agent = Agent(
        name,
        options.address,
        address6=str(parse_six(options.address6)) if options.address6 else options.address6,
        own_table=options.own_table,
        backend=options.networking_backend,
        bird=Bird(Path(options.bird_directory)),
        before=before,
    )
    logger.info("node %s address=%s address6=%s store=%s", name, options.address, options.address6 or "", options.store)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_end_on_signal, tasks.cancel_scope, logger)
        tasks.start_soon(serve, application(agent), [listener])
        datastore = await _open(logger, options.store, agent)
        tasks.start_soon(_write_own, logger, Client(datastore), options)
        tasks.start_soon(agent.run, datastore)
        for companion in beside:
            tasks.start_soon(companion, agent, datastore)


def _makes(options: Options) -> list[Path]:
    """Where this process and what it starts put files."""
    from tortie.plugins.docker.service import PLUGIN_DIR

    files = [Path(options.path), options.state / "x", Path(options.bird_directory) / "x"]
    files += [PLUGIN_DIR / "x"] if options.docker else []
    return [*files, options.cni_socket, options.cni_spool / "x"] if options.cni else files


async def _open(logger: logging.Logger, store: str, agent: Agent) -> Datastore:
    """The store, as soon as it is there; a wrong address is Invalid at once."""
    while True:
        try:
            return await anyio.to_thread.run_sync(open_store, store)
        except Unavailable as error:
            agent.health.store_reason = str(error)
            logger.warning("store is away, the kernel stays as it is: %s", error)
            await anyio.sleep(RETRY_SECONDS)


async def _write_own(logger: logging.Logger, client: Client, options: Options) -> None:
    """This node and the cluster's first settings, as soon as the store takes them."""
    while True:
        try:
            for name in await anyio.to_thread.run_sync(partial(write_defaults, client, first=options.first)):
                logger.info("created %s", name)
            own = options.hostname.lower(), options.address, options.address6
            await anyio.to_thread.run_sync(write_node, client, *own)
            return
        except Invalid:
            raise
        except TortieError as error:
            logger.warning("own node not written yet: %s", error)
            await anyio.sleep(RETRY_SECONDS)


async def _end_on_signal(scope: anyio.CancelScope, logger: logging.Logger) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            logger.info("%s: ending, the kernel stays as it is", signal.Signals(number).name)
            scope.cancel()
            return
