"""`tortie door run`: the cluster's entry door, at the paths of Admin Router."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tortie.base.errors import Invalid
from tortie.cli.grouping import Group

if TYPE_CHECKING:
    from tortie.door.links import Link
    from tortie.door.services import Server

FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(cls=Group)
def door() -> None:
    """One address for every HTTP interface of the cluster, with log-in and front page."""


@door.command()
@click.option("--listen", multiple=True, metavar="ADDRESS:PORT", help="Default: 0.0.0.0:80. May be given twice.")
@click.option("--master", multiple=True, required=True, metavar="HOST:PORT", help="Mesos masters; the leader is found.")
@click.option("--marathon", multiple=True, metavar="URL", help="In the order of their turns.")
@click.option(
    "--auth-credentials",
    metavar="USER:PASSWORD",
    help="For the door's own questions to Marathon. [default: $MARATHON_USER, _PASSWORD]",
)
@click.option("--mesos-dns", metavar="URL", help="Mesos-DNS's HTTP interface.")
@click.option("--packages", metavar="URL", help="The package service.")
@click.option("--net", metavar="URL", help="The resolver's HTTP interface, for /net/.")
@click.option("--balancer", metavar="URL", help="The balancer's pages, for /balancer/.")
@click.option("--link", multiple=True, metavar="NAME=URL", help="On the front page; `:PORT/...` is on the door's host.")
@click.option(
    "--ask",
    multiple=True,
    metavar="NAME=URL",
    help="Where the door asks whether the page of the link NAME answers; until it does, that is no link.",
)
@click.option("--public-ip", metavar="ADDRESS", help="For /metadata; default: the first address to listen on.")
@click.option("--cluster-id", help="For /metadata; default: made once.")
@click.option("--users", type=FILE, help="Log-in is asked for; lines of `tortie door password USER`.")
@click.option("--token-file", type=FILE, help="Log-in is asked for; this token is good for ever.")
@click.option("--tls", "tls_file", type=FILE, help="Serve HTTPS with this PEM file: certificate and key.")
@click.option("--authority", type=FILE, help="PEM of the authority, for /ca/dcos-ca.crt.")
@click.option("--state", default="/var/lib/tortie/door", type=click.Path(path_type=Path), show_default=True)
@click.option("--answer-timeout", type=click.FloatRange(0.1), default=3600.0, show_default=True, metavar="SECONDS")
@click.option("--dcos-version", default="1.9.2", show_default=True, help="The release that clients are told.")
@click.option("--debug", is_flag=True)
def run(debug: bool, listen: Sequence[str], **given: Any) -> None:
    """Run the door in the foreground until SIGTERM."""
    import asyncio
    import socket

    import uvloop

    from tortie.base import log
    from tortie.cli.lb_running import credentials
    from tortie.cli.stopping import run_until_stopped
    from tortie.door.cluster import Places
    from tortie.door.run import Options, cluster_id
    from tortie.door.run import run as run_door
    from tortie.door.services import server_of
    from tortie.door.site import About
    from tortie.web.serve import Tls

    log.setup("door", debug=debug)

    def at(option: str, value: str | None) -> Server | None:
        return (
            _read(f"--{option}", lambda: server_of(value if "://" in value else f"http://{value}")) if value else None
        )

    masters = [server for value in given["master"] if (server := at("master", value))]
    marathons = [server for value in given["marathon"] if (server := at("marathon", value))]
    others = {name: at(name.replace("_", "-"), given[name]) for name in ("mesos_dns", "packages", "net", "balancer")}
    addresses = [_address(text) for text in listen or ("0.0.0.0:80",)]
    about = About(
        address=given["public_ip"] or addresses[0][0],
        hostname=socket.gethostname(),
        cluster_id=given["cluster_id"] or cluster_id(given["state"]),
        version=given["dcos_version"],
        links=_links(given["link"], given["ask"]),
        authority=_text(given["authority"]),
    )
    options = Options(
        listen=addresses,
        places=Places(
            masters=masters, marathons=marathons, marathon_user=credentials(given["auth_credentials"]), **others
        ),
        about=about,
        state=given["state"],
        users=given["users"],
        token=given["token_file"],
        tls=Tls(given["tls_file"]) if given["tls_file"] else None,
        answer_seconds=given["answer_timeout"],
    )
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    run_until_stopped(run_door(options))


@door.command()
@click.argument("user")
def password(user: str) -> None:
    """Print a line for the file of --users; the password is read from the terminal or standard input."""
    import getpass
    import os

    from tortie.door import tokens

    given = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    click.echo(tokens.password_line(user, given, os.urandom(tokens.SALT_BYTES)))


def _read(option: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except Invalid as error:
        raise Invalid(*(f"{option} {problem}" for problem in error.problems)) from error


def _address(text: str) -> tuple[str, int]:
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:/\[\]]*)):(\d{1,5})", text)
    if not found or not 0 < int(found[3]) < 65536:
        raise Invalid(f"--listen {text}: ADDRESS:PORT is expected")
    return found[1] or found[2] or "0.0.0.0", int(found[3])


def _link(text: str) -> tuple[str, str]:
    name, equals, address = text.partition("=")
    if not name or not equals or not re.fullmatch(r"(https?://|:\d|/)\S*", address):
        raise Invalid(f"--link {text}: NAME=URL is expected; the URL begins with http, `/` or `:PORT`")
    return name, address


def _links(given: Sequence[str], asked: Sequence[str]) -> list[Link]:
    from urllib.parse import urlsplit

    from tortie.base.meant import meant
    from tortie.door.links import Link
    from tortie.door.services import server_of

    found = {name: Link(name, address) for name, address in map(_link, given)}
    for text in asked:
        name, _, url = text.partition("=")
        if name not in found:
            raise Invalid(f"--ask {text}: NAME=URL is expected, with the name of a --link{meant(name, found)}")
        server = _read("--ask", lambda url=url: server_of(url))  # type: ignore[misc]
        parts = urlsplit(url)
        path = parts.path or "/"
        found[name] = Link(
            name, found[name].address, replace(server, base=""), f"{path}?{parts.query}" if parts.query else path
        )
    return list(found.values())


def _text(path: Path | None) -> str:
    try:
        return path.read_text() if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{path}: {getattr(error, 'strerror', None) or error}") from error
