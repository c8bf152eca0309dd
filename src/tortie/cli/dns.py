"""`tortie dns run`: the name server of the cluster, in Mesos-DNS's role, or a forwarding resolver of one host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tortie.base.errors import Invalid, NotFound
from tortie.cli.grouping import Group


@click.group(cls=Group)
def dns() -> None:
    """Names of tasks: a Mesos-DNS compatible server."""


@dns.command()
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="The original's JSON configuration.")
@click.option("--role", type=click.Choice(["mesos-dns", "resolver"]), default="mesos-dns", show_default=True)
@click.option("--listen", multiple=True, metavar="ADDRESS[:PORT]", help="resolver: where to answer; may repeat.")
@click.option("--master", multiple=True, metavar="HOST:PORT", help="resolver: Mesos masters whose cluster is named.")
@click.option("--forward", multiple=True, metavar="ZONE=ADDRESS", help="resolver: who answers a zone; may repeat.")
@click.option("--upstream", multiple=True, metavar="ADDRESS", help="resolver: who answers all other names.")
@click.option("--cluster-id", metavar="LABEL", help="resolver: its zones answer below LABEL.dcos.directory as well.")
@click.option("--http", metavar="ADDRESS:PORT", help="resolver: serve its HTTP API, as on 127.0.0.1:62080.")
@click.option("--debug", is_flag=True)
def run(*, config_file: Path | None, role: str, debug: bool, **resolver: Any) -> None:
    """Serve names until stopped."""
    from tortie.base import log

    log.setup("dns", debug=debug)
    if role == "resolver":
        if config_file is not None:
            raise click.UsageError("--config goes with --role mesos-dns")
        _run_resolver(**resolver)
        return
    if config_file is None:
        raise click.UsageError("--config FILE is needed")
    if any(resolver.values()):
        raise click.UsageError(
            "--listen, --master, --forward, --upstream, --cluster-id, --http go with --role resolver"
        )
    from tortie.cli.stopping import run_until_stopped
    from tortie.dns.config import parse
    from tortie.dns.run import run as serve

    try:
        text = config_file.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"{config_file}: no such file") from error
    except OSError as error:
        raise Invalid(f"{config_file}: {error.strerror}") from error
    run_until_stopped(serve(parse(text, str(config_file))))


def _run_resolver(listen: tuple[str, ...], **options: Any) -> None:
    from tortie.cli.stopping import run_until_stopped
    from tortie.dns.resolver_options import settings
    from tortie.dns.resolver_run import run_resolver

    if not listen:
        raise click.UsageError("--listen ADDRESS is needed")
    run_until_stopped(run_resolver(*settings(*listen, **options)))
