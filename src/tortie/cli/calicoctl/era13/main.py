"""calicoctl 1.3: the first word picks the command; every message goes to standard output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tortie.base.errors import Invalid, NoNetworkStore, TortieError
from tortie.base.sources import Sources
from tortie.cli.calicoctl.era13 import usage
from tortie.cli.calicoctl.era13.wording import worded
from tortie.cli.calicoctl.session import ClientError, Failed, Session
from tortie.cli.options import BadUsage, Options, read


def run(arguments: Sequence[str], environ: Mapping[str, str], sources: Sources | None = None) -> int:
    """The exit code; what there is to say has been printed. NoNetworkStore is left to the caller."""
    try:
        text = _run(list(arguments), environ, sources or Sources())
    except BadUsage:
        print(
            f"Invalid option: 'calicoctl {' '.join(arguments)}'. Use flag '--help' to read about a specific subcommand."
        )
        return 1
    except NoNetworkStore:
        raise
    except ClientError as error:
        print(f"Failed to create Calico API client: {error}")
        return 1
    except Failed as failure:
        print(failure.out or failure.err)
        return 1
    except TortieError as error:
        problems = error.problems if isinstance(error, Invalid) else (str(error),)
        print("Failed to execute command: " + worded(problems))
        return 1
    print(text, end="")
    return 0


def _run(rest: list[str], environ: Mapping[str, str], sources: Sources) -> str:
    given: list[str] = []
    while rest and rest[0].startswith("-"):
        if rest[0] in ("-h", "--help"):
            return usage.MAIN
        given.append(rest.pop(0))
        if "=" not in given[-1] and given[-1] in usage.TOP_VALUES and rest:
            given.append(rest.pop(0))
    word = rest.pop(0) if rest else ""
    if word not in usage.COMMANDS:
        raise BadUsage(word)
    if "-h" in rest or "--help" in rest:
        return usage.of(word)
    values = {**usage.VALUES.get(word, {}), **usage.TOP_VALUES}
    options = read([*given, *rest], usage.FLAGS.get(word, {}), values)
    return _command(word, options, Session(environ, sources, options.value("--config") or None))


def _command(word: str, options: Options, session: Session) -> str:
    if word == "get":
        from tortie.cli.calicoctl.era13.get import get

        return get(options, session)
    if word == "config":
        from tortie.cli.calicoctl.era13.settings import config

        return config(options, session)
    if word in ("ipam", "node", "version"):
        from tortie.cli.calicoctl.era13 import about

        return about.command(word, options, session)
    from tortie.cli.calicoctl.era13 import change

    return change.delete(options, session) if word == "delete" else change.change(word, options, session)
