"""`tortie up`, `down`, `status`, `hosts`, `logs`, `exec`: the lab."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import click

from tortie.base.errors import Conflict, NotFound, TortieError, Unavailable
from tortie.base.meant import meant
from tortie.cli.screen import Command, Meter, Terminal, json_option, name_option, need_root, program
from tortie.lab.plan import DEFAULT_NAME


def lab_words(name: str) -> str:
    """What to add to a command so that it means this lab."""
    return "" if name == DEFAULT_NAME else f" --name {name}"


@click.command(
    cls=Command,
    examples=[
        ("tortie up", "hosts and daemons; you type the document"),
        ("tortie up stars", "the document, to its end"),
        ("tortie up stars --until 8", "up to its step 8"),
        ("tortie up hello", "another document"),
        ("tortie up hello --bare --until 0", "its hosts before their network is installed"),
        ("tortie up --name two --agents 3", "another lab beside yours"),
    ],
)
@click.argument("document", required=False)
@click.option("--until", metavar="STEP", help="Replay the document up to this step; 0 types nothing.")
@click.option("--bare", is_flag=True, help="No network yet: the packages bring it (hello, environments).")
@click.option(
    "--agents", type=int, help="How many agents (stars 2, hello 3, environments 3; net-modules has exactly 2)."
)
@click.option("--public-agents", type=int, help="How many more that only take apps made for them (stars 0, hello 1).")
@click.option("--subnets", type=int, help="Spread the agents over this many subnets with a router between (1).")
@click.option(
    "--runtime",
    default="docker",
    help="docker, or ucr: apps of Docker's kind run without it, their networks come by CNI.",
)
@click.option("--store", default="sqlite", help="sqlite, or etcd on the master.")
@click.option("--routing", default="direct", help="direct, vxlan or bgp: how packets find other hosts' containers.")
@click.option("--daemons", hidden=True, metavar="NAME,…", help="For development: start only these daemons.")
@name_option
@json_option
def up(**given: Any) -> None:
    """Bring a lab up and replay DOCUMENT (stars, hello, net-modules, environments) on it.

    Without DOCUMENT: the hosts and daemons of stars, nothing typed. A second `up` with the same options finds the
    lab; with others it changes nothing and exits 4.
    """
    from tortie.lab import plan as plans
    from tortie.lab import state
    from tortie.lab.bring_up import NOTHING, Wish, bring_up
    from tortie.lab.documents import check_options, from_first_line

    need_root("up")
    name, document, daemons = plans.check_name(given["name"]), given["document"], given["daemons"]
    how = {key: given[key] for key in ("agents", "public_agents", "store", "routing", "runtime", "subnets", "bare")}
    options, until = check_options(document or "stars", **how), given["until"] or ("end" if document else NOTHING)
    meter = Meter()
    if until != NOTHING:
        options, placed = from_first_line(options)
        if placed:
            meter.say(f"{document}: {placed}")
    wish = Wish(name, options, until, tuple(daemons.split(",")) if daemons else None)
    try:
        lab, fresh = bring_up(wish, meter, Terminal())
    except KeyboardInterrupt:
        meter.say(f"interrupted: lab {name} was removed again")
        sys.exit(130)
    except TortieError as error:
        if state.places(name).run.exists() and not isinstance(error, Conflict):
            here = lab_words(name)
            meter.say(
                f"lab {name} is left as it is: `tortie status{here}` and `tortie logs{here} HOST DAEMON` show why,\n"
                f"`tortie down{here}` ends it"
            )
        raise
    said = f"lab {name} is up" if fresh else f"lab {name} is up already, as asked for"
    meter.say(f"{said}  ({meter.seconds:.1f} s)")
    if not given["as_json"]:
        typed, here = program(), lab_words(name)
        if fresh and lab.state["options"]["bare"] and until == NOTHING:
            first = f"{typed} exec{here} laptop dcos package install"
            meter.say(f"it has no network yet. Its packages bring one: {first} etcd --yes, then calico")
        meter.say(f"a shell there: {typed} exec{here} agent-1    its end: {typed} down{here}")
    if given["as_json"]:
        click.echo(json.dumps(lab_json(lab)))
    else:
        for page in lab.state["pages"]:
            click.echo(page["said"])


def lab_json(lab: Any) -> dict[str, Any]:
    """The lab as `status --json` prints it."""
    hosts = [
        {
            "name": host.name,
            "address": host.address,
            "role": host.role,
            "alive": host.alive,
            "pid": host.pid if host.alive else None,
            "daemons": _daemons(host),
        }
        for host in lab.hosts.values()
    ]
    pages = [{"name": page["name"], "url": page["url"], "target": page["target"]} for page in lab.state["pages"]]
    keys = ("name", "options", "until", "phase")
    return {**{key: lab.state[key] for key in keys}, "hosts": hosts, "pages": pages}


def _is_well(daemon: dict[str, Any]) -> bool:
    """Whether it runs, or is a unit of the host that nobody wants to run."""
    return daemon["state"] in ("running", "done") or (daemon["unit"] and daemon["state"] == "stopped")


def _daemons(host: Any) -> list[dict[str, Any]]:
    try:
        listed: list[dict[str, Any]] = host.daemons() if host.alive else []
    except Unavailable:  # its supervisor is ending: `alive` says so next time
        return []
    return listed


@click.command(
    cls=Command,
    examples=[("tortie down", "your lab"), ("tortie down --name two", "another; no lab is fine, too")],
)
@name_option
@json_option
def down(name: str, as_json: bool) -> None:
    """End a lab and everything in it: processes, namespaces, mounts, interfaces, cgroups, files."""
    from tortie.lab import remove, state

    need_root("down")
    start = time.monotonic()
    where = state.places(name)
    with state.locked(name, lambda said: click.echo(said, err=True)):
        found = remove.exists(name)
        if found:
            remove.remove(where.name)
    if as_json:
        click.echo(json.dumps({"name": name, "removed": found}))
    else:
        text = (
            f"lab {name} is down  ({time.monotonic() - start:.1f} s)"
            if found
            else f"no lab {name} is up; nothing to do"
        )
        click.echo(text)


@click.command(cls=Command, examples=[("tortie status", "for people"), ("tortie status --json", "for programs")])
@name_option
@json_option
def status(name: str, as_json: bool) -> None:
    """The lab's hosts, daemons and pages. Exits 3 when there is no lab, 1 when something of it does not run."""
    from tortie.lab.api import Lab
    from tortie.lab.state import described

    need_root("status")
    lab = Lab.find(name)
    seen = lab_json(lab)
    whole = all(host["alive"] and all(map(_is_well, host["daemons"])) for host in seen["hosts"])
    if as_json:
        click.echo(json.dumps({**seen, "whole": whole}))
    else:
        click.echo(f"lab {name}: {seen['phase']}, {described(seen)}")
        width = max([12, *(len(daemon["name"]) + 2 for host in seen["hosts"] for daemon in host["daemons"])])
        for host in seen["hosts"]:
            line = f"{host['name']:{width}} {host['address']:16} {'' if host['alive'] else 'NOT RUNNING'}"
            click.echo(f"\n{line.rstrip()}")
            for daemon in host["daemons"]:
                pid, ended = daemon["pid"] or "", f"  last {daemon['last_exit']}" if daemon["restarts"] else ""
                again = f"  {daemon['restarts']} restarts{ended}" if daemon["restarts"] else ""
                what = f"{daemon['name']:{width - 2}} {daemon['state']:9}"
                click.echo(f"  {what} {pid!s:>7}  {daemon['seconds']:>5.0f} s{again}")
        click.echo("\npages")
        for page in lab.state["pages"]:
            click.echo(f"  {page['said']}")
    sys.exit(0 if whole else 1)


