"""calicoctl 3: the first word picks the command."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

from tortie.base.errors import Invalid, NoNetworkStore, TortieError
from tortie.base.sources import Sources
from tortie.cli.calicoctl.era3 import usage
from tortie.cli.calicoctl.session import ClientError, Failed, Session
from tortie.cli.options import BadUsage, Options, read

Command = Callable[[Options, Session], str]


def run(arguments: Sequence[str], environ: Mapping[str, str], sources: Sources | None = None) -> int:
    """The exit code; what there is to say has been printed. NoNetworkStore is left to the caller."""
    try:
        text = _run(arguments, environ, sources or Sources())
    except BadUsage as error:
        word = next((word for word in arguments if not word.startswith("-")), "")
        print(f"calicoctl: {error}\n\n{usage.of(word)}", end="", file=sys.stderr)
        return 1
    except NoNetworkStore:
        raise
    except ClientError as error:
        print(f"Failed to create Calico API client: {error}")
        return 1
    except Failed as failure:
        if failure.out:
            print(failure.out)
        sys.stdout.flush()
        if failure.err:
            print(failure.err, file=sys.stderr)
        return 1
    except TortieError as error:
        problems = error.problems if isinstance(error, Invalid) else (str(error),)
        print("failed to execute command: " + "\n".join(problems), file=sys.stderr)
        return 1
    print(text, end="")
    return 0


def _run(arguments: Sequence[str], environ: Mapping[str, str], sources: Sources) -> str:
    rest = list(arguments)
    given: list[str] = []
    while rest and rest[0].startswith("-"):
        # Global options may stand before the command.
        if rest[0] in ("-h", "--help"):
            return usage.MAIN
        given.append(rest.pop(0))
        if "=" not in given[-1] and given[-1] in usage.TOP_VALUES and rest:
            given.append(rest.pop(0))
    word = rest.pop(0) if rest else ""
    if not word:
        raise BadUsage("no command")
    if word not in usage.COMMANDS:
        raise BadUsage(f"unknown command {word!r}")
    if "-h" in rest or "--help" in rest:
        return usage.of(word)
    command, flags, values = _command(word, rest)
    options = read([*given, *rest], {**flags, **usage.TOP_FLAGS}, {**values, **usage.TOP_VALUES})
    if word in usage.NO_WORDS and options.words:
        raise BadUsage(f"unexpected word {options.words[0]!r}")
    return command(options, Session(environ, sources, options.value("--config") or None))


def _command(word: str, rest: list[str]) -> tuple[Command, Mapping[str, str], Mapping[str, str]]:
    """The function of the command and its options; a second word that is part of the command's name is taken off."""
    if word == "get":
        from tortie.cli.calicoctl.era3.get import get

        return get, {**usage.GET_FLAGS, **usage.FILE_FLAGS}, {**usage.FILE_VALUES, **usage.OUTPUT}
    if word in ("ipam", "node", "datastore", "cluster"):
        second = rest.pop(0) if rest and not rest[0].startswith("-") else ""
        return _of_two(word, second, rest)
    if word == "convert":
        from tortie.cli.calicoctl.era3.convert import convert

        return convert, {"--ignore-validation": "--ignore-validation"}, {**usage.FILE_VALUES, **usage.OUTPUT}
    if word == "version":
        from tortie.cli.calicoctl.era3.about import version

        return version, {"--client": "--client"}, {"--poll": "--poll"}
    if word == "completion":
        from tortie.cli.calicoctl.completion import completion

        return completion, {}, {}
    from tortie.cli.calicoctl.era3 import change

    values = {**usage.FILE_VALUES, "-p": "--patch", "--patch": "--patch", "-t": "--type", "--type": "--type"}
    if word == "patch":
        return change.patch, {}, values
    if word == "label":
        return change.label, {"--overwrite": "--overwrite", "--remove": "--remove"}, usage.FILE_VALUES
    if word == "delete":
        skip = {"-s": "--skip-not-exists", "--skip-not-exists": "--skip-not-exists"}
        return change.delete, {**usage.FILE_FLAGS, **skip}, usage.FILE_VALUES
    flags = {**usage.FILE_FLAGS, "--skip-exists": "--skip-exists"} if word == "create" else usage.FILE_FLAGS
    return (lambda options, session: change.change(word, options, session)), flags, usage.FILE_VALUES


def _of_two(word: str, second: str, rest: list[str]) -> tuple[Command, Mapping[str, str], Mapping[str, str]]:
    if word == "ipam":
        from tortie.cli.calicoctl.era3 import ipam

        return ipam.command(second)
    from tortie.cli.calicoctl.era3 import about

    if word == "datastore" and second == "migrate":
        second = rest.pop(0) if rest and not rest[0].startswith("-") else ""
    return about.command(word, second)
