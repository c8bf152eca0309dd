"""`tortie why`: may these two speak, and who says so."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from tortie.base.errors import Invalid, NotFound, Unavailable
from tortie.base.sources import Sources
from tortie.cli.questions import files_option, lab_option, live_option, load, show, stand_ins, with_base
from tortie.cli.screen import Command, json_option

if TYPE_CHECKING:
    from tortie.policy.words import Told


@click.command(
    cls=Command,
    examples=[
        ("tortie why client frontend tcp/9000", "two tasks, as the store has them"),
        ("tortie why 10.0.0.9 shop/db icmp", "from outside; a ping"),
        ("tortie why web host:node-1 udp/53", "to a host's own processes"),
        ("tortie why web db tcp/80 -f policy/", "on files alone, no cluster"),
    ],
)
@click.argument("source")
@click.argument("destination")
@click.argument("service", metavar="PROTOCOL[/PORT]")
@files_option
@live_option
@click.option("--counters", is_flag=True, help="Also what its rules have counted on the hosts concerned.")
@lab_option
@json_option
def why(
    source: str,
    destination: str,
    service: str,
    files: tuple[str, ...],
    live: bool,
    counters: bool,
    name: str | None,
    as_json: bool,
) -> None:
    """Say whether SOURCE may begin to speak to DESTINATION, which rule decides, and what was passed on the way.

    SOURCE and DESTINATION: namespace/endpoint, the name of an endpoint, workload, container, pod or task, host:NAME,
    or an address. PROTOCOL: tcp, udp, sctp, udplite (with a port), icmp, icmpv6 (a ping, or /TYPE, /TYPE/CODE), or a
    number.

    Exit code 0: allowed; 1: denied; 2: a mistake in the command or a file; 5: the store does not answer.
    """
    if counters and files:
        raise Invalid("--counters is about what the kernel has counted: it does not go with -f")
    from tortie.policy.path import Way
    from tortie.policy.reading import Reader
    from tortie.policy.words import Told, counter_lines
    from tortie.policy.world import Service

    wanted = Service.parse(service)
    reader = Reader()
    loaded = load(reader, Sources(), files)
    way = Way(with_base(loaded, name, ask=live or not files))
    stand_ins(reader)
    faults: list[str] = []
    ends = []
    for text in (source, destination):
        try:
            ends.append(way.end(text))
        except (NotFound, Invalid) as error:
            faults += error.problems if isinstance(error, Invalid) else [str(error)]
    if faults:
        raise Invalid(*faults)
    answer = way.ask(ends[0], ends[1], wanted)
    told = Told(way, answer)
    counted = _counted(told, name) if counters else []
    if as_json:
        import json

        click.echo(json.dumps(told.data() | ({"counters": counted} if counters else {})))
    else:
        show(told.lines() + counter_lines(counted))
    sys.exit(0 if answer.allowed else 1)


def _counted(told: Told, lab: str | None) -> list[dict[str, Any]]:
    """Of each rule that was asked: its counter on the host that asked it. Unavailable when that host does not say."""
    from urllib.parse import urlencode

    from tortie.cli.nodes import ask, sockets

    found: list[dict[str, Any]] = []
    listed = told.lists()
    where = sockets(lab, "why --counters") if listed else {}
    for host, owners in listed.items():
        path = where.get(host) or where.get("")
        answer = ask(path, f"/counters?{urlencode(sorted(owners))}") if path else {}
        if answer.get("node") != host:
            raise Unavailable(f"what is counted on {host} is known there: type this on {host}")
        found += [{"host": host, **item} for item in answer["items"]]
    return told.concerned(found)
