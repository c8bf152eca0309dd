"""`tortie doctor`: what is wrong with this host, or with the hosts of a lab, and what mends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from tortie.base.errors import NotFound
from tortie.cli.nodes import no_node
from tortie.cli.screen import Command, coloured, json_option, need_root
from tortie.lab.plan import DEFAULT_NAME
from tortie.node.doctor.judge import Finding, judge
from tortie.node.doctor.look import SOCKET, look
from tortie.store.open import store_url

if TYPE_CHECKING:
    from tortie.lab.api import Host

NODES = ("node", "calico-node")
"""What a lab's supervisors call a host's node: their own daemon, or the unit that a roller has brought."""
ENDED = [Finding("problem", "host", "has ended; what made the lab makes it anew", ("tortie down", "tortie up ..."))]
MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("PROBLEM", "red")}


@click.command(
    cls=Command,
    examples=[
        ("tortie doctor", "this host, or your lab where this host has no node"),
        ("tortie doctor --name two", "the hosts of that lab"),
        ("tortie exec agent-1 tortie doctor", "one host of your lab"),
    ],
)
@click.option("--name", metavar="LAB", help="The hosts of this lab.")
@click.option("--here", is_flag=True, help="This host, whatever lab there is.")
@click.option("--store", default=store_url, show_default="this host's store", help="Address of the datastore.")
@click.option("--socket", "path", default=SOCKET, show_default=True, help="Where the node answers.")
@json_option
def doctor(name: str | None, here: bool, store: str, path: str, as_json: bool) -> None:
    """Look for what keeps packets from where policy lets them go, and say what mends it.

    Features of the kernel are tried in a network namespace of their own; nothing is changed. Exits 0 when nothing is
    wrong, 1 when something is.
    """
    hosts = {} if here else _hosts(name, path)
    found = {host: _of_host(pid) if pid else ENDED for host, pid in hosts.items()} or {"": judge(look(store, path))}
    if as_json:
        listed = {host: [asdict(finding) for finding in findings] for host, findings in found.items()}
        click.echo(json.dumps(listed if hosts else listed[""]))
    else:
        for host, findings in found.items():
            _show(host, findings)
    sys.exit(1 if any(f.level == "problem" for findings in found.values() for f in findings) else 0)


def _hosts(name: str | None, path: str) -> dict[str, int]:
    """The process 1 of those hosts of the lab that have a node, 0 of those that have ended; none where this host is
    meant."""
    from tortie.lab.api import Lab

    if name is None and os.path.exists(path):
        return {}
    try:
        lab = Lab.find(name or DEFAULT_NAME)
    except NotFound:
        if name is not None:
            raise
        return {}
    need_root("doctor")
    ended = {host.name for host in lab.hosts.values() if not host.alive}
    there = {host.name for host in lab.hosts.values() if host.name not in ended and _has_node(host)}
    if not there:
        raise no_node(lab.name)
    return {h.name: h.pid if h.name in there else 0 for h in lab.hosts.values() if h.name in there | ended}


def _has_node(host: Host) -> bool:
    return any(daemon["name"] in NODES for daemon in host.daemons()) or host.path(SOCKET).exists()


def _of_host(pid: int) -> list[Finding]:
    """Asked of the program inside, in the host's namespaces."""
    words = ["tortie", "doctor", "--here", "--json"]
    inside = f"import sys; from tortie.lab.enter import call; sys.exit(call({pid}, {words!r}))"
    done = subprocess.run([sys.executable, "-c", inside], capture_output=True, text=True, check=False)
    try:
        listed: list[dict[str, Any]] = json.loads(done.stdout)
    except ValueError:
        return [Finding("problem", "doctor", (done.stderr or done.stdout).strip() or f"ended with {done.returncode}")]
    return [Finding(f["level"], f["what"], f["said"], tuple(f["mend"])) for f in listed]


def _show(host: str, findings: Sequence[Finding]) -> None:
    colour = coloured(sys.stdout.isatty())
    if host:
        click.echo(f"{host}:")
    for finding in findings:
        word, hue = MARKS[finding.level]
        shown = click.style(f"{word:8}", fg=hue) if colour else f"{word:8}"
        click.echo(f"{shown} {finding.what:14} {finding.said}")
        for command in finding.mend:
            click.echo(f"{'':9}{'':14}     {command}")
