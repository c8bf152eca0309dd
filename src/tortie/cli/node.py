"""`tortie node`: the agent of one host."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import click

from tortie.cli import first_network, host_address, node_config
from tortie.cli.grouping import Group
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
from tortie.dataplane.routes import Backend
from tortie.node.before import Files
from tortie.plugins.install import KINDS, Kind, Placed


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
    from tortie.cli import node_running  # what the other commands of this group do without

    first = first_network.first(given)
    options = node_running.Options(
        first=first,
        address=host_address.chosen(address, ip_autodetection_method),
        address6=host_address.chosen6(address6, ip6_autodetection_method),
        **given,
    )
    node_running.run(options)


@node.command()
def unit() -> None:
    """Print calico-node.service for systemd, which runs this agent from the next start of the host on."""
    click.echo(node_config.unit(node_config.program()), nl=False)


@node.command()
@click.option("--interface-prefix", default="cali", show_default=True)
def boot(interface_prefix: str) -> None:
    """Load a closed table when none of ours is there: nothing of a workload passes until the agent has come."""
    from tortie.dataplane.kernel.table import KernelTable
    from tortie.dataplane.render.base import closed_table
    from tortie.dataplane.render.settings import parse_prefixes

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
