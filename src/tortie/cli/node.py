"""`tortie node`: the agent of one host."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import anyio
import anyio.from_thread
import anyio.to_thread
import click

from tortie.base import log as logs
from tortie.base.errors import Invalid, TortieError, Unavailable
from tortie.cli import first_network, host_address, node_config
from tortie.cli.grouping import Group
from tortie.cli.node_companions import Companion, LauncherPaths, companions
from tortie.cli.node_options import (
    agent_socket,
    bird_directory,
    cni_socket,
    cni_spool,
    config_file,
    need_root,
    path_option,
    state,
    store_address,
    variable,
)
from tortie.cli.node_uninstall import uninstall
from tortie.dataplane.kernel.table import KernelTable
from tortie.dataplane.render.base import closed_table
from tortie.dataplane.render.settings import parse_prefixes
from tortie.dataplane.routes import Backend
from tortie.dataplane.tunnels import parse_six
from tortie.node.agent import Agent
from tortie.node.before import Before, Files
from tortie.node.bird import Bird
from tortie.node.bootstrap import write_defaults, write_node
from tortie.node.first import First
from tortie.node.http import application
from tortie.plugins.install import KINDS, Kind, Placed
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


@click.group(cls=Group)
def node() -> None:
    """The agent of one host: network and policy of its containers."""


@node.command()
@config_file
@click.option("--hostname", default=socket.gethostname, envvar="NODENAME", help="This node's name.")
@click.option("--address", envvar="IP", help="This host's IPv4 address with its subnet's mask: 172.24.197.102/24.")
@click.option(
    "--ip-autodetection-method",
    default="first-found",
    show_default=True,
    envvar="IP_AUTODETECTION_METHOD",
    help="How to find the address when none is given: first-found, can-reach=DEST, interface=REGEX.",
)
@click.option(
    "--address6",
    envvar="IP6",
    help="This host's IPv6 address with its subnet's mask; autodetect; none.  [default: what the Node says]",
)
@click.option(
    "--ip6-autodetection-method",
    default="first-found",
    show_default=True,
    envvar="IP6_AUTODETECTION_METHOD",
    help="The same for an IPv6 address that is to be found.",
)
@store_address
@agent_socket
@state
@click.option(
    "--own-table/--share-table",
    default=True,
    envvar=variable("own_table"),
    help="Let nobody else change our nftables table (Linux 6.9).",
)
@click.option(
    "--docker/--no-docker",
    default=True,
    envvar=variable("docker"),
    help="Serve Docker's network and address plug-ins.",
)
@click.option(
    "--cni/--no-cni",
    default=True,
    envvar=variable("cni"),
    help="Serve CNI and net-modules: what `tortie node install-cni` and `install-netmodules` put in place.",
)
@cni_socket
@cni_spool
@path_option("--net-modules-log", "/var/log/calico/isolator.log", "Every call of net-modules with its answer.")
@click.option(
    "--networking-backend",
    type=click.Choice(get_args(Backend)),
    default="direct",
    show_default=True,
    envvar="CALICO_NETWORKING_BACKEND",
    help="Who brings routes of pools without encapsulation: this agent, BGP by BIRD, nobody; none: no routes at all.",
)
@bird_directory
@first_network.options
@click.option("--debug", is_flag=True, envvar=variable("debug"))
def run(
    address: str | None,
    ip_autodetection_method: str,
    address6: str | None,
    ip6_autodetection_method: str,
    **given: Any,
) -> None:
    """Run the agent in the foreground. It ends on SIGTERM and leaves the kernel as it is.

    Every option may stand in the environment or in the configuration file, by the name of its variable.
    """
    need_root()
    first = first_network.first(given)
    options = Options(
        first=first,
        address=host_address.chosen(address, ip_autodetection_method),
        address6=host_address.chosen6(address6, ip6_autodetection_method),
        **given,
    )
    logger = logs.setup("tortie.node", debug=options.debug)
    _check(options)
    try:
        anyio.run(_run, logger, options, _companions(options))
    except BaseExceptionGroup as group:
        ours = group.subgroup(TortieError)
        if ours is None:
            raise
        raise _first(ours) from group


@node.command()
def unit() -> None:
    """Print calico-node.service for systemd, which runs this agent from the next start of the host on."""
    click.echo(node_config.unit(node_config.program()), nl=False)


def _first(group: BaseExceptionGroup[TortieError]) -> TortieError:
    """The failure to show: one line, whatever else failed with it."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found if isinstance(found, TortieError) else TortieError(str(found))


@node.command()
@click.option("--interface-prefix", default="cali", show_default=True)
def boot(interface_prefix: str) -> None:
    """Load a closed table when none of ours is there: nothing of a workload passes until the agent has come."""
    need_root()
    prefixes = parse_prefixes(interface_prefix)
    table = KernelTable()
    try:
        opened = table.open(owner=True, closed=closed_table(prefixes))
    finally:
        table.close()
    click.echo("closed table loaded" if opened.made else "table is there already, unchanged")


launcher_kind = click.option(
    "--launcher",
    type=click.Choice(KINDS),
    default="auto",
    show_default=True,
    help="What is put there: compiled from C, which starts faster, or the same in Python; auto: what can be had here.",
)


@node.command(name="install-cni")
@click.option(
    "--bin-dir",
    type=click.Path(path_type=Path),
    default=Path("/opt/cni/bin"),
    show_default=True,
    help="Where container runtimes look for plug-ins.",
)
@cni_socket
@cni_spool
@state
@launcher_kind
def install_cni(bin_dir: Path, cni_socket: Path, cni_spool: Path, state: Path, launcher: Kind) -> None:
    """Put the CNI plug-ins tortie, calico and calico-ipam where container runtimes look for them."""
    from tortie.plugins.cni.install import NAMES, install

    _install(install(bin_dir, str(cni_socket), str(cni_spool), launcher), [bin_dir / name for name in NAMES], state)


def _install(placing: Iterator[Placed], paths: Sequence[Path], state: Path) -> None:
    """What was there is kept, for `tortie node uninstall`."""
    files = Files(state)
    files.keep([path.absolute() for path in paths])
    for placed in placing:
        files.placed(placed.path.absolute())
        click.echo(f"wrote {placed.path}: {placed.what}")


@node.command(name="install-netmodules")
@click.option(
    "--bin-dir",
    type=click.Path(path_type=Path),
    default=Path("/calico"),
    show_default=True,
    help="Where modules.json says that the commands are.",
)
@cni_socket
@cni_spool
@state
@launcher_kind
def install_netmodules(bin_dir: Path, cni_socket: Path, cni_spool: Path, state: Path, launcher: Kind) -> None:
    """Put net-modules' command calico_mesos in place, and a modules.json for Mesos agents where there is none."""
    from tortie.plugins.netmodules.install import MODULES, NAME, install

    paths = [bin_dir / name for name in (NAME, *(() if (bin_dir / MODULES).exists() else (MODULES,)))]
    _install(install(bin_dir, str(cni_socket), str(cni_spool), launcher), paths, state)


node.add_command(uninstall)


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
