"""`tortie marathon run`: apps and groups on a Mesos master."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, TypeVar

import click

from tortie.cli.grouping import Group
from tortie.store.open import cluster_store_url

F = TypeVar("F", bound=Callable[..., Any])


def _seconds(milliseconds: int) -> float:
    return milliseconds / 1000


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
def marathon() -> None:
    """Marathon: apps, groups and deployments as a Mesos framework."""


def _flag(*names: str, **options: Any) -> Callable[[F], F]:
    """An option that may be written with dashes or, as Marathon's own flags, with underscores, or be a variable
    MARATHON_... of the environment.
    """
    plain = names[0].removeprefix("--").replace("-", "_")
    options["envvar"] = [f"MARATHON_{plain.upper()}", *options.get("envvar", ())]
    return click.option(*dict.fromkeys([*names, f"--{plain}"]), **options)


_MS = click.IntRange(min=0)


@marathon.command()
@_flag("--master", required=True, help="HOST:PORT of the Mesos master; several with commas.")
@_flag("--store", default=cluster_store_url, show_default="this host's cluster's")
@_flag("--http-port", type=click.IntRange(1, 65535), default=8080, show_default=True)
@_flag("--http-address", default="0.0.0.0", show_default=True)
@_flag("--hostname", default=None, help="This host's name or address, as other hosts reach it.")
@_flag("--framework-name", default="marathon", show_default=True)
@_flag("--mesos-role", default="*", help="Role to register with.")
@_flag("--mesos-user", default="root", show_default=True)
@_flag("--mesos-authentication-principal", "principal", default=None)
@_flag("--default-accepted-resource-roles", default=None, help="Roles of resources that apps take; commas.")
@_flag("--failover-timeout", type=click.FloatRange(min=0), default=604800.0, help="Seconds.")
@_flag("--webui-url", default=None)
@_flag("--local-port-min", type=click.IntRange(1, 65535), default=10000)
@_flag("--local-port-max", type=click.IntRange(2, 65536), default=20000)
@_flag("--decline-offer-duration", type=_MS, default=120000, help="Milliseconds.")
@_flag("--min-revive-offers-interval", type=_MS, default=1000, help="Milliseconds.")
@_flag("--max-tasks-per-offer", type=click.IntRange(min=1), default=100)
@_flag("--reconciliation-initial-delay", type=_MS, default=15000, help="Milliseconds.")
@_flag("--reconciliation-interval", type=_MS, default=600000, help="Milliseconds.")
@_flag("--task-launch-timeout", type=_MS, default=300000, help="Milliseconds.")
@_flag("--kill-retry-timeout", type=_MS, default=10000, help="Milliseconds.")
@_flag("--env-vars-prefix", default="")
@_flag("--disable-http", "http_disabled", is_flag=True, help="HTTPS only.")
@_flag("--https-port", type=click.IntRange(1, 65535), default=8443, show_default=True)
@_flag("--https-address", default="0.0.0.0", show_default=True)
@_flag("--ssl-keystore-path", type=click.Path(), envvar=["MESOSPHERE_KEYSTORE_PATH"], help="PEM: certificate and key.")
@_flag("--ssl-keystore-password", default=None, envvar=["MESOSPHERE_KEYSTORE_PASS"], help="Of the key.")
@_flag(
    "--http-credentials", default=None, envvar=["MESOSPHERE_HTTP_CREDENTIALS"], help="USER:PASSWORD, for every path."
)
@_flag("--http-realm", default="Mesosphere", show_default=True)
@_flag("--access-control-allow-origin", "origins", default="", help="Whose pages may read; commas, * for all.")
@_flag("--event-subscriber", type=click.Choice(["http_callback"]), default=None, help="Events are also POSTed.")
@_flag("--http-endpoints", "endpoints", default="", help="URLs that events are POSTed to; commas.")
@click.option("--debug", is_flag=True)
def run(**given: Any) -> None:
    """Serve Marathon's API and run its apps, in the foreground."""
    from tortie.base.log import setup
    from tortie.cli.stopping import run_until_stopped
    from tortie.marathon.program import run as program

    settings = _settings(given)
    setup("marathon", debug=given["debug"])
    run_until_stopped(program(settings))


