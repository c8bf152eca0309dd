"""The options of `tortie lb run` that decide what stands in HAProxy's configuration."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_PORT = click.IntRange(1, 65535)
_OPTIONS = (
    click.option("--dont-bind-http-https", is_flag=True, help="No virtual hosts on the ports for HTTP and HTTPS."),
    click.option("--ssl-certs", default="", metavar="FILE,...",
                 help="Certificates with their keys, or directories of them. [default: $HAPROXY_SSL_CERT,"
                 " $HAPROXY_SSL_CERT0 to 100 (the texts), else one that signs itself]"),
    click.option("--group-https-by-vhost", is_flag=True,
                 help="For HTTPS, each virtual host has a front end with its own HAPROXY_n_SSL_CERT and options."),
    click.option("--haproxy-map/--no-haproxy-map", default=True,
                 help="Look hosts up in a file, or ask one condition after the other. [default: look up]"),
    click.option("--templates", "template_dir", type=click.Path(path_type=Path), metavar="DIR",
                 help="Where files HAPROXY_<TEMPLATE> lie. [default: ./templates and $MESOS_SANDBOX/templates]"),
    click.option("--template-labels/--no-template-labels", default=True,
                 help="Whether apps may bring templates: who may do that steers all of HAProxy. [default: may]"),
    click.option("--http-port", type=_PORT, default=80, show_default=True),
    click.option("--https-port", type=_PORT, default=443, show_default=True),
    click.option("--appid-port", type=_PORT, default=9091, show_default=True),
    click.option("--stats-port", type=_PORT, default=9090, show_default=True),
)  # fmt: skip


def rendering_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def make_settings(options: dict[str, Any], open_files: int) -> Any:
    """What to listen on, with templates and certificates. Invalid names what of the operator's cannot be used."""
    from tortie.lb.render import DEFAULT_OPTIONS, Settings
    from tortie.lb.sources import default_options, template_dirs, templates

    found = default_options(os.environ)
    return Settings(
        work_dir=os.fspath(options["work_dir"].absolute()),
        http_port=options["http_port"], https_port=options["https_port"], appid_port=options["appid_port"],
        stats_port=options["stats_port"], bind_http=not options["dont_bind_http_https"],
        ssl_certs=() if options["dont_bind_http_https"] else _certificates(options),
        open_files=open_files, host_maps=options["haproxy_map"], group_https=options["group_https_by_vhost"],
        default_options=DEFAULT_OPTIONS if found is None else found,
        templates=templates(template_dirs(options["template_dir"], os.environ), os.environ),
    )  # fmt: skip


def _certificates(options: dict[str, Any]) -> tuple[str, ...]:
    """Where nobody named a certificate, HTTPS is left out rather than everything else."""
    import logging

    from tortie.base.errors import Unavailable
    from tortie.lb.change import binds
    from tortie.lb.haproxy import can_bind
    from tortie.lb.sources import given_certificates, self_signed

    work_dir, dry = options["work_dir"].absolute(), options["dry"]
    if found := given_certificates(options["ssl_certs"], os.environ, work_dir, dry=dry):
        return found
    port, config = options["https_port"], work_dir / "haproxy.cfg"
    try:
        held = not dry and config.exists() and ("*", port) in binds(config.read_text())
        if not dry and not held and (why := can_bind("*", port)):
            raise Unavailable(f"port {port}: {why}")
        return self_signed(work_dir, dry=dry)
    except (Unavailable, OSError) as error:
        logging.getLogger("lb").warning("nothing listens for HTTPS: %s", error)
        return ()


@click.command("templates")
@click.argument("names", nargs=-1)
def show_templates(names: tuple[str, ...]) -> None:
    """The templates, all or those of these names: who may replace each, its fields and its text.

    They are marathon-lb's: a file or a variable HAPROXY_NAME for all apps, a label HAPROXY_n_NAME for one port of one.
    """
    from tortie.base.errors import NotFound
    from tortie.lb.templates import TEMPLATES

    wanted = [name.removeprefix("HAPROXY_") for name in names] or sorted(TEMPLATES)
    for name in wanted:
        if name not in TEMPLATES:
            raise NotFound(f"no template {name}")
    for name in wanted:
        template = TEMPLATES[name]
        who = f"HAPROXY_{name}" + (f" or label HAPROXY_n_{name}" if template.by_label else "")
        fields = " ".join(sorted(template.fields)) if template.fields is not None else "none: taken as it stands"
        text = template.text.strip("\n") or "  (made from the options)"
        click.echo(f"{who}\n# fields: {fields}\n{text}\n")
