"""`tortie master run` and `tortie agent run`, with the original's flags in either spelling."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import click

from tortie.base import log
from tortie.base.errors import Invalid
from tortie.mesos.flags import seconds, value

F = TypeVar("F", bound=Callable[..., Any])


def flag(name: str, *, read: Callable[[str], Any] | None = None, **options: Any) -> Callable[[F], F]:
    """`--some-flag`, `--some_flag` and MESOS_SOME_FLAG are one. A text may be `file:///path`; `read` makes a value of it."""
    spelled = [f"--{name.replace('_', '-')}"] + ([f"--{name}"] if "_" in name else [])
    options.setdefault("envvar", f"MESOS_{name.upper()}")

    def from_text(context: click.Context, param: click.Parameter, raw: Any) -> Any:
        if not isinstance(raw, str):
            return raw
        try:
            return read(value(raw)) if read else value(raw)
        except Invalid as error:
            raise click.BadParameter(str(error), context, param) from error

    return click.option(*spelled, name, callback=from_text, **options)


def _flags(context: click.Context) -> dict[str, str]:
    """Every option's value as text, for /flags."""
    return {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in context.params.items() if v is not None}


@click.group()
def master() -> None:
    """The Mesos-compatible master."""


@master.command("run")
@flag("ip", required=True, help="Address to listen on and to be known by.")
@flag("port", type=click.IntRange(1, 65535), default=5050, show_default=True)
@click.option("--store", envvar="TORTIE_STORE", default="sqlite:///var/lib/tortie/store", show_default=True)
@flag("hostname", help="Name that others see; the address if not given.")
@flag("cluster", help="Name of the cluster.")
@flag("allocation_interval", read=seconds, default="1secs", show_default=True)
@flag("agent_ping_timeout", read=seconds, default="15secs", show_default=True)
@flag("max_agent_ping_timeouts", type=click.IntRange(1), default=5, show_default=True)
@flag("agent_reregister_timeout", read=seconds, default="10mins", show_default=True)
@flag("offer_timeout", read=seconds, help="Unanswered offers are rescinded after this time.")
@flag("roles", help="Comma-separated roles that frameworks may have; all if not given.")
@flag("max_completed_frameworks", type=click.IntRange(0), default=50, show_default=True)
@click.option("--debug", is_flag=True)
@click.pass_context
def master_run(context: click.Context, /, debug: bool, **options: Any) -> None:
    """Run the master in the foreground until SIGTERM."""
    from tortie.mesos.master.cluster import Settings
    from tortie.mesos.master.run import Options, run

    log.setup("master", debug=debug)
    roles = frozenset(filter(None, options["roles"].split(","))) if options["roles"] is not None else None
    settings = Settings(
        ping_timeout=options["agent_ping_timeout"],
        max_pings=options["max_agent_ping_timeouts"],
        reregister_timeout=options["agent_reregister_timeout"],
        offer_timeout=options["offer_timeout"],
        roles=roles,
        max_completed_frameworks=options["max_completed_frameworks"],
    )
    wanted = Options(
        ip=options["ip"],
        port=options["port"],
        store=options["store"],
        hostname=options["hostname"] or options["ip"],
        cluster=options["cluster"],
        allocation_interval=options["allocation_interval"],
        settings=settings,
        flags=_flags(context),
    )
    anyio.run(run, wanted)


def default_hostname(ip: str) -> str:
    """The name that the address has, else the address."""
    try:
        return socket.gethostbyaddr(ip)[0]
    except OSError:
        return ip
