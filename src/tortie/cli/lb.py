"""`tortie lb run`: traffic from outside to apps, by marathon-lb's labels, through HAProxy."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import click

from tortie.base.errors import Invalid, NotFound, Unavailable
from tortie.cli.lb_rendering import make_settings, rendering_options


@click.group()
def lb() -> None:
    """The balancer: HAProxy, kept as Marathon's apps ask for by their labels."""


@lb.command()
@click.option("--marathon", "-m", "marathons", multiple=True, metavar="URL", help="Marathon; may repeat.")
@click.option("--group", "groups", multiple=True, help="Serve apps of this HAPROXY_GROUP; may repeat; `*` for all.")
@click.option(
    "--auto-assign-service-ports",
    "auto",
    metavar="[MIN-MAX]",
    is_flag=False,
    flag_value="10050-10100",
    help="Choose service ports for apps whose containers have addresses of their own. [without MIN-MAX: 10050-10100]",
)
@click.option("--min-serv-port-ip-per-task", type=click.IntRange(0, 65535), help="The same, as marathon-lb has it.")
@click.option("--max-serv-port-ip-per-task", type=click.IntRange(0, 65535), help="The same, as marathon-lb has it.")
@click.option("--strict-mode", is_flag=True, help="Serve only ports with HAPROXY_n_ENABLED=true.")
@click.option("--health-check", "-H", is_flag=True, help="Serve only tasks that Marathon found healthy.")
@click.option("--sse", "-s", is_flag=True, help="Accepted for compatibility: events are always followed.")
@rendering_options
@click.option("--max-backoff", type=click.FloatRange(1), default=300, show_default=True, metavar="SECONDS")
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("/var/lib/tortie/lb"), show_default=True)
@click.option("--haproxy", "program", help="The HAProxy program. [default: as found on the path]")
@click.option(
    "--stop-haproxy", is_flag=True, help="End HAProxy softly when this program ends; else it goes on serving."
)
@click.option("--dry", "-d", is_flag=True, help="Print the configuration and end.")
@click.option("--debug", is_flag=True)
def run(**options: Any) -> None:
    """Serve until stopped. HAProxy runs on beside and is found again at the next start."""
    import asyncio

    from tortie.base import log
    from tortie.cli.stopping import run_until_stopped
    from tortie.lb.run import dry_run
    from tortie.lb.run import run as serve

    log.setup("lb", debug=options["debug"])
    made = _options(options)
    if options["dry"]:
        click.echo(asyncio.run(dry_run(made)), nl=False)
        return
    run_until_stopped(serve(made))


@lb.command()
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("/var/lib/tortie/lb"), show_default=True)
def stop(work_dir: Path) -> None:
    """End the HAProxy of a work directory once its connections have ended."""
    import asyncio

    from tortie.lb.haproxy import Haproxy

    if not asyncio.run(Haproxy("haproxy", work_dir).stop()):
        raise NotFound(f"{work_dir}: no haproxy runs there")


def _options(options: dict[str, Any]) -> Any:
    from tortie.lb.run import Options, affordable
    from tortie.lb.services import Choice

    if not options["groups"]:
        raise click.UsageError("--group is needed at least once")
    marathons, ports, program = _urls(options["marathons"]), _port_range(options), _program(options["program"])
    settings = make_settings(options, affordable(50000))
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
        marathons=marathons,
        choice=choice,
        settings=settings,
        program=program,
        max_backoff=options["max_backoff"],
        stop_haproxy=options["stop_haproxy"],
    )


def _port_range(options: dict[str, Any]) -> range:
    from tortie.lb.ports import parse_range, port_range

    low, high = options["min_serv_port_ip_per_task"], options["max_serv_port_ip_per_task"]
    if options["auto"] is not None:
        if low is not None or high is not None:
            raise click.UsageError("--auto-assign-service-ports and --min-/--max-serv-port-ip-per-task say the same")
        return parse_range(options["auto"])
    return port_range(low or 0, high or 0)


def _urls(urls: tuple[str, ...]) -> tuple[str, ...]:
    from urllib.parse import urlsplit

    for url in urls:
        try:
            parts = urlsplit(url)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if not good:
            raise Invalid(f"--marathon: {url!r} is not a URL of http or https")
    return urls or ("http://master.mesos:8080",)


def _program(given: str | None) -> str:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    found = shutil.which(given or "haproxy", path=path)
    if found is None:
        raise Unavailable(f"{given or 'haproxy'}: no such program; install HAProxy 2.4 or newer")
    return found
