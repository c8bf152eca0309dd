"""`tortie packages etcd-framework`: what the package etcd's app runs."""

from __future__ import annotations

from typing import Any

import click

from tortie.cli.framework_options import cluster, option, page_port, place, process

NAME = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"


@click.command("etcd-framework")
@option("--framework-name", "FRAMEWORK_NAME", default="etcd")
@cluster
@option("--cluster-size", "CLUSTER_SIZE", type=click.IntRange(1, 9), default=3, help="Members, each on its own agent.")
@option("--admin-port", "ADMIN_PORT", default="$PORT0", help="Of the pages; $PORT0 is the one that Marathon gives.")
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
@process
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
    page = web.replace("$PORT0", str(port)) if web else None
    return Settings(**place(given, port, page), needs=needs, wanted=wanted)