@click.command(cls=Command, examples=[("tortie hosts", "name, address, role of each")])
@name_option
@json_option
def hosts(name: str, as_json: bool) -> None:
    """The lab's hosts with their addresses."""
    from tortie.lab.api import Lab

    need_root("hosts")
    lab = Lab.find(name)
    if as_json:
        listed = [{"name": h.name, "address": h.address, "role": h.role, "alive": h.alive} for h in lab.hosts.values()]
        click.echo(json.dumps({"hosts": listed}))
        return
    for host in lab.hosts.values():
        click.echo(f"{host.name:10} {host.address:16} {host.role:8} {'up' if host.alive else 'NOT RUNNING'}")


@click.command(
    cls=Command,
    examples=[
        ("tortie logs agent-1", "which logs there are"),
        ("tortie logs agent-1 node", "one of them"),
        ("tortie logs master marathon -f", "and on as it grows; Ctrl-C ends"),
    ],
)
@click.argument("host")
@click.argument("daemon", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on as the log grows.")
@name_option
def logs(host: str, daemon: str | None, follow: bool, name: str) -> None:
    """The log of one daemon of a host; without DAEMON, which there are."""
    from tortie.lab.api import Lab

    need_root("logs")
    found = Lab.find(name).host(host)
    there = sorted(path.stem for path in found.log("x").parent.glob("*.log"))
    if daemon is None:
        click.echo("\n".join(there))
        return
    if daemon not in there:
        raise NotFound(f"no log of {daemon} on {host}{meant(daemon, there)}\nthere are {', '.join(there) or 'none'}")
    _show(found.log(daemon), follow)


def _show(path: Path, follow: bool) -> None:
    """Copy a log to standard output; with `follow` until interrupted, into the next file when it was rotated."""
    try:
        log = path.open("rb")
        while True:
            while chunk := log.read(65536):
                sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
            if not follow or not path.exists():
                break
            if path.stat().st_ino != os.fstat(log.fileno()).st_ino:
                log.close()
                log = path.open("rb")
            time.sleep(0.2)
        log.close()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader has seen enough; nothing more may be flushed at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


@click.command(
    "exec",
    cls=Command,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    examples=[
        ("tortie exec agent-1", "a shell on agent-1"),
        ("tortie exec agent-1 docker ps", "one program"),
        ("tortie exec laptop 'ip a | grep inet'", "one line, read by a shell"),
        ("tortie exec --name two master -- ls -l", "on a host of another lab"),
    ],
)
@name_option
@click.argument("host")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def exec_(name: str, host: str, command: tuple[str, ...]) -> None:
    """Run COMMAND as on HOST, in its /root; without one, a shell.

    Several words are run as they are, one word with blanks in it is read by a shell. Input, output, signals and the
    exit code pass through.
    """
    from tortie.lab.api import Lab
    from tortie.lab.enter import call

    need_root("exec")
    words = command[1:] if command[:1] == ("--",) else command
    sys.exit(call(Lab.find(name).host(host).pid, words))
