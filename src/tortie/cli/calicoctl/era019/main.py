"""calicoctl 0.19: the first word picks the command."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

from tortie.base.errors import NoNetworkStore, TortieError, Unavailable
from tortie.cli.calicoctl.era019 import environment, usage
from tortie.cli.calicoctl.era019.line import Failure, UsageError, read
from tortie.store.client import Client

Job = Callable[[Client], str]
USAGE = {
    "status": usage.STATUS,
    "node": usage.NODE,
    "container": usage.CONTAINER,
    "profile": usage.PROFILE,
    "endpoint": usage.ENDPOINT,
    "pool": usage.POOL,
    "bgp": usage.BGP,
    "ipam": usage.IPAM,
    "checksystem": usage.CHECKSYSTEM,
    "diags": usage.DIAGS,
    "config": usage.CONFIG,
}


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """The exit code; what there is to say has been printed. NoNetworkStore is left to the caller."""
    word = arguments[0] if arguments else ""
    if word == "version" and len(arguments) == 1:
        print(_version())
        return 0
    if word not in USAGE:
        print(usage.MAIN, end="")
        return 0 if word in ("-h", "--help") else 1
    if "-h" in arguments or "--help" in arguments:
        print(USAGE[word], end="")
        return 0
    return _run(word, arguments[1:], environ)


def _run(word: str, arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    try:
        if word in ("status", "checksystem", "diags"):
            text = _of_host(word, arguments, environ)
        else:
            text = _in_store(_command(word, arguments, environ), environ)
    except UsageError as error:
        print(error.usage, end="", file=sys.stderr)
        return 1
    except Failure as failure:
        if failure.text:
            print(failure.text)
        return failure.code
    except NoNetworkStore:
        raise
    except TortieError as error:
        import textwrap

        print(textwrap.fill(str(error), 80) + "\n")
        return 1
    if text:
        print(text)
    return 0


def _in_store(command: Job, environ: Mapping[str, str]) -> str:
    from tortie.cli.calicoctl.session import ClientError

    try:
        with environment.session(environ).client() as client:
            return command(client)
    except ClientError as error:
        raise Unavailable(str(error)) from error


def _command(word: str, arguments: Sequence[str], environ: Mapping[str, str]) -> Job:
    """Imports what this one command needs."""
    if word == "profile":
        from tortie.cli.calicoctl.era019 import profile

        return profile.command(arguments)
    if word == "endpoint" and "profile" in arguments:
        from tortie.cli.calicoctl.era019 import endpoint

        return endpoint.command(arguments)
    if word == "endpoint" or (word == "pool" and list(arguments[:1]) == ["show"]):
        from tortie.cli.calicoctl.era019 import show

        return show.pool(arguments) if word == "pool" else show.endpoint(arguments)
    if word in ("pool", "ipam"):
        from tortie.cli.calicoctl.era019 import pool

        return pool.ipam(arguments) if word == "ipam" else pool.command(arguments)
    if word == "bgp":
        from tortie.cli.calicoctl.era019 import bgp

        return bgp.command(arguments)
    if word == "config":
        from tortie.cli.calicoctl.era019 import config

        return config.command(arguments, environ)
    if word == "node":
        from tortie.cli.calicoctl.era019 import node

        return node.command(arguments, environ)
    from tortie.cli.calicoctl.era019 import container

    return container.command(arguments, environ)


def _of_host(word: str, arguments: Sequence[str], environ: Mapping[str, str]) -> str:
    """What needs no store, or does without one."""
    from tortie.cli.calicoctl.session import Failed

    flags = ("--fix", "--libnetwork") if word == "checksystem" else ()
    values = ("--log-dir",) if word == "diags" else ("--runtime",)
    line = read(arguments, USAGE[word], flags=flags, values=values)
    if line.words:
        raise UsageError(USAGE[word])
    if line.values.get("--runtime", "docker") not in ("docker", "rkt", "none"):
        raise Failure("Runtime must be 'docker', 'rkt' or 'none'.")
    try:
        if word == "status":
            from tortie.cli.calicoctl.node_status import status

            text = status(era019=True)
        elif word == "checksystem":
            from tortie.cli.calicoctl import checksystem

            text = checksystem.report(fix="--fix" in line.flags, docker="--libnetwork" in line.flags)
        else:
            from tortie.cli.calicoctl.diags import LOG_DIR, collect

            text = collect(environment.session(environ), line.values.get("--log-dir", LOG_DIR))
    except Failed as failure:
        raise Failure(failure.out or failure.err) from failure
    return text.removesuffix("\n")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"tortie {version('tortie')} (grammar 0.19)"
    except PackageNotFoundError:
        return "tortie (grammar 0.19)"
