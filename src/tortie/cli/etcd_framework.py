"""`tortie packages etcd-framework`: what the package etcd's app runs."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any, TypeVar

import click

from tortie.store.open import cluster_store_url

F = TypeVar("F", bound=Callable[..., Any])
MASTER = "master.mesos:5050"
NAME = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"


def option(name: str, variable: str, **more: Any) -> Callable[[F], F]:
    """An option that may be the original's variable of the environment."""
    return click.option(name, envvar=variable, **{"show_default": True, "show_envvar": True, **more})


@click.command("etcd-framework")
@option("--framework-name", "FRAMEWORK_NAME", default="etcd")
@option("--master", "MESOS_MASTER", default=MASTER, help="HOST:PORT; several with commas.")
@click.option("--store", default=cluster_store_url, show_default="this host's cluster's")
@option("--cluster-size", "CLUSTER_SIZE", type=click.IntRange(1, 9), default=3, help="Members, each on its own agent.")
@option("--admin-port", "ADMIN_PORT", default="$PORT0", help="Of the pages; $PORT0 is the one that Marathon gives.")
@option(
    "--hostname", "HOST", default=socket.gethostname, show_default="its name", help="How agents reach this process."
)
@option("--cpu-limit", "CPU_LIMIT", type=click.FloatRange(0.01), default=1.0, help="CPUs of each member.")
@option("--mem-limit", "MEM_LIMIT", type=click.FloatRange(32), default=256.0, help="MB of each member.")
@option("--disk-limit", "DISK_LIMIT", type=click.FloatRange(0), default=1024.0, help="MB of disk of each member.")
@option("--auto-reseed", "AUTO_RESEED", type=bool, default=False, help="Without being asked, after --reseed-timeout.")
@option("--reseed-timeout", "RESEED_TIMEOUT", type=click.FloatRange(1), default=240.0, help="Seconds.")
@option("--image", "ETCD_IMAGE", default="tortie/tortie:0.1.0", help="Holds etcd, etcdctl and a shell.")
@option(
    "--container",
    "ETCD_CONTAINER",
    type=click.Choice(["docker", "mesos", "host"]),
    default="docker",
    help="What members run in; host: etcd is the agent's own.",
)
@option("--verbosity", "VERBOSITY", type=click.IntRange(0), default=1)
@option("--weburi", "WEBURI", default=None, help="Where its page is linked to. [default: this process]")
@click.option("--lease", type=click.FloatRange(1), default=15.0, hidden=True, help="Seconds until another may lead.")
@click.option("--debug", is_flag=True)
def etcd_framework(**given: Any) -> None:
    """Run the etcd package's framework, in the foreground: real etcd members as Mesos tasks, one on an agent."""
    from tortie.base.log import setup
    from tortie.cli.stopping import run_until_stopped
    from tortie.packages.etcd.run import run

    settings = _settings(given)
    setup("etcd-framework", debug=given["debug"])
    run_until_stopped(run(settings))


def _settings(given: dict[str, Any]) -> Any:
    import re

    from tortie.packages.etcd.run import Settings
    from tortie.packages.etcd.tasks import Needs
    from tortie.packages.etcd.values import Wanted

    name, web = given["framework_name"], given["weburi"]
    if not re.fullmatch(NAME, name):
        raise click.BadParameter(f"{name!r}: small letters, digits and dashes", param_hint="--framework-name")
    port = page_port(given["admin_port"])
    needs = Needs(
        cpus=given["cpu_limit"],
        mem=given["mem_limit"],
        disk=given["disk_limit"],
        image=given["image"],
        container=given["container"],
        framework=name,
        verbosity=given["verbosity"],
    )
    wanted = Wanted(
        size=given["cluster_size"], auto_reseed=given["auto_reseed"], reseed_timeout=given["reseed_timeout"]
    )
    return Settings(
        masters=masters(given["master"]),
        store=given["store"],
        hostname=given["hostname"],
        port=port,
        needs=needs,
        webui_url=web.replace("$PORT0", str(port)) if web else None,
        wanted=wanted,
        ttl=given["lease"],
    )


def page_port(text: str, name: str = "--admin-port") -> int:
    """The port of the pages, also as Marathon gives it."""
    from tortie.base.numbers import whole

    value = os.environ.get("PORT0", "") if text == "$PORT0" else text
    number = whole(value, 65535)
    if not number:
        said = "PORT0 is not set" if text == "$PORT0" and not value else f"{value!r} is no port"
        raise click.BadParameter(said, param_hint=name)
    return number


def masters(text: str) -> list[str]:
    """HOST:PORT of each; refused in the terms of the command line. Options of old name a ZooKeeper: it is not asked."""
    from tortie.base.numbers import whole

    if text.startswith("zk://"):
        click.echo(f"{text}: no ZooKeeper is asked; the master is looked for at {MASTER}", err=True)
        text = MASTER
    found = [part.strip() for part in text.split(",") if part.strip()]
    for one in found:
        host, colon, port = one.rpartition(":")
        if "//" in one or not (host and colon and whole(port, 65535)):
            raise click.BadParameter(f"{one!r}: HOST:PORT, several with commas", param_hint="--master")
    if not found:
        raise click.BadParameter("HOST:PORT of the Mesos master", param_hint="--master")
    return found
