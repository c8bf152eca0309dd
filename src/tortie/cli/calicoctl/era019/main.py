"""calicoctl 0.19: the first word picks the command."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

from tortie.base.errors import TortieError
from tortie.cli.calicoctl.era019 import environment, usage
from tortie.cli.calicoctl.era019.line import Failure, UsageError
from tortie.store.client import Client

LATER = ("node", "container", "bgp", "config")
HOST = ("status", "checksystem", "diags")
USAGE = {"profile": usage.PROFILE, "endpoint": usage.ENDPOINT, "pool": usage.POOL, "ipam": usage.IPAM}


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """The exit code; what there is to say has been printed."""
    word = arguments[0] if arguments else ""
    if word == "version" and len(arguments) == 1:
        print(_version())
        return 0
    if word in LATER:
        print(f"calicoctl: {word} is not available in this version", file=sys.stderr)
        return 1
    if word in HOST and len(arguments) == 1:
        return _of_host(word, environ)
    if word not in USAGE:
        print(usage.MAIN, end="")
        return 0 if word in ("-h", "--help") else 1
    if "-h" in arguments or "--help" in arguments:
        print(USAGE[word], end="")
        return 0
    return _run(word, arguments[1:], environ)


def _run(word: str, arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    from tortie.store.open import open_store

    try:
        command = _command(word, arguments)
        environment.check(environ)
        told = environment.note(environ)
        if told and sys.stderr.isatty():
            print(told, file=sys.stderr)
        store = open_store(environment.store_url(environ), create=False)
        try:
            text = command(Client(store))
        finally:
            store.close()
    except UsageError as error:
        print(error.usage, end="", file=sys.stderr)
        return 1
    except Failure as failure:
        if failure.text:
            print(failure.text)
        return failure.code
    except TortieError as error:
        import textwrap

        print(textwrap.fill(str(error), 80) + "\n")
        return 1
    if text:
        print(text)
    return 0


def _command(word: str, arguments: Sequence[str]) -> Callable[[Client], str]:
    if word == "profile":
        from tortie.cli.calicoctl.era019.profile import command

        return command(arguments)
    if word in ("pool", "ipam") and list(arguments[:1]) != ["show"]:
        from tortie.cli.calicoctl.era019 import pool

        return pool.ipam(arguments) if word == "ipam" else pool.command(arguments)
    if word == "ipam":
        raise UsageError(usage.IPAM)
    if word == "endpoint" and "profile" in arguments:
        from tortie.cli.calicoctl.era019 import endpoint

        return endpoint.command(arguments)
    from tortie.cli.calicoctl.era019 import show

    return show.pool(arguments) if word == "pool" else show.endpoint(arguments)


def _of_host(word: str, environ: Mapping[str, str]) -> int:
    from tortie.base.sources import Sources
    from tortie.cli.calicoctl.session import Failed, Session

    try:
        if word == "status":
            from tortie.cli.calicoctl.node_status import status

            text = status()
        elif word == "checksystem":
            from tortie.cli.calicoctl.checksystem import report

            text = report()
        else:
            from tortie.cli.calicoctl.diags import collect

            text = collect(Session(environ, Sources()))
    except Failed as failure:
        print(failure.out or failure.err)
        return 1
    print(text, end="")
    return 0


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"tortie {version('tortie')} (grammar 0.19)"
    except PackageNotFoundError:
        return "tortie (grammar 0.19)"
