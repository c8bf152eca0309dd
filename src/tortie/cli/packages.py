"""`tortie packages run`, `keygen`, `build`, `check`: the package service, and repositories made and looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tortie.base.errors import Conflict, Invalid, Unavailable
from tortie.cli.calico_framework import install_framework
from tortie.cli.etcd_framework import etcd_framework
from tortie.cli.grouping import Group
from tortie.store.open import cluster_store_url

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
def packages() -> None:
    """Packages: apps ready to be installed, their options and repositories."""


packages.add_command(etcd_framework)
packages.add_command(install_framework)


@packages.command()
@click.option("--listen", default="127.0.0.1:7070", show_default=True, metavar="HOST:PORT", help="For the door alone.")
@click.option("--marathon", "marathons", multiple=True, metavar="URL", help="Marathon; may repeat.")
@click.option("--auth-credentials", metavar="USER:PASSWORD", help="For Marathon.")
@click.option("--marathon-ca-cert", metavar="FILE", help="The certificates that Marathon's is believed by.")
@click.option("--master", default="master.mesos:5050", show_default=True, help="HOST:PORT; several with commas.")
@click.option("--store", default=cluster_store_url, show_default="this host's cluster's")
@click.option(
    "--repository",
    "repositories",
    multiple=True,
    metavar="NAME=URI",
    help="Until the list is changed by `dcos package repo`; may repeat; also file:///DIRECTORY. [default: our own]",
)
@click.option("--trust", multiple=True, type=_FILE, help="A public key that repositories are signed with; may repeat.")
@click.option(
    "--allow-unsigned",
    "unsigned",
    multiple=True,
    metavar="URI",
    help="This, and what lies below it, needs no signature.",
)
@click.option(
    "--share", metavar="HOST:PORT", help="Serve our own repository, signed, at /repository to other clusters."
)
@click.option(
    "--keys",
    type=click.Path(path_type=Path, file_okay=False),
    default="/var/lib/tortie/packages",
    show_default=True,
    help="With --share: where the keys to sign it with are; made when they are not there.",
)
@click.option(
    "--defaults",
    callback=lambda _context, _option, text: _defaults(text) if text else {},
    metavar="FILE|JSON",
    help='What options are here, unless somebody says otherwise: {"calico": {"Network": {"nat-outgoing": false}}}.',
)
@click.option(
    "--station/--no-station",
    default=False,
    help="Let the package calico bring its node to this host, too: for masters, which run no agent; as root.",
)
@click.option("--debug", is_flag=True)
def run(**given: Any) -> None:
    """Serve Cosmos' API, in the foreground."""
    from tortie.base.log import setup
    from tortie.cli.stopping import run_until_stopped
    from tortie.packages.run import run as program

    settings = _settings(given)
    setup("packages", debug=given["debug"])
    run_until_stopped(program(settings))


def _settings(given: dict[str, Any]) -> Any:
    from tortie.cli.lb_running import checked_url, credentials
    from tortie.packages.repositories import DEFAULT
    from tortie.packages.run import Settings

    host, port = _place("--listen", given["listen"])
    masters = [part.strip() for part in given["master"].split(",") if part.strip()]
    for master in masters:
        _place("--master", master)
    return Settings(
        host=host,
        port=port,
        marathon=[checked_url("--marathon", url) for url in given["marathons"]] or ["http://marathon.mesos:8080"],
        masters=masters,
        store=given["store"],
        repositories=[_repository(text) for text in given["repositories"]] or DEFAULT,
        trusted=given["trust"],
        unsigned=given["unsigned"],
        share=_place("--share", given["share"]) if given["share"] else None,
        keys=given["keys"],
        defaults=given["defaults"],
        station=own_station() if given["station"] else None,
        user=credentials(given["auth_credentials"]),
        ca=given["marathon_ca_cert"],
    )


def _defaults(text: str) -> dict[str, dict[str, Any]]:
    import json

    try:
        found = json.loads(text if text.lstrip().startswith("{") else Path(text).read_text())
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{text[:100]}: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(options, dict) for options in found.values()):
        raise click.BadParameter("an object of options for each package's name is needed")
    return found


