"""What `dcos` says about itself: its help, and the versions of program and cluster."""

from __future__ import annotations

from tortie.cli.dcos import grammar
from tortie.cli.dcos.commands import COMMANDS, command
from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.grammar import Line, Verb
from tortie.cli.dcos.session import Session, say

COMMAND = grammar.Command(
    "help",
    (Verb("", "[<command>]", "about:help_", "the same as `dcos <command> --help`"),),
)
ALIKE = "0.5.3"
"""The version of the original whose tables and texts these are."""
SECONDS = 1.0


def general() -> str:
    width = max(map(len, COMMANDS)) + 4
    commands = "\n".join(f"    {name:<{width}}{about}" for name, about in COMMANDS.items())
    return f"""\
The command line of a DC/OS cluster: its nodes, its tasks, its apps.

Examples:
    dcos config set core.dcos_url http://master.example
    dcos marathon app add app.json
    dcos marathon app list
    dcos task exec -it <task> sh
    dcos node ssh --master-proxy --mesos-id=<agent>

Usage:
    dcos [--debug] [--log-level=<level>] <command> [<args>...]
    dcos --version | --help

Commands:
{commands}

`dcos <command> --help` shows the words of one command.

Variables: DCOS_CONFIG (the configuration file), DCOS_DIR [~/.dcos],
DCOS_CLUSTER, and DCOS_URL, DCOS_ACS_TOKEN, DCOS_<SECTION>_<KEY>, which win
over the file."""


def help_of(name: str) -> str:
    return grammar.help_text(command(name), COMMANDS[name]).rstrip()


def version_of(name: str) -> str:
    return f"dcos-{name} version {ALIKE}"


def help_(session: Session, line: Line) -> int:
    name = line.word("<command>")
    if name is None:
        say(general())
    elif name in COMMANDS:
        say(help_of(name))
    else:
        raise DcosError(f"'{name}' is not a dcos command.")
    return 0


def version(session: Session) -> int:
    """Of this program, and of the cluster where it answers."""
    try:
        found = session.http.get(session.url("dcos-metadata/dcos-version.json"), seconds=session.patience(SECONDS))
    except DcosError:
        found = {}
    known = found if isinstance(found, dict) else {}
    fields = {"version": "version", "commit": "dcos-image-commit", "bootstrap-id": "bootstrap-id"}
    lines = [f"dcos.{name}={known.get(key, 'N/A')}" for name, key in fields.items()]
    say("\n".join([f"dcoscli.version={ALIKE}", *lines]))
    return 0
