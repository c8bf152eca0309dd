"""What `why`, `matrix` and `whatif` share: the files they read, the store they ask, and where that is."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from tortie.base.errors import Invalid, TortieError, Unavailable
from tortie.base.sources import Sources

if TYPE_CHECKING:
    from tortie.lab.api import Lab
    from tortie.policy.reading import Loaded, Reader, Stored
    from tortie.policy.world import World
    from tortie.store.client import Client

FILE_HELP = "Resources: a file, a directory, or - for standard input; repeatable."
files_option = click.option("-f", "--filename", "files", multiple=True, metavar="FILE", help=FILE_HELP)
live_option = click.option("--live", is_flag=True, help="With -f: lay the files over what the store holds.")
lab_option = click.option("--name", metavar="LAB", help="Ask this lab's store.")


def load(reader: Reader, sources: Sources, names: Sequence[str]) -> Loaded:
    """Everything in the files. Invalid lists all faults of all files."""
    faults: list[str] = []
    texts: list[tuple[str, str]] = []
    for name in names:
        try:
            texts += sources.texts(name)
        except Invalid as error:
            faults += error.problems
    try:
        loaded = reader.read(texts)
    except Invalid as error:
        faults += error.problems
    if faults:
        raise Invalid(*faults)
    for note in loaded.notes:
        say(note)
    if names and not loaded.resources and not loaded.assertions:
        say("the files hold no resources")
    return loaded


def stand_ins(reader: Reader) -> None:
    """Say that pods of manifests were given addresses."""
    if reader.stand_ins:
        say(f"{reader.stand_ins} pods have no address yet and are asked about with made-up ones (240.0.0.1 and up)")


def say(text: str) -> None:
    click.echo(f"tortie: {text}", err=True)


def stored(lab: str | None) -> Stored:
    """What the store holds. Unavailable when it does not answer or there is none."""
    from tortie.policy.live import read_store

    with _client(lab) as client:
        found = read_store(client)
    for item in found.unread:
        say(f"{item.key} cannot be read: {item.why}")
    return found


def with_base(loaded: Loaded, lab: str | None, *, ask: bool) -> World:
    """The world of the files alone, or with `ask` of the files laid over the store."""
    from tortie.policy.reading import Stored, laid_over, still_unread, world_of

    base = stored(lab) if ask else Stored()
    unread = still_unread(base.unread, loaded.resources.values())
    return world_of(laid_over(base.resources, loaded).values(), unread)


@contextmanager
def _client(lab: str | None) -> Iterator[Client]:
    """The lab that is named; else the store that this host is configured for; else the user's lab; else what
    calicoctl would ask."""
    from tortie.store.open import CONFIGURED

    if lab is None and not os.environ.get("TORTIE_STORE") and not os.path.exists(CONFIGURED) and _is_lab_up():
        from tortie.lab.plan import DEFAULT_NAME

        lab = DEFAULT_NAME
    if lab is not None:
        with _of_lab(lab) as client:
            yield client
        return
    from tortie.cli.calicoctl.session import ClientError, Session

    try:
        with Session(os.environ, Sources()).client() as client:
            yield client
    except ClientError as error:
        if isinstance(error.__cause__, TortieError):
            raise error.__cause__ from error
        raise Unavailable(str(error)) from error


def _is_lab_up() -> bool:
    from tortie.lab import state
    from tortie.lab.plan import DEFAULT_NAME

    try:
        return state.places(DEFAULT_NAME).run.exists()
    except OSError:
        return False


@contextmanager
def _of_lab(name: str) -> Iterator[Client]:
    """The network's store of a lab, reached as its master reaches it."""
    from tortie.cli.screen import need_root
    from tortie.lab import state
    from tortie.lab.api import Lab
    from tortie.lab.walks.prober import enter
    from tortie.store.client import Client
    from tortie.store.open import open_store

    need_root(f"asking lab {name}")
    lab = Lab.find(name)
    master = lab.host("master")
    url = _network_store(lab)
    if url.startswith("sqlite:"):
        # The directory that all hosts of the lab see, where it lies on the machine.
        url = f"sqlite://{state.places(name).store}"
    else:
        enter(master.netns())
    store = open_store(url, create=False)
    try:
        yield Client(store)
    finally:
        store.close()


def _network_store(lab: Lab) -> str:
    """As the first of its hosts says that has it, the master before others. Unavailable when none has it."""
    from tortie.store.open import CONFIGURED

    hosts = sorted((host for host in lab.hosts.values() if host.alive), key=lambda host: host.role != "master")
    for host in hosts:
        try:
            return host.path(CONFIGURED).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise Unavailable(f"{CONFIGURED} on {host.name} of lab {lab.name}: {error.strerror}") from error
    raise Unavailable(
        f"the network of lab {lab.name} has no store yet: no host of it has {CONFIGURED}\n"
        "the calico package writes it when it rolls a host; `dcos package install calico` on laptop begins that"
    )


def show(lines: Sequence[str]) -> None:
    """Lines on standard output, the words of a verdict in colour where a person looks."""
    from tortie.cli.screen import coloured

    colour = coloured(sys.stdout.isatty())
    for line in lines:
        click.echo(_coloured(line) if colour else line, color=colour)


def _coloured(line: str) -> str:
    for word, look in (("ALLOWED", "green"), ("allowed ", "green"), ("DENIED", "red")):
        if word in line[:60]:
            return line.replace(word, click.style(word, fg=look, bold=word.isupper()), 1)
    if line.startswith(("  + ", "  - ")):
        return click.style(line[:4], fg="green" if line[2] == "+" else "red", bold=True) + line[4:]
    return line
