"""`tortie up`, `down`, `status`, `hosts`, `logs`, `exec`: the lab."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import click

from tortie.base.errors import Conflict, Invalid, NotFound, TortieError, Unavailable

DEFAULT_NAME = "default"
name_option = click.option("--name", default=DEFAULT_NAME, metavar="LAB", help="The lab's name; without it, yours.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")


class Meter:
    """Progress of `up` on standard error: one line that is written over where a person looks, else one a phase."""

    def __init__(self) -> None:
        self._tty = sys.stderr.isatty()
        self._start = time.monotonic()
        self._said = ("", 0)
        self._open = False

    def doing(self, what: str, done: int, of: int, waiting: str = "") -> None:
        text = f"{what}: {done} of {of}"
        seconds = time.monotonic() - self._start
        shown = f"{text}, waiting for {waiting}" if waiting else text
        if (shown, int(seconds)) == self._said:
            return
        self._said = (shown, int(seconds))
        if self._tty:
            width = shutil.get_terminal_size().columns - 12  # a line that wraps cannot be written over
            click.echo(f"\r\033[K{shown[:width]}  ({seconds:.0f} s)", nl=False, err=True)
            self._open = True
        elif done == of:
            click.echo(f"{text}  ({seconds:.1f} s)", err=True)

    def say(self, text: str) -> None:
        self.close()
        click.echo(text, err=True)

    def close(self) -> None:
        if self._open:
            click.echo(err=True)
            self._open = False

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start


def need_root(what: str) -> None:
    if os.geteuid() != 0:
        raise Invalid(f"{what} needs root (network namespaces, mounts): run it with sudo")


@click.command(epilog="Examples:  tortie up    tortie up stars    tortie up stars --until 8")
@click.argument("document", required=False)
@click.option("--until", metavar="STEP", help="Replay the document up to this step; 0 types nothing.")
@click.option("--bare", is_flag=True, help="(not available yet)")
@click.option("--agents", type=int, help="How many agents (2).")
@click.option("--public-agents", type=int, help="(not available yet)")
@click.option("--subnets", type=int, help="(not available yet)")
@click.option("--runtime", default="docker", help="docker")
@click.option("--store", default="sqlite", help="sqlite, or etcd on the master.")
@click.option("--routing", default="direct", help="direct")
@click.option("--daemons", hidden=True, metavar="NAME,…", help="For development: start only these daemons.")
@name_option
@json_option
def up(**given: Any) -> None:
    """Bring a lab up and replay DOCUMENT (stars) on it.

    Without DOCUMENT: the hosts and daemons of stars, nothing typed. A second `up` with the same options finds the
    lab; with others it changes nothing and exits 4.
    """
    from tortie.cli.walk import Terminal
    from tortie.lab import plan as plans
    from tortie.lab import state
    from tortie.lab.bring_up import Wish, bring_up

    need_root("up")
    name, document, daemons = plans.check_name(given["name"]), given["document"], given["daemons"]
    later = {f"--{key.replace('_', '-')}": given[key] for key in ("bare", "public_agents", "subnets")}
    how = {key: given[key] for key in ("agents", "store", "routing", "runtime")}
    wish = Wish(
        name=name,
        options=plans.check_options(document or "stars", later=later, **how),
        until=given["until"] or ("end" if document else "0"),
        daemons=tuple(daemons.split(",")) if daemons else None,
    )
    meter = Meter()
    try:
        lab, fresh = bring_up(wish, meter, Terminal())
    except KeyboardInterrupt:
        meter.say(f"interrupted: lab {name} was removed again")
        sys.exit(130)
    except TortieError as error:
        if state.places(name).run.exists() and not isinstance(error, Conflict):
            lab_option = "" if name == DEFAULT_NAME else f" --name {name}"
            meter.say(
                f"lab {name} is left as it is: `tortie status{lab_option}` and `tortie logs{lab_option} HOST DAEMON` "
                f"show why, `tortie down{lab_option}` ends it"
            )
        raise
    finally:
        meter.close()
    said = f"lab {name} is up" if fresh else f"lab {name} is up already, as asked for"
    click.echo(f"{said}  ({meter.seconds:.1f} s)", err=True)
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


def _daemons(host: Any) -> list[dict[str, Any]]:
    try:
        listed: list[dict[str, Any]] = host.daemons() if host.alive else []
    except Unavailable:  # its supervisor is ending: `alive` says so next time
        return []
    return listed


@click.command()
@name_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def down(name: str, as_json: bool) -> None:
    """End a lab and everything in it: processes, namespaces, mounts, interfaces, cgroups, files."""
    from tortie.lab import remove, state

    need_root("down")
    start = time.monotonic()
    where = state.places(name)
    with state.locked(name, lambda: click.echo(f"another command is at work on lab {name}; waiting", err=True)):
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


@click.command()
@name_option
@json_option
def status(name: str, as_json: bool) -> None:
    """The lab's hosts, daemons and pages. Exits 3 when there is no lab, 1 when something of it does not run."""
    from tortie.lab.api import Lab

    need_root("status")
    lab = Lab.find(name)
    seen = lab_json(lab)
    whole = all(
        host["alive"] and all(daemon["state"] in ("running", "done") for daemon in host["daemons"])
        for host in seen["hosts"]
    )
    if as_json:
        click.echo(json.dumps({**seen, "whole": whole}))
    else:
        click.echo(f"lab {name}: {seen['options']['document']}, {seen['phase']}, until step {seen['until']}")
        for host in seen["hosts"]:
            click.echo(f"\n{host['name']:10} {host['address']:16} {'' if host['alive'] else 'NOT RUNNING'}")
            for daemon in host["daemons"]:
                pid, ended = daemon["pid"] or "", f"  last {daemon['last_exit']}" if daemon["restarts"] else ""
                again = f"  {daemon['restarts']} restarts{ended}" if daemon["restarts"] else ""
                click.echo(f"  {daemon['name']:10} {daemon['state']:9} {pid!s:>7}  {daemon['seconds']:.0f} s{again}")
        click.echo("\npages")
        for page in lab.state["pages"]:
            click.echo(f"  {page['said']}")
    sys.exit(0 if whole else 1)


@click.command()
@name_option
@json_option
def hosts(name: str, as_json: bool) -> None:
    """The lab's hosts with their addresses."""
    from tortie.lab.api import Lab

    lab = Lab.find(name)
    if as_json:
        listed = [{"name": h.name, "address": h.address, "role": h.role, "alive": h.alive} for h in lab.hosts.values()]
        click.echo(json.dumps({"hosts": listed}))
        return
    for host in lab.hosts.values():
        click.echo(f"{host.name:10} {host.address:16} {host.role:8} {'up' if host.alive else 'NOT RUNNING'}")


@click.command()
@click.argument("host")
@click.argument("daemon", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on as the log grows.")
@name_option
def logs(host: str, daemon: str | None, follow: bool, name: str) -> None:
    """The log of one daemon of a host; without DAEMON, which there are."""
    from tortie.lab.api import Lab

    found = Lab.find(name).host(host)
    there = sorted(path.stem for path in found.log("x").parent.glob("*.log"))
    if daemon is None:
        click.echo("\n".join(there))
        return
    if daemon not in there:
        raise NotFound(f"no log of {daemon} on {host}; there are {', '.join(there) or 'none'}")
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
    "exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}, add_help_option=True
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
