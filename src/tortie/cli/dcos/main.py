"""`dcos`: the first word picks the command, or a program that a package has installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from tortie.base.meant import meant
from tortie.cli.dcos import grammar
from tortie.cli.dcos.commands import COMMANDS, command
from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.session import Session, say, tell
from tortie.cli.options import BadUsage

LEVELS = ("debug", "info", "warning", "error", "critical")


def main() -> None:
    sys.exit(run(sys.argv[1:], os.environ))


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """The exit code; what there is to say has been printed."""
    debug = "--debug" in arguments[:1] or environ.get("DCOS_DEBUG", "").lower() == "true"
    try:
        code = _run(list(arguments), environ)
        sys.stdout.flush()
    except DcosError as error:
        tell(str(error))
        return 1
    except KeyboardInterrupt:
        tell("User interrupted command with Ctrl-C")
        return 0
    except BrokenPipeError:
        # Who read our output has gone; keep the interpreter from telling again while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            raise
        tell(f"{type(error).__name__}: {error}\nThis is a fault of the program: `dcos --debug ...` shows where.")
        return 1
    return code


def _run(arguments: list[str], environ: Mapping[str, str]) -> int:
    asked = ""
    while arguments and arguments[0].startswith("-"):
        # Options of the program itself stand before the command.
        option, _, value = arguments.pop(0).partition("=")
        if option == "--log-level":
            value = value or (arguments.pop(0) if arguments else "")
            if value.lower() not in LEVELS:
                raise DcosError(f"Log level set to an unknown value {value!r}. Valid values are {', '.join(LEVELS)}")
        elif option in ("--version", "--help", "-h"):
            asked = asked or option
        elif option != "--debug":
            raise DcosError(f"dcos: unknown option {option}\n\n{_general()}")
    session = Session(environ)
    if asked == "--version":
        from tortie.cli.dcos.about import version

        return version(session)
    if asked or not arguments:
        say(_general())
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        return _installed(name, arguments, session)
    return _command(name, rest, session)


def _command(name: str, arguments: list[str], session: Session) -> int:
    found = command(name)
    asked = grammar.wanted(found, arguments)
    if asked:
        from tortie.cli.dcos import about

        say({"--help": about.help_of(name), "--info": COMMANDS[name], "--version": about.version_of(name)}[asked])
        return 0
    try:
        line = grammar.line(found, arguments)
    except BadUsage as error:
        word = next((word for word in arguments if not word.startswith("-")), "")
        tell(f"Command not recognized: {error}\n\n{grammar.usage(found, word)}".rstrip())
        return 1
    import importlib

    module, _, function = line.verb.run.partition(":")
    code = getattr(importlib.import_module(f"tortie.cli.dcos.{module}"), function)(session, line)
    return int(code or 0)


def _installed(name: str, arguments: list[str], session: Session) -> int:
    """A package's own command takes this process's place."""
    from tortie.cli.dcos import subcommands

    program = subcommands.find(session.environ, name)
    if program is None:
        raise DcosError(f"'{name}' is not a dcos command{meant(name, COMMANDS) or '.'}")
    return subcommands.become(program, arguments, session.environ)


def _general() -> str:
    from tortie.cli.dcos.about import general

    return general()


if __name__ == "__main__":
    main()
