"""The commands there are: each is a Command in a module of its own, imported when it is asked for."""

from __future__ import annotations

import importlib

from tortie.cli.dcos.grammar import Command

COMMANDS = {
    "auth": "Authenticate to a DC/OS cluster.",
    "cluster": "Manage the clusters that this command knows.",
    "completion": "Completion for bash, zsh or fish.",
    "config": "Manage the DC/OS configuration file.",
    "help": "Display help about a command.",
    "marathon": "Deploy and manage applications on DC/OS.",
    "node": "View DC/OS node information.",
    "package": "Install and manage DC/OS software packages.",
    "service": "Manage DC/OS services.",
    "task": "Manage DC/OS tasks.",
}
"""Name -> what it is for. The words of `NAME` are the value COMMAND of the module `tortie.cli.dcos.NAME`."""


def command(name: str) -> Command:
    """The command of a name that COMMANDS has."""
    found = importlib.import_module(f"tortie.cli.dcos.{name}").COMMAND
    assert isinstance(found, Command)
    return found
