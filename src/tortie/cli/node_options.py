"""Options that several commands of `tortie node` have."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click

from tortie.base.errors import Invalid
from tortie.cli import node_config
from tortie.node.before import FOLDER
from tortie.node.bird_socket import DIRECTORY
from tortie.store.open import store_url

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def variable(option: str) -> str:
    """The variable of the environment that stands for an option."""
    return next(name for name, known in node_config.NAMES.items() if known == option)


def need_root() -> None:
    if os.geteuid() != 0:
        raise Invalid("this needs root: it changes routes and nftables")


def _load_file(context: click.Context, _parameter: click.Parameter, path: Path | None) -> None:
    """The file's settings stand behind the command line and the environment. One that was named must be there."""
    if path is not None and not path.exists():
        raise Invalid(f"{path}: no such file")
    context.default_map = {**(context.default_map or {}), **node_config.load(path or node_config.CONFIG)}


def path_option(option: str, default: str, text: str) -> Decorator:
    name = option.removeprefix("--").replace("-", "_")
    kind = click.Path(path_type=Path)
    return click.option(option, type=kind, default=default, show_default=True, envvar=variable(name), help=text)


cni_socket = path_option("--cni-socket", "/run/tortie/cni.sock", "Where the plug-ins find this agent.")
cni_spool = path_option("--cni-spool", "/var/lib/tortie/cni/spool", "What they keep for it while it is away.")
state = path_option("--state", str(FOLDER), "What this host was before, for its uninstallation.")
config_file = click.option(
    "--config",
    type=click.Path(path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=_load_file,
    help="File of NAME=VALUE lines, by the variables' names.  [default: /etc/tortie/node.conf if it is there]",
)
store_address = click.option(
    "--store",
    default=store_url,
    show_default="this host's store",
    envvar="TORTIE_STORE",
    help="Address of the datastore.",
)
agent_socket = click.option(
    "--socket",
    "path",
    default="/run/tortie/node.sock",
    show_default=True,
    envvar=variable("path"),
    help="Health, status, metrics.",
)
bird_directory = click.option(
    "--bird-directory",
    default=str(DIRECTORY),
    show_default=True,
    envvar=variable("bird_directory"),
    help="BIRD's own files and its socket.",
)
