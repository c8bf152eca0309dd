"""`tortie`: one program, each command in a module of its own that is imported when it is called."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from tortie.base.errors import Conflict, Invalid, NotFound, TortieError, Unavailable

EXIT: dict[type[TortieError], int] = {Invalid: 2, NotFound: 3, Conflict: 4, Unavailable: 5}

COMMANDS: dict[str, str] = {
    "up": "tortie.cli.lab:up",
    "down": "tortie.cli.lab:down",
    "status": "tortie.cli.lab:status",
    "hosts": "tortie.cli.lab:hosts",
    "logs": "tortie.cli.lab:logs",
    "exec": "tortie.cli.lab:exec_",
    "walk": "tortie.cli.walk:walk",
    "store": "tortie.cli.store:store",
    "node": "tortie.cli.node:node",
    "master": "tortie.cli.mesos:master",
    "agent": "tortie.cli.mesos:agent",
    "marathon": "tortie.cli.marathon:marathon",
    "dns": "tortie.cli.dns:dns",
    "lb": "tortie.cli.lb:lb",
}


class LazyGroup(click.Group):
    """Imports a command's module only when that command is asked for: a short command starts fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, _, name = target.partition(":")
        command: Any = getattr(importlib.import_module(module), name)
        return command if isinstance(command, click.Command) else None


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tortie")
def tortie() -> None:
    """An IP address for every container and a policy for every conversation."""


def exit_code(error: TortieError) -> int:
    """0 done, 1 failed, 2 usage, 3 not found, 4 conflict, 5 unreachable."""
    return next((code for family, code in EXIT.items() if isinstance(error, family)), 1)


def main() -> None:
    try:
        tortie(standalone_mode=True)
    except TortieError as error:
        click.echo(f"tortie: {error}", err=True)
        sys.exit(exit_code(error))