def _settings(given: dict[str, Any]) -> Any:
    from tortie.marathon.brain import Options
    from tortie.marathon.program import Settings

    masters = [part.strip() for part in given["master"].split(",") if part.strip()]
    if not masters or any(part.startswith("zk://") for part in masters):
        raise click.BadParameter("HOST:PORT, several with commas; zk:// is not supported", param_hint="--master")
    if given["local_port_min"] >= given["local_port_max"]:
        raise click.BadParameter("must be above --local-port-min", param_hint="--local-port-max")
    role = given["mesos_role"]
    accepted = given["default_accepted_resource_roles"]
    roles = frozenset(part.strip() for part in accepted.split(",")) if accepted else frozenset({"*", role})
    if "" in roles or not roles <= {"*", role}:
        known = " and ".join(sorted({"*", role}))
        raise click.BadParameter(f"known are {known}", param_hint="--default-accepted-resource-roles")
    options = Options(
        roles=roles,
        port_min=given["local_port_min"],
        port_max=given["local_port_max"],
        decline_seconds=_seconds(given["decline_offer_duration"]),
        min_revive_seconds=_seconds(given["min_revive_offers_interval"]),
        max_tasks_per_offer=given["max_tasks_per_offer"],
        kill_retry_seconds=_seconds(given["kill_retry_timeout"]),
        launch_seconds=_seconds(given["task_launch_timeout"]),
        reconcile_first_seconds=_seconds(given["reconciliation_initial_delay"]),
        reconcile_seconds=_seconds(given["reconciliation_interval"]),
        env_prefix=given["env_vars_prefix"],
    )
    return Settings(
        **_doors(given),
        endpoints=_endpoints(given),
        masters=masters,
        store=given["store"],
        hostname=given["hostname"] or socket.gethostname(),
        http_address=given["http_address"],
        http_port=given["http_port"],
        framework_name=given["framework_name"],
        mesos_role=role,
        mesos_user=given["mesos_user"],
        principal=given["principal"],
        failover_timeout=given["failover_timeout"],
        webui_url=given["webui_url"],
        options=options,
    )


def _endpoints(given: dict[str, Any]) -> list[str] | None:
    """Where events are POSTed to from the beginning; None without callbacks."""
    from tortie.marathon.callbacks import check_url

    urls = [check_url(part.strip()) for part in given["endpoints"].split(",") if part.strip()]
    if urls and given["event_subscriber"] is None:
        raise click.UsageError("--http-endpoints needs --event-subscriber http_callback")
    return urls if given["event_subscriber"] else None


def _doors(given: dict[str, Any]) -> dict[str, Any]:
    """How Marathon is reached, and by whom."""
    from pathlib import Path

    from tortie.web.serve import Tls

    keystore, credentials, realm = given["ssl_keystore_path"], given["http_credentials"], given["http_realm"]
    if given["http_disabled"] and not keystore:
        raise click.UsageError("--disable-http needs --ssl-keystore-path: nothing would be served otherwise")
    if credentials is not None and not all(credentials.partition(":")):
        raise click.BadParameter("USER:PASSWORD", param_hint="--http-credentials")
    if not realm.isprintable() or '"' in realm:
        raise click.BadParameter("printable text without quotes", param_hint="--http-realm")
    return {
        "http_disabled": given["http_disabled"],
        "https_port": given["https_port"] if keystore else None,
        "https_address": given["https_address"],
        "tls": Tls(Path(keystore), given["ssl_keystore_password"]) if keystore else None,
        "credentials": credentials,
        "realm": realm,
        "origins": [part.strip() for part in given["origins"].split(",") if part.strip()],
    }
