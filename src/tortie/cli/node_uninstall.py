"""`tortie node uninstall`: the host as it was before its node."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import click

from tortie.base.errors import Conflict, TortieError, Unavailable
from tortie.cli import node_config
from tortie.cli.node_options import (
    agent_socket,
    bird_directory,
    cni_socket,
    cni_spool,
    config_file,
    need_root,
    state,
    variable,
)

UNITS = Path("/etc/systemd/system")
STOP_SECONDS, COMMAND_SECONDS = 30.0, 120.0
DRY = {"removed": "would remove", "gave back": "would give back", "left": "would leave"}


@click.command()
@config_file
@click.option("--interface-prefix", default="cali", show_default=True, help="How interfaces of workloads begin.")
@click.option("--store", envvar="TORTIE_STORE", show_default="this host's store", help="Whose the endpoints are.")
@agent_socket
@cni_socket
@cni_spool
@bird_directory
@state
@click.option("--docker/--no-docker", default=True, envvar=variable("docker"), help="Docker's plug-in sockets, too.")
@click.option(
    "--unit",
    default=node_config.SERVICE,
    show_default=True,
    help="The agent's unit, stopped and disabled before, and taken away when it is as `tortie node unit` prints it. "
    "Empty: somebody else sees to it.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--force", is_flag=True, help="Also while containers have endpoints here: they lose their network.")
def uninstall(
    interface_prefix: str,
    store: str | None,
    path: str,
    cni_socket: Path,
    cni_spool: Path,
    bird_directory: str,
    state: Path,
    docker: bool,
    unit: str,
    dry_run: bool,
    force: bool,
) -> None:
    """End this host's agent and give back all that it has changed here: BIRD and its routes, routes, tunnels, settings
    of the kernel, what foreignAccept wrote, the table, its unit, sockets and state, the plug-ins of `install-cni` and
    `install-netmodules`.

    Refused while containers have endpoints on this host. It may be called again at any time, and goes on. What others
    have changed meanwhile stays, and is told. The embedded store, /etc/tortie and logs stay.

    Exit codes: 0 done, 2 wrong usage, 4 refused, 5 the kernel, a file or the agent's unit does not do it.
    """
    from tortie.dataplane.render.settings import parse_prefixes
    from tortie.node.bird import Bird
    from tortie.node.uninstall import Parts, preview, workloads
    from tortie.node.uninstall import uninstall as remove
    from tortie.plugins.docker.service import PLUGIN_DIR, SOCKETS

    need_root()
    prefixes = parse_prefixes(interface_prefix)
    if not force and (left := workloads(prefixes)):
        raise Conflict(_refusal(left, store))
    parts = Parts(
        prefixes=prefixes,
        bird=Bird(Path(bird_directory)),
        state=state,
        sockets=[Path(path), cni_socket, *(PLUGIN_DIR / name for name in SOCKETS if docker)],
        spool=cni_spool,
    )
    if dry_run:
        told = [*_end(unit, path, dry_run=True), *(f"{DRY[verb]} {what}" for verb, what, _ in preview(parts))]
        told += _forget(unit, dry_run=True)
        click.echo("\n".join(told) if told else "nothing of a node is here")
        return
    ended = _end(unit, path, dry_run=False)
    click.echo("".join(f"{line}\n" for line in ended), nl=False)
    try:
        for verb, what, _ in remove(parts, force=force):
            click.echo(f"{verb} {what}")
    except Conflict as error:
        raise Conflict(f"{error}{_back(unit, ended)}") from error
    click.echo("".join(f"{line}\n" for line in _forget(unit, dry_run=False)), nl=False)


def _refusal(left: Sequence[str], store: str | None) -> str:
    from tortie.node.residents import listed

    names = _names(store)
    shown = [f"{names[name]} ({name})" if name in names else name for name in left]
    return (
        f"{listed(shown, 'still on this host')}\n"
        "nothing would guard them: end these containers first; with --force they lose their network"
    )


def _names(store: str | None) -> dict[str, str]:
    """Whose the interfaces are, as far as the store can be asked: a refusal does without."""
    from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
    from tortie.node.residents import resident
    from tortie.store.client import Client
    from tortie.store.open import open_store, store_url

    try:
        with contextlib.closing(open_store(store or store_url(), create=False)) as datastore:
            items = Client(datastore).list(WORKLOAD_ENDPOINT).items
    except TortieError:
        return {}
    return {item.spec.interface_name or "": resident(item) for item in items}


def _end(unit: str, path: str, *, dry_run: bool) -> list[str]:
    """The agent has ended; what was done for that."""
    from tortie.cli.calicoctl import unix_http

    running = unix_http.peer_pid(path)
    if unit and _ask("is-active", unit) in ("active", "activating", "reloading"):
        if dry_run:
            return [f"would stop {unit}"]
        _order("stop", unit)
        done = [f"stopped {unit}"]
    elif running is not None:
        done = [f"would end the agent, process {running}" if dry_run else f"ended the agent, process {running}"]
    else:
        return []
    if running is not None and not dry_run:
        _kill(running)
    return done


def _back(unit: str, ended: Sequence[str]) -> str:
    """A container came while the agent was ended: it goes on, where somebody can start it."""
    if not ended:
        return ""
    if ended == [f"stopped {unit}"]:
        _order("start", unit)
        return f"; {unit} is started again"
    return "; the agent has ended: start it again"


def _forget(unit: str, *, dry_run: bool) -> list[str]:
    """The unit does not come back with the next start of the host; what was done for that."""
    done, file = [], UNITS / unit
    if unit and _ask("is-enabled", unit) == "enabled":
        done.append(f"would disable {unit}" if dry_run else f"disabled {unit}")
        if not dry_run:
            _order("disable", unit)
    if unit and file.is_file() and file.read_text(errors="replace").startswith(node_config.MARK):
        done.append(f"would remove {file}" if dry_run else f"removed {file}")
        if not dry_run:
            file.unlink(missing_ok=True)
            _ask("daemon-reload")
    return done


def _ask(*words: str) -> str:
    """Nothing where no service manager is."""
    return _systemctl(*words).stdout.strip() if shutil.which("systemctl") else ""


def _order(verb: str, unit: str) -> None:
    done = _systemctl(verb, unit)
    if done.returncode != 0:
        raise Unavailable(f"systemctl {verb} {unit}: {(done.stderr or done.stdout).strip()}")


def _systemctl(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["systemctl", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"systemctl {' '.join(words)}: {error}") from error


def _kill(pid: int) -> None:
    """Returns once the process has ended. Unavailable when it does not."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    ends = time.monotonic() + STOP_SECONDS
    while _alive(pid):
        if time.monotonic() > ends:
            raise Unavailable(f"the agent, process {pid}, does not end within {STOP_SECONDS:g} s")
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False
