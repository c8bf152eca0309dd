"""`tortie`: one program, each command in a module of its own that is imported when it is called."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from tortie.base.errors import Conflict, Invalid, NotFound, TortieError, Unavailable
from tortie.base.meant import meant
from tortie.cli.grouping import Group

EXIT: dict[type[TortieError], int] = {Invalid: 2, NotFound: 3, Conflict: 4, Unavailable: 5}

COMMANDS: dict[str, str] = {
    "up": "tortie.cli.lab:up",
    "down": "tortie.cli.lab:down",
    "status": "tortie.cli.lab:status",
    "hosts": "tortie.cli.lab:hosts",
    "logs": "tortie.cli.lab:logs",
    "exec": "tortie.cli.lab:exec_",
    "walk": "tortie.cli.walk:walk",
    "why": "tortie.cli.why:why",
    "matrix": "tortie.cli.matrix:matrix",
    "whatif": "tortie.cli.whatif:whatif",
    "doctor": "tortie.cli.doctor:doctor",
    "flows": "tortie.cli.flows:flows",
    "store": "tortie.cli.store:store",
    "image": "tortie.cli.image:image",
    "node": "tortie.cli.node:node",
    "master": "tortie.cli.mesos:master",
    "agent": "tortie.cli.mesos:agent",
    "marathon": "tortie.cli.marathon:marathon",
    "dns": "tortie.cli.dns:dns",
    "lb": "tortie.cli.lb:lb",
    "door": "tortie.cli.door:door",
    "rollout": "tortie.cli.rollout:rollout",
    "packages": "tortie.cli.packages:packages",
}
SECTIONS = {
    "A lab on this machine": ("up", "down", "status", "hosts", "logs", "exec", "walk"),
    "Questions about policy": ("why", "matrix", "whatif", "flows", "doctor"),
    "Hosts of your own": ("rollout", "node", "store", "image"),
    "Daemons of a cluster": ("master", "agent", "marathon", "dns", "lb", "door", "packages"),
}


class LazyGroup(Group):
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

    def invoke(self, ctx: click.Context) -> Any:
        """Ctrl-C is told in one line, with the exit code that shells give it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("\ntortie: interrupted", err=True)
            sys.exit(130)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"no command {args[0]!r}{meant(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.command(cls=LazyGroup, sections=SECTIONS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tortie")
@click.option("--debug", is_flag=True, help="First of all words: on a failure, show where in the program it was.")
def tortie(*, debug: bool) -> None:
    """An IP address for every container and a policy for every conversation.

    \b
    tortie up stars              a lab of four hosts and the Stars demo on it
    tortie walk stars            the same, every step checked by real packets
    tortie exec agent-1          a shell on one of its hosts
    tortie down                  ends it and leaves nothing
    tortie why A B tcp/80        may they speak, and which rule says so
    tortie matrix                who may speak to whom
    tortie whatif -f FILE        who would gain or lose what
    """


def exit_code(error: TortieError) -> int:
    """0 done, 1 failed, 2 usage, 3 not found, 4 conflict, 5 unreachable."""
    return next((code for family, code in EXIT.items() if isinstance(error, family)), 1)


def lines(error: Exception) -> list[str]:
    """What a person reads: what failed and why, then what to type next; never where in the program it was."""
    if isinstance(error, Invalid):
        return [line for problem in error.problems for line in problem.splitlines()]
    if isinstance(error, OSError) and error.strerror:
        return [f"{error.filename}: {error.strerror}" if error.filename else error.strerror]
    if isinstance(error, TortieError):
        return str(error).splitlines()
    return [f"{type(error).__name__}: {error}", "this is a fault of the program: `tortie --debug ...` shows where"]


def main() -> None:
    debug = "--debug" in sys.argv[1:2]
    try:
        tortie(standalone_mode=True)
    except Exception as error:
        if debug:
            raise
        first, *rest = lines(error) or [type(error).__name__]
        click.echo("\n".join([f"tortie: {first}", *(f"        {line}" for line in rest)]), err=True)
        sys.exit(exit_code(error) if isinstance(error, TortieError) else 1)
