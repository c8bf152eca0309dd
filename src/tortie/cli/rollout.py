"""`tortie rollout`: the product on many hosts, one host at a time, over ssh."""

from __future__ import annotations

import getpass
import os
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, get_args

import click

from tortie.base.errors import Conflict, Invalid, TortieError
from tortie.base.meant import meant
from tortie.store.open import cluster_store_url

if TYPE_CHECKING:
    from tortie.packages.rollout.artefact import Artefact
    from tortie.packages.rollout.book import Driver
    from tortie.packages.rollout.inventory import Plan
    from tortie.packages.rollout.machine import Rollout, Step
    from tortie.packages.rollout.reach import Reach, Ssh

CHANGES = 2
"""The exit code of a dry run that found something to do."""


HOW_ON = "mend that, then: tortie rollout retry (or undo, or abort)"
FORCED = ("undo", "abort", "retry")
"""Orders that may undo something."""


class Stopped(TortieError):
    """The rollout does not go on by itself."""


@click.command()
@click.argument("what", metavar="HOSTS.yaml|pause|resume|retry|undo|abort|status")
@click.option("--dry-run", is_flag=True, help="Only say what would change. Exit code 0: nothing, 2: something.")
@click.option("--apply", "digest", metavar="HASH", help="Do what the dry run of this HASH said, and nothing else.")
@click.option("--force", is_flag=True, help="With undo, abort and retry: containers lose the network that is undone.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run and status: as JSON.")
@click.option(
    "--store",
    "url",
    default=cluster_store_url,
    show_default="this host's cluster's",
    help="sqlite:///DIRECTORY or etcd://HOST:PORT",
)
def rollout(what: str, dry_run: bool, digest: str | None, force: bool, as_json: bool, url: str) -> None:
    """Bring this very product to the hosts of a file, one host at a time, and see that each works before the next.

    \b
    tortie rollout hosts.yaml --dry-run       what would change on which host, and the plan's HASH
    tortie rollout hosts.yaml --apply HASH    does it; refused when a host has changed since
    tortie rollout pause                      the host at hand is brought to its end, no other begins
    tortie rollout resume                     goes on; also after the command that drove it has died
    tortie rollout retry                      a step failed, its reason is mended: once more
    tortie rollout undo                       everything as it was, host by host
    tortie rollout abort                      what is half done is undone, what is done stays
    tortie rollout status                     how far it is, and why it stopped

    \b
    What hosts.yaml holds at least:
        store: etcd://10.0.0.1:2379
        ssh: {user: me, sudo: true}    # where nobody may come as root
        hosts:
          - {name: web-1, address: 10.0.0.11}

    Exit codes: 0 done, 1 stopped (it says why), 2 a dry run found changes, or wrong usage, 4 refused, 5 out of reach.
    How far it is lies in the store of --store, by default this host's cluster's.
    """
    from tortie.packages.rollout.machine import Order

    words = (*get_args(Order), "status")
    if what in words:
        if dry_run or digest:
            raise click.UsageError(f"--dry-run and --apply go with a file of hosts, not with {what}")
        if force and what not in FORCED:
            raise click.UsageError(f"--force goes with {', '.join(FORCED)}, not with {what}")
        _told(what, url, as_json, force=force)
    elif force:
        raise click.UsageError(f"--force goes with {', '.join(FORCED)}, not with a file of hosts")
    elif not os.path.exists(what) and (near := meant(what, words)):
        raise click.UsageError(f"no file and no order {what!r}{near}")
    elif dry_run == bool(digest):
        raise click.UsageError("a file of hosts needs either --dry-run or --apply HASH")
    elif dry_run:
        _dry_run(what, as_json)
    else:
        _apply(what, digest or "", url)


def _dry_run(path: str, as_json: bool) -> None:
    from tortie.packages.rollout.inventory import shown

    plan, _, _ = _plan(path, only_name=True)
    if as_json:
        import json

        click.echo(json.dumps({"hash": plan.digest, "artefact": plan.artefact, "hosts": plan.deltas}))
    else:
        click.echo("\n".join(shown(plan)))
        if not plan.empty:
            click.echo(f"\ntortie rollout {path} --apply {plan.digest}")
    if not plan.empty:
        sys.exit(CHANGES)


