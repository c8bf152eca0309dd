"""`tortie lb run`: traffic from outside to apps, by marathon-lb's labels, through HAProxy."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tortie.base.errors import NotFound
from tortie.cli.grouping import Group
from tortie.cli.lb_rendering import make_settings, rendering_options, show_templates
from tortie.cli.lb_running import (
    find_program,
    hard_stop,
    make_pace,
    make_source,
    running_options,
    say_what_has_no_effect,
    work_dir_option,
)
from tortie.cli.zdd import zdd


@click.group(cls=Group)
def lb() -> None:
    """The balancer: HAProxy, kept as Marathon's apps ask for by their labels."""


_APPS = (
    click.option("--group", "groups", multiple=True, help="Serve apps of this HAPROXY_GROUP; may repeat; `*` for all."),
    click.option(
        "--auto-assign-service-ports",
        "auto",
        metavar="[MIN-MAX]",
        is_flag=False,
        flag_value="10050-10100",
        help="Choose service ports for apps whose containers have addresses of their own. [without one: 10050-10100]",
    ),
    click.option("--min-serv-port-ip-per-task", type=click.IntRange(0, 65535), help="The same, as marathon-lb has it."),
    click.option("--max-serv-port-ip-per-task", type=click.IntRange(0, 65535), help="The same, as marathon-lb has it."),
    click.option("--strict-mode", is_flag=True, help="Serve only ports with HAPROXY_n_ENABLED=true."),
    click.option("--health-check", "-H", is_flag=True, help="Serve only tasks that Marathon found healthy."),
)


def _choosing(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_APPS):
        function = option(function)
    return running_options(rendering_options(function))


@lb.command()
@_choosing
@click.option("--no-events", is_flag=True, help="Do not follow Marathon's events: ask every --refresh seconds only.")
@click.option("--stop-haproxy", is_flag=True, help="HAProxy ends with this program, softly, instead of serving on.")
def run(**options: Any) -> None:
    """Serve until stopped. HAProxy runs on beside and is found again at the next start."""
    _run(options, stop=options["stop_haproxy"], events=not options["no_events"])


@lb.command()
@_choosing
def sse(**options: Any) -> None:
    """`run --stop-haproxy`, as the first word of marathon-lb's container: for an app."""
    _run(options, stop=True, events=True)


@lb.command()
@_choosing
def poll(**options: Any) -> None:
    """As `sse`, without Marathon's events: it is asked every --refresh seconds."""
    _run(options, stop=True, events=False)


def _run(options: dict[str, Any], *, stop: bool, events: bool) -> None:
    import asyncio
    import logging

    from tortie.base import log
    from tortie.cli.stopping import run_until_stopped
    from tortie.lb.run import dry_run
    from tortie.lb.run import run as serve

    said = log.setup("lb", debug=options["debug"])
    if options["log_level"]:
        logging.getLogger().setLevel(options["log_level"].upper())
    made = _options(options, stop=stop, events=events)
    say_what_has_no_effect(options, said)
    if options["dry"]:
        click.echo(asyncio.run(dry_run(made)), nl=False)
        return
    run_until_stopped(serve(made))


@lb.command()
@work_dir_option
def stop(work_dir: Path) -> None:
    """End the HAProxy of a work directory once its connections have ended."""
    import asyncio

    from tortie.lb.haproxy import Haproxy

    if not asyncio.run(Haproxy("haproxy", work_dir).stop()):
        raise NotFound(f"{work_dir}: no haproxy runs there")


lb.add_command(zdd)
lb.add_command(show_templates)


def _options(options: dict[str, Any], *, stop: bool, events: bool) -> Any:
    from dataclasses import replace

    from tortie.lb.run import Options, open_files
    from tortie.lb.services import Choice

    if not options["groups"]:
        raise click.UsageError("--group is needed at least once")
    source, ports = make_source(options, events=events), _port_range(options)
    program, stop_after = find_program(options["program"]), hard_stop(options["hard_stop_after"])
    settings = replace(make_settings(options, open_files()), hard_stop=stop_after)
    choice = Choice(
        groups=options["groups"],
        ports=ports,
        strict=options["strict_mode"],
        health_check=options["health_check"],
        own_templates=options["template_labels"],
        own_app=os.environ.get("FRAMEWORK_NAME", ""),
        reserved=settings.reserved(),
    )
    return Options(
        source=source,
        choice=choice,
        settings=settings,
        program=program,
        pace=make_pace(options),
        stop_within=options["stop_within"] if stop else None,
    )


def _port_range(options: dict[str, Any]) -> range:
    from tortie.lb.ports import parse_range, port_range

    low, high = options["min_serv_port_ip_per_task"], options["max_serv_port_ip_per_task"]
    if options["auto"] is not None:
        if low is not None or high is not None:
            raise click.UsageError("--auto-assign-service-ports and --min-/--max-serv-port-ip-per-task say the same")
        return parse_range(options["auto"])
    return port_range(low or 0, high or 0)
