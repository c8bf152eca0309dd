"""`tortie matrix`: who may speak to whom."""

from __future__ import annotations

import click

from tortie.base.errors import Invalid
from tortie.base.sources import Sources
from tortie.cli.questions import files_option, lab_option, live_option, load, say, show, stand_ins, with_base
from tortie.cli.screen import Command, json_option

DEFAULTS = 6
PLAIN = "tcp/80"


@click.command(
    cls=Command,
    examples=[
        ("tortie matrix", "everything in the store"),
        ("tortie matrix -f policy/ --port tcp/80 --port icmp", "files alone"),
        ("tortie matrix -f policy/ --csv", "one line a pair"),
    ],
)
@files_option
@live_option
@click.option("--port", "ports", multiple=True, metavar="tcp/80", help="What to ask about, as for `why`; repeatable.")
@click.option("--csv", "as_csv", is_flag=True, help="One line for each pair of endpoints.")
@lab_option
@json_option
def matrix(
    files: tuple[str, ...], live: bool, ports: tuple[str, ...], as_csv: bool, name: str | None, as_json: bool
) -> None:
    """Show who may begin to speak to whom. Endpoints that are alike stand together, with how many they are.

    Without --port: the ports that the policy in use mentions, tcp/80 when it mentions none. Outside of the endpoints,
    every network that a rule tells from the others is asked about. A host's way to its own containers is never policed
    and not shown.
    """
    if as_csv and as_json:
        raise Invalid("--csv and --json do not go together")
    from tortie.policy import tables
    from tortie.policy.matrices import table
    from tortie.policy.reading import Reader
    from tortie.policy.spans import mentioned_ports
    from tortie.policy.world import Service

    faults: list[str] = []
    services: list[Service] = []
    for text in dict.fromkeys(ports):
        try:
            services.append(Service.parse(text))
        except Invalid as error:
            faults += [f"--port {problem}" for problem in error.problems]
    if faults:
        raise Invalid(*faults)
    reader = Reader()
    loaded = load(reader, Sources(), files)
    world = with_base(loaded, name, ask=live or not files)
    stand_ins(reader)
    if not services:
        mentioned = mentioned_ports(world)
        services = mentioned[:DEFAULTS] or [Service.parse(PLAIN)]
        if len(mentioned) > DEFAULTS:
            left = ", ".join(map(str, mentioned[DEFAULTS : DEFAULTS + 12]))
            say(f"the policy also speaks of {left}{' ...' if len(mentioned) > DEFAULTS + 12 else ''}: ask with --port")
    found = table(world, dict.fromkeys(services))
    if as_json:
        import json

        click.echo(json.dumps(tables.table_data(found)))
    elif as_csv:
        click.echo(tables.table_csv(found), nl=False)
    else:
        show(tables.table_lines(found))
