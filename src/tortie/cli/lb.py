"""`tortie lb run`: traffic from outside to apps, by marathon-lb's labels, through HAProxy."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from tortie.base.errors import Invalid, NotFound, Unavailable

_PORT = click.IntRange(1, 65535)


@click.group()
def lb() -> None:
    """The balancer: HAProxy, kept as Marathon's apps ask for by their labels."""


_WORK_DIR = click.option(
    "--work-dir", type=click.Path(path_type=Path), default=Path("/var/lib/tortie/lb"), show_default=True
)
_APPS = (
    click.option("--marathon", "-m", "marathons", multiple=True, metavar="URL", help="Marathon; may repeat."),
    click.option(
        "--auth-credentials", metavar="USER:PASSWORD", help="For Marathon. [default: $MARATHON_USER, _PASSWORD]"
    ),
    click.option("--marathon-ca-cert", metavar="FILE", help="The certificates that Marathon's is believed by."),
    click.option("--group", "groups", multiple=True, help="Serve apps of this HAPROXY_GROUP; may repeat; `*` for all."),
    click.option(
        "--auto-assign-service-ports",
        "auto",
        metavar="[MIN-MAX]",
        is_flag=False,
        flag_value="10101-10150",
        help="Choose service ports for apps whose containers have addresses of their own. [without one: 10101-10150]",
    ),
    click.option("--min-serv-port-ip-per-task", type=click.IntRange(0, 65535), help="The same, as marathon-lb has it."),
    click.option("--max-serv-port-ip-per-task", type=click.IntRange(0, 65535), help="The same, as marathon-lb has it."),
    click.option("--strict-mode", is_flag=True, help="Serve only ports with HAPROXY_n_ENABLED=true."),
    click.option("--health-check", "-H", is_flag=True, help="Serve only tasks that Marathon found healthy."),
    click.option(
        "--lru-cache-capacity",
        type=click.IntRange(1),
        default=1000,
        show_default=True,
        metavar="TASKS",
        help="For how many tasks the last health is remembered.",
    ),
)
_SITE = (
    click.option("--dont-bind-http-https", is_flag=True, help="No virtual hosts on the ports for HTTP and HTTPS."),
    click.option("--ssl-certs", help="Comma list of certificate files; without it nothing listens for HTTPS."),
    click.option("--http-port", type=_PORT, default=80, show_default=True),
    click.option("--https-port", type=_PORT, default=443, show_default=True),
    click.option("--appid-port", type=_PORT, default=9091, show_default=True),
    click.option("--stats-port", type=_PORT, default=9090, show_default=True),
)
_NOT_OURS = (
    ("--command -c", "HAProxy is reloaded through its own master"),
    ("--haproxy-config", "the configuration lies in the work directory"),
    ("--syslog-socket", "this program logs to standard error"),
    ("--log-format", "this program logs to standard error"),
    ("--dcos-auth-credentials", "log-in by a DC/OS service account is not there: take --auth-credentials"),
)
"""Options of marathon-lb that have no effect here, and why."""
_NOT_NEEDED = ("--skip-validation", "--skip-config-cleanup")
_RUNNING = (
    click.option(
        "--refresh",
        type=click.FloatRange(0.1),
        metavar="SECONDS",
        help="Ask Marathon so often, whatever it says. [default: $POLL_INTERVAL or 60]",
    ),
    click.option("--max-backoff", type=click.FloatRange(1), default=300, show_default=True, metavar="SECONDS"),
    click.option(
        "--reload-interval",
        type=click.FloatRange(0.1),
        default=10,
        show_default=True,
        metavar="SECONDS",
        help="Before a reload that failed is tried again.",
    ),
    click.option(
        "--max-reload-retries",
        type=click.IntRange(-1),
        default=10,
        show_default=True,
        help="How often, for the same configuration; -1: always.",
    ),
    click.option(
        "--archive-versions",
        type=click.IntRange(0),
        default=5,
        show_default=True,
        help="How many earlier configurations stay beside haproxy.cfg.",
    ),
    click.option(
        "--hard-stop-after",
        default="5m",
        show_default=True,
        metavar="TIME",
        help="What workers of an earlier configuration may take to finish their connections.",
    ),
    click.option(
        "--stop-within",
        type=click.FloatRange(0),
        default=30,
        show_default=True,
        metavar="SECONDS",
        help="With --stop-haproxy: what its connections may take.",
    ),
    _WORK_DIR,
    click.option("--haproxy", "program", help="The HAProxy program. [default: as found on the path]"),
    click.option("--dry", "-d", is_flag=True, help="Print the configuration and end."),
    click.option("--debug", is_flag=True),
    click.option(
        "--log-level", hidden=True, type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False)
    ),
    click.option("--sse", "-s", "events", is_flag=True, hidden=True),
    *(click.option(*names.split(), hidden=True) for names, _ in _NOT_OURS),
    *(click.option(name, is_flag=True, hidden=True) for name in _NOT_NEEDED),
    click.argument("more", nargs=-1, metavar="[URL]..."),
)


