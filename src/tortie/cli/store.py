"""`tortie store export`, `import`, `move`: what a store holds, out of it, into it, from one to another."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tortie.base.errors import Invalid, Unavailable
from tortie.cli.grouping import Group
from tortie.store.open import store_url

if TYPE_CHECKING:
    from tortie.store.port import Datastore

store_option = click.option(
    "--store",
    "url",
    default=store_url,
    show_default="this host's store",
    help="sqlite:///DIRECTORY or etcd://HOST:PORT",
)
overwrite_option = click.option(
    "--overwrite", is_flag=True, help="The target may hold something: it holds just this afterwards."
)


@click.group(cls=Group)
def store() -> None:
    """What a store holds of Calico's keys and ours (/calico/, /tortie/v1/): export, import, move.

    Keys that end with their owner's lease are left out: the owner writes them anew.
    """


@contextmanager
def _opened(url: str, *, create: bool = False) -> Iterator[Datastore]:
    from tortie.store.open import open_store

    opened = open_store(url, create=create)
    try:
        yield opened
    finally:
        opened.close()


@store.command("export")
@click.argument("file", type=click.Path(dir_okay=False), default="-")
@store_option
def export(file: str, url: str) -> None:
    """Write the store, as it is at one revision, to FILE (or standard output): a line of JSON a key."""
    from tortie.store import transfer, transfer_file

    with _opened(url) as opened:
        entries, revision = transfer.snapshot(opened)
    data = transfer_file.render(entries, revision)
    if file == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        _write(Path(file), data)
    click.echo(f"{len(entries)} keys of {url} at revision {revision}", err=True)


@store.command("import")
@click.argument("file", type=click.Path(dir_okay=False), default="-")
@store_option
@overwrite_option
def import_(file: str, url: str, overwrite: bool) -> None:
    """Write what FILE (or standard input) holds to the store.

    Checks all of FILE first. Refuses a store that holds something already (exit code 4), unless told --overwrite.
    """
    from tortie.store import transfer, transfer_file

    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise Invalid(f"{file}: {error.strerror}") from error
    try:
        entries = transfer_file.read(data, transfer.PREFIXES)
    except Invalid as error:
        raise Invalid(*(f"{file}: {problem}" for problem in error.problems)) from error
    with _opened(url, create=True) as opened:
        written = transfer.load(opened, entries, overwrite=overwrite)
    click.echo(f"{written} keys written to {url}", err=True)


@store.command("move")
@click.argument("source")
@click.argument("target")
@overwrite_option
@click.option("--drop-source", is_flag=True, help="Take the keys out of SOURCE once TARGET has them.")
def move(source: str, target: str, overwrite: bool, drop_source: bool) -> None:
    """Copy everything from the store at SOURCE to the one at TARGET, as it is at one revision.

    Stop the daemons before, and lead them to TARGET (--store, TORTIE_STORE, /etc/tortie/store) behind it: what is
    written to SOURCE meanwhile stays there. SOURCE keeps what it holds, as a way back, unless told --drop-source.
    """
    from tortie.store import transfer

    with _opened(source) as opened, _opened(target, create=True) as other:
        if transfer.same(opened, other):
            raise Invalid(f"{source} and {target} are the same store")
        entries, revision = transfer.snapshot(opened)
        written = transfer.load(other, entries, overwrite=overwrite)
        click.echo(f"{written} keys written to {target}, as of revision {revision} of {source}", err=True)
        if drop_source:
            transfer.remove_unchanged(opened, entries)
            click.echo(f"{len(entries)} keys removed from {source}", err=True)


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, and for the owner's eyes only: there may be secrets among the values."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise Unavailable(f"{path}: {error.strerror}") from error
