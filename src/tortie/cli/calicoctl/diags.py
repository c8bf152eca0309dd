"""Diagnostics of this host and its store in one archive. Shared by the grammars."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
import time

from tortie.base.errors import TortieError
from tortie.cli.calicoctl.session import ClientError, Session

COMMANDS = {
    "date": ("date",),
    "hostname": ("hostname",),
    "addresses": ("ip", "-details", "address"),
    "routes": ("ip", "route", "show", "table", "all"),
    "routes6": ("ip", "-6", "route", "show", "table", "all"),
    "nft": ("nft", "list", "ruleset"),
    "sockets": ("ss", "-tlnp"),
}
SECONDS = 30
LOG_DIR = "/var/log/calico"


def collect(session: Session, log_dir: str) -> str:
    """Says where the archive lies. What cannot be had is named in a file of the archive, not left out silently."""
    with tempfile.TemporaryDirectory(prefix="calico-diags-") as directory:
        for name, command in COMMANDS.items():
            _write(directory, name, _output(command))
        _write(directory, "store", _store(session))
        if not os.path.isdir(log_dir):
            _write(directory, "logs-missing", f"{log_dir} is no directory\n")
        handle, archive = tempfile.mkstemp(prefix=time.strftime("diags-%Y%m%d_%H%M%S-"), suffix=".tar.gz")
        with os.fdopen(handle, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as tar:
            tar.add(directory, arcname="diagnostics")
            if os.path.isdir(log_dir):
                tar.add(log_dir, arcname="diagnostics/logs", filter=_plain)
    return f"Collecting diagnostics\n\nDiags saved to {archive}\n"


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Folders and files: a socket or a device among the logs is none of them."""
    return member if member.isfile() or member.isdir() else None


def _write(directory: str, name: str, text: str) -> None:
    with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
        file.write(text)


def _output(command: tuple[str, ...]) -> str:
    if shutil.which(command[0]) is None:
        return f"{command[0]} is not installed\n"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{' '.join(command)}: {error}\n"
    return done.stdout + done.stderr


def _store(session: Session) -> str:
    """The keys and their revisions; values may hold what is nobody else's business."""
    try:
        with session.client() as client:
            return "".join(f"{kv.revision}\t{kv.key}\n" for kv in client.datastore.list("/calico/").items)
    except (ClientError, TortieError) as error:
        return f"{error}\n"