def own_station() -> Any:
    """This host by its name and its addresses."""
    import os
    import socket

    from tortie.cli.host_address import OTHERS, own_addresses
    from tortie.packages.station import Settings
    from tortie.packages.stations import Station

    if os.geteuid() != 0:
        raise click.BadParameter("only root can do on this host what a rollout asks for", param_hint="--station")
    own = (found for version in (4, 6) for found in own_addresses(version) if not OTHERS.match(found.interface))
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError as error:
        raise Unavailable(f"{error.filename}: {error.strerror}") from error
    return Settings(Station(socket.gethostname(), tuple(found.address for found in own), boot))


def _place(option: str, text: str) -> tuple[str, int]:
    from tortie.base.numbers import whole

    host, colon, port = text.rpartition(":")
    number = whole(port, 65535)
    if not (host and colon and number):
        raise click.BadParameter(f"{text!r} is not HOST:PORT", param_hint=option)
    return host.strip("[]"), number


def _repository(text: str) -> Any:
    from urllib.parse import urlsplit

    from tortie.packages.failures import CosmosError
    from tortie.packages.repositories import check_new
    from tortie.packages.universe import Repository

    name, equals, uri = text.partition("=")
    if not (name and equals and uri):
        raise click.BadParameter(f"{text!r} is not NAME=URI", param_hint="--repository")
    found = Repository(name, uri)
    if urlsplit(uri).scheme != "file":
        try:
            check_new(found, [], None)
        except CosmosError as error:
            raise click.BadParameter(str(error), param_hint="--repository") from error
    return found


@packages.command()
@click.argument("private", type=_FILE)
def keygen(private: Path) -> None:
    """Make a pair of keys: PRIVATE, and PRIVATE.pub for those who are to trust it."""
    from tortie.packages import signing

    public = private.with_name(private.name + ".pub")
    signing.generate(private, public)
    click.echo(f"{private}: keep it to yourself\n{public}: for `tortie packages run --trust`")


@packages.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("index", type=_FILE)
@click.option("--key", type=_FILE, required=True, help="The private key, of `tortie packages keygen`.")
@click.option("--days", type=click.IntRange(1, 3650), default=30, show_default=True, help="How long it is good.")
def build(source: Path, index: Path, key: Path, days: int) -> None:
    """Make INDEX and INDEX.sig of a tree of packages, for any web server to serve.

    SOURCE holds packages/E/etcd/0/package.json and so on. The serial is the time: an earlier index is refused by those
    who have seen a later one.
    """
    import time
    from datetime import UTC, datetime, timedelta

    from tortie.packages import signing
    from tortie.packages.seal import sealed
    from tortie.packages.sources import read_folder

    found = read_folder(source)
    if not found:
        raise Invalid(f"{source}: there is no package in it; expected packages/E/etcd/0/package.json and so on")
    data = sealed(found, serial=int(time.time()), now=datetime.now(UTC), good_for=timedelta(days=days))
    signature = signing.sign(data, key)
    for path, content in ((index, data), (index.with_name(index.name + ".sig"), signature)):
        beside = path.with_name(f".{path.name}.new")
        beside.write_bytes(content)
        beside.replace(path)
    click.echo(f"{len(found)} packages, {len(data)} bytes; good for {days} days", err=True)


@packages.command()
@click.argument("index", type=_FILE)
@click.option("--trust", type=_FILE, required=True, multiple=True, help="Public keys; may repeat.")
def check(index: Path, trust: tuple[Path, ...]) -> None:
    """Would a service that trusts these keys take INDEX with INDEX.sig? Exit code 2 with the reason when not."""
    from datetime import UTC, datetime

    from tortie.packages import signing
    from tortie.packages.sources import read_signed

    for key in trust:
        signing.check_public(key)
    try:
        data, signature = index.read_bytes(), index.with_name(index.name + ".sig").read_bytes()
    except OSError as error:
        raise Conflict(f"{error.filename}: {error.strerror}") from error
    key = signing.verify(data, signature, trust)
    found = read_signed(data, datetime.now(UTC), 0)
    click.echo(f"{len(found.packages)} packages, serial {found.serial}, signed with {key}")
