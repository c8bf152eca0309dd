"""The options of `tortie lb run` that say how it follows Marathon and looks after HAProxy."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tortie.base.errors import Invalid, Unavailable

work_dir_option = click.option(
    "--work-dir", type=click.Path(path_type=Path), default=Path("/var/lib/tortie/lb"), show_default=True
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
_OPTIONS = (
    click.option("--marathon", "-m", "marathons", multiple=True, metavar="URL", help="Marathon; may repeat."),
    click.option(
        "--auth-credentials", metavar="USER:PASSWORD", help="For Marathon. [default: $MARATHON_USER, _PASSWORD]"
    ),
    click.option("--marathon-ca-cert", metavar="FILE", help="The certificates that Marathon's is believed by."),
    click.option(
        "--lru-cache-capacity",
        type=click.IntRange(1),
        default=1000,
        show_default=True,
        metavar="TASKS",
        help="For how many tasks the last health is remembered.",
    ),
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
    work_dir_option,
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


def running_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def say_what_has_no_effect(options: dict[str, Any], log: logging.Logger) -> None:
    for names, why in _NOT_OURS:
        name = names.split()[0]
        if options[name[2:].replace("-", "_")] is not None:
            log.warning("%s has no effect: %s", name, why)


def make_source(options: dict[str, Any], *, events: bool) -> Any:
    from tortie.lb.follow import Source

    return Source(
        urls=_urls((*options["marathons"], *options["more"])),
        refresh=options["refresh"] or _poll_interval(),
        events=events,
        max_backoff=options["max_backoff"],
        remember=options["lru_cache_capacity"],
        user=credentials(options["auth_credentials"]),
        ca=options["marathon_ca_cert"],
    )


def make_pace(options: dict[str, Any]) -> Any:
    from tortie.lb.balancer import Pace

    return Pace(
        retry=options["reload_interval"], tries=options["max_reload_retries"], archive=options["archive_versions"]
    )


def hard_stop(text: str) -> str:
    """HAProxy's time; Invalid when it is none."""
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


def credentials(given: str | None) -> tuple[str, str] | None:
    if given is None:
        name, password = os.environ.get("MARATHON_USER"), os.environ.get("MARATHON_PASSWORD")
        return (name, password) if name and password is not None else None
    name, colon, password = given.partition(":")
    if not (name and colon):
        raise Invalid("--auth-credentials is not USER:PASSWORD")
    return name, password


def _urls(urls: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(checked_url("--marathon", url) for url in urls) or ("http://master.mesos:8080",)


def checked_url(option: str, text: str) -> str:
    """An address of http or https without a final slash."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise Invalid(f"{option}: {text!r} is not a URL of http or https")
    return text.rstrip("/")


def find_program(given: str | None) -> str:
    """Unavailable when it is not there."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    found = shutil.which(given or "haproxy", path=path)
    if found is None:
        raise Unavailable(f"{given or 'haproxy'}: no such program; install HAProxy 2.4 or newer")
    return found