def _apply(path: str, digest: str, url: str) -> None:
    from tortie.packages.rollout.book import Driver
    from tortie.store.open import open_store

    with closing(open_store(url)) as store, Driver(store, _who()) as driver:
        plan, reaches, artefact = _plan(path)
        if plan.digest != digest:
            raise Conflict(
                f"the plan is {plan.digest} now, not {digest}: hosts or the file have changed; look at --dry-run again"
            )
        if plan.empty:
            click.echo("nothing to do")
            return
        driver.begin(plan, plan.rollout(time.time()))
        _drive(driver, plan, reaches, artefact)


def _told(word: str, url: str, as_json: bool, *, force: bool) -> None:
    """An order; whoever drives carries it out, and when nobody does, this command."""
    from tortie.packages.rollout import book
    from tortie.packages.rollout.artefact import build
    from tortie.packages.rollout.machine import decide
    from tortie.store.open import open_store

    with closing(open_store(url, create=False)) as store:
        if word == "status":
            _status(book.current(store).rollout, as_json)
            return
        order: Any = word
        wanted = book.order(store, order, _user(), force=force)
        if decide(wanted) is None:
            _end(wanted)
            return
        plan = book.current_plan(store)
        if len(_reaches(plan)) < len(plan.tasks):
            click.echo(f"{word}: told to the calico framework", err=True)
            return
        if book.others_drive(store, wanted):
            click.echo(f"{word}: told to whoever drives the rollout", err=True)
            return
        with book.Driver(store, _who()) as driver:
            reaches = _reaches(plan)
            artefact = build(next(iter(reaches.values())).python) if wanted.goal == "roll" else None
            _drive(driver, plan, reaches, artefact)


def _drive(driver: Driver, plan: Plan, reaches: Mapping[str, Reach], artefact: Artefact | None) -> None:
    from tortie.packages.rollout.drive import drive

    _end(drive(driver, plan, reaches, artefact, _tell))


def _end(rollout: Rollout) -> None:
    from tortie.packages.rollout.machine import state

    word = state(rollout)
    if word == "stopped":
        raise Stopped(f"stopped: {rollout.stopped}\n{HOW_ON}")
    click.echo(f"rollout {rollout.plan}: {word}")


def _status(rollout: Rollout, as_json: bool) -> None:
    from tortie.packages.rollout.machine import state

    if as_json:
        import msgspec

        click.echo(msgspec.json.encode({"state": state(rollout), **msgspec.to_builtins(rollout)}).decode())
        return
    done = sum(host.mark == "done" for host in rollout.hosts)
    click.echo(f"rollout {rollout.plan}: {state(rollout)}, {done} of {len(rollout.hosts)} hosts are done")
    if rollout.stopped:
        click.echo(f"reason: {rollout.stopped}\n{HOW_ON}")
    width = max((len(host.name) for host in rollout.hosts), default=0)
    for host in rollout.hosts:
        click.echo(f"{host.name:{width}}  {host.mark:8} {', '.join(map(_step, host.steps))}".rstrip())


def _step(step: Step) -> str:
    """How long it took, once it is done."""
    if step.progress == "done" and step.since is not None and step.until is not None:
        return f"{step.name} {step.until - step.since:.1f} s"
    return f"{step.name} {step.progress}"


def _plan(path: str, *, only_name: bool = False) -> tuple[Plan, Mapping[str, Reach], Artefact]:
    """What the hosts of the file lack. Nothing is changed anywhere."""
    from tortie.base.sources import Sources, documents
    from tortie.cli.node_config import NAMES
    from tortie.cli.product import product
    from tortie.packages.rollout.artefact import build
    from tortie.packages.rollout.drive import probe
    from tortie.packages.rollout.inventory import Task, plan, reach, read, want

    (_, text), *_ = Sources().texts(path)
    found = documents(path, text, several=False)
    if not found:
        raise Invalid(f"{path}: it is empty; expected store: and hosts:")
    inventory = read(found[0], path, frozenset(NAMES))
    artefact = build(inventory.ssh.python, only_name=only_name)
    goes = product(artefact, inventory, inventory.ssh.python)
    tasks = [Task(host.name, reach(inventory, host), want(inventory, host, goes)) for host in inventory.hosts]
    reaches: Mapping[str, Reach] = {host.name: reach(inventory, host) for host in inventory.hosts}
    deltas = probe(tasks, reaches)
    return plan(tasks, deltas, artefact.name, inventory.max_unavailable), reaches, artefact


def _reaches(plan: Plan) -> Mapping[str, Ssh]:
    """None of an agent: those are the calico framework's."""
    return {task.name: task.reach for task in plan.tasks if task.reach is not None}


def _who() -> str:
    return f"{_user()}, process {os.getpid()}"


def _user() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"


def _tell(line: str) -> None:
    click.echo(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {line}")