def _all(*groups: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        for option in reversed([option for group in groups for option in group]):
            function = option(function)
        return function

    return decorate


@lb.command()
@_all(_APPS, _SITE, _RUNNING)
@click.option("--no-events", is_flag=True, help="Do not follow Marathon's events: ask every --refresh seconds only.")
@click.option("--stop-haproxy", is_flag=True, help="HAProxy ends with this program, softly, instead of serving on.")
def run(**options: Any) -> None:
    """Serve until stopped. HAProxy runs on beside and is found again at the next start."""
    _run(options, stop=options["stop_haproxy"], events=not options["no_events"])


@lb.command()
@_all(_APPS, _SITE, _RUNNING)
def sse(**options: Any) -> None:
    """`run --stop-haproxy`, as the first word of marathon-lb's container: for an app."""
    _run(options, stop=True, events=True)


@lb.command()
@_all(_APPS, _SITE, _RUNNING)
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
    for names, why in _NOT_OURS:
        name = names.split()[0]
        if options[name[2:].replace("-", "_")] is not None:
            said.warning("%s has no effect: %s", name, why)
    if options["dry"]:
        click.echo(asyncio.run(dry_run(made)), nl=False)
        return
    run_until_stopped(serve(made))


@lb.command()
@_WORK_DIR
def stop(work_dir: Path) -> None:
    """End the HAProxy of a work directory once its connections have ended."""
    import asyncio

    from tortie.lb.haproxy import Haproxy

    if not asyncio.run(Haproxy("haproxy", work_dir).stop()):
        raise NotFound(f"{work_dir}: no haproxy runs there")


def _options(options: dict[str, Any], *, stop: bool, events: bool) -> Any:
    from tortie.lb.balancer import Pace
    from tortie.lb.follow import Source
    from tortie.lb.render import Settings
    from tortie.lb.run import Options, affordable
    from tortie.lb.services import Choice

    if not options["groups"]:
        raise click.UsageError("--group is needed at least once")
    settings = Settings(
        work_dir=os.fspath(options["work_dir"].absolute()),
        http_port=options["http_port"], https_port=options["https_port"], appid_port=options["appid_port"],
        stats_port=options["stats_port"], bind_http=not options["dont_bind_http_https"],
        ssl_certs=tuple(filter(None, (options["ssl_certs"] or "").split(","))), maxconn=affordable(50000),
        hard_stop=_time(options["hard_stop_after"]),
    )  # fmt: skip
    choice = Choice(
        groups=options["groups"],
        ports=_port_range(options),
        strict=options["strict_mode"],
        health_check=options["health_check"],
        own_app=os.environ.get("FRAMEWORK_NAME", ""),
        reserved=settings.reserved(),
    )
    source = Source(
        urls=_urls((*options["marathons"], *options["more"])),
        refresh=options["refresh"] or _poll_interval(),
        events=events,
        max_backoff=options["max_backoff"],
        remember=options["lru_cache_capacity"],
        user=_user(options["auth_credentials"]),
        ca=options["marathon_ca_cert"],
    )
    return Options(
        source=source,
        choice=choice,
        settings=settings,
        program=_program(options["program"]),
        pace=Pace(
            retry=options["reload_interval"], tries=options["max_reload_retries"], archive=options["archive_versions"]
        ),
        stop_within=options["stop_within"] if stop else None,
    )


def _time(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,8}(ms|s|m|h|d)?", text):
        raise Invalid(f"--hard-stop-after: {text!r} is not a time such as 30s or 5m")
    return text


def _poll_interval() -> float:
    text = os.environ.get("POLL_INTERVAL", "60")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0.1 <= seconds < 1e9:
        raise Invalid(f"POLL_INTERVAL: {text!r} is not a number of seconds")
    return seconds


def _user(given: str | None) -> tuple[str, str] | None:
    if given is None:
        name, password = os.environ.get("MARATHON_USER"), os.environ.get("MARATHON_PASSWORD")
        return (name, password) if name and password is not None else None
    name, colon, password = given.partition(":")
    if not (name and colon):
        raise Invalid("--auth-credentials is not USER:PASSWORD")
    return name, password


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
