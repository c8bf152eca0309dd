"""The options that the frameworks of packages share, and what is read from them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any, TypeVar

import click

from tortie.store.open import cluster_store_url

F = TypeVar("F", bound=Callable[..., Any])
MASTER = "master.mesos:5050"


def option(name: str, variable: str, **more: Any) -> Callable[[F], F]:
    """An option that may be the original's variable of the environment."""
    return click.option(name, envvar=variable, **{"show_default": True, "show_envvar": True, **more})


def cluster(command: F) -> F:
    """Whom the framework speaks to, and by which name it is spoken to."""
    name = option(
        "--hostname", "HOST", default=socket.gethostname, show_default="its name", help="How agents reach this process."
    )
    store = click.option("--store", default=cluster_store_url, show_default="this host's cluster's")
    masters = option("--master", "MESOS_MASTER", default=MASTER, help="HOST:PORT; several with commas.")
    return masters(store(name(command)))


def process(command: F) -> F:
    """How the process itself runs; the last of a command's options."""
    lease = click.option(
        "--lease", type=click.FloatRange(1), default=15.0, hidden=True, help="Seconds until another may lead."
    )
    return lease(click.option("--debug", is_flag=True)(command))


def place(given: dict[str, Any], port: int, page: str | None) -> dict[str, Any]:
    """The fields of a framework's place. `page`: where its page is linked to, if not there."""
    return {
        "masters": masters(given["master"]),
        "store": given["store"],
        "hostname": given["hostname"],
        "port": port,
        "webui_url": page,
        "ttl": given["lease"],
    }


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
