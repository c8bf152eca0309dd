"""`tortie lb zdd`: blue-green deployments without a lost request, with the options of marathon-lb's zdd.py."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from tortie.base.errors import Invalid, NotFound, TortieError, Unavailable
from tortie.cli.lb_running import checked_url, credentials


@click.command()
@click.option("--marathon", "-m", required=True, metavar="URL")
@click.option(
    "--marathon-lb",
    "-l",
    "balancer",
    required=True,
    metavar="URL",
    help="The balancer's statistics, as http://marathon-lb.marathon.mesos:9090; all addresses of the name.",
)
@click.option("--json", "-j", "file", required=True, type=click.Path(path_type=Path), help="The app; - for stdin.")
@click.option("--dry-run", "-d", is_flag=True, help="Print the app that would be deployed and end.")
@click.option("--force", "-f", is_flag=True, help="Do not ask before each step.")
@click.option("--step-delay", "-s", type=click.FloatRange(0.01), default=5, show_default=True, metavar="SECONDS")
@click.option("--initial-instances", "-i", type=click.IntRange(1), default=1, show_default=True)
@click.option(
    "--linear-increase",
    type=click.IntRange(0),
    default=0,
    help="Grow by so many in each step, not by half of what there is.",
)
@click.option("--resume", "-r", is_flag=True, help="Go on with a deployment that was interrupted.")
@click.option(
    "--max-wait",
    "-w",
    type=click.FloatRange(0),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="For connections to end, in each step.",
)
@click.option(
    "--new-instances",
    "-n",
    type=click.IntRange(0),
    default=0,
    help="Replace so many instances only: both versions stay.",
)
@click.option("--complete-cur", "-c", is_flag=True, help="Both versions stay: make the new one replace the old one.")
@click.option("--complete-prev", "-p", is_flag=True, help="Both versions stay: go back to the old one.")
@click.option(
    "--pre-kill-hook",
    default="",
    metavar="PROGRAM",
    help="Called before tasks are killed with the old app, their ids and the new app as JSON.",
)
@click.option("--auth-credentials", metavar="USER:PASSWORD", help="For Marathon. [default: $MARATHON_USER, _PASSWORD]")
@click.option("--marathon-ca-cert", metavar="FILE", help="The certificates that Marathon's is believed by.")
@click.option("--syslog-socket", "--log-format", "--log-level", hidden=True, expose_value=False)
def zdd(**options: Any) -> None:  # fmt: skip
    """Deploy an app beside the one that runs, move the visitors over, and remove the old one.

    The app's labels HAPROXY_DEPLOYMENT_GROUP and HAPROXY_DEPLOYMENT_ALT_PORT say what belongs together. Exit code 0:
    done; 1: failed, or you said no; 2: wrong use.
    """
    import asyncio

    if options["complete_cur"] and options["complete_prev"]:
        raise click.UsageError("--complete-cur and --complete-prev contradict each other")
    try:
        done = asyncio.run(_deploy(options))
    except TortieError as error:
        click.echo(f"zdd: {error}", err=True)
        sys.exit(1)
    sys.exit(0 if done else 1)


async def _deploy(options: dict[str, Any]) -> bool:
    from tortie.lb.zdd import Wishes, read_definition
    from tortie.lb.zdd_run import Deployer, Plan
    from tortie.wire.marathon import MarathonClient

    complete = "cur" if options["complete_cur"] else "prev" if options["complete_prev"] else ""
    wishes = Wishes(
        initial_instances=options["initial_instances"], linear_increase=options["linear_increase"],
        new_instances=options["new_instances"], complete=bool(complete),
    )  # fmt: skip
    plan = Plan(
        balancer=checked_url("--marathon-lb", options["balancer"]), wishes=wishes, step_delay=options["step_delay"],
        max_wait=options["max_wait"], resume=options["resume"], complete=complete, dry_run=options["dry_run"],
        pre_kill_hook=options["pre_kill_hook"],
    )  # fmt: skip
    client = MarathonClient(
        checked_url("--marathon", options["marathon"]), user=credentials(options["auth_credentials"]),
        ca=options["marathon_ca_cert"],
    )  # fmt: skip
    definition = read_definition(_read(options["file"]))
    async with client as marathon:
        ask = (lambda _: True) if options["force"] else _ask
        return await Deployer(marathon, plan, ask, lambda line: click.echo(line, err=True)).deploy(
            definition, click.echo
        )


def _ask(question: str) -> bool:
    try:
        return click.confirm(question, default=True, err=True)
    except click.Abort as error:
        raise Unavailable("nobody answers; --force goes on without asking") from error


def _read(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"{path}: no such file") from error
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}") from error
